"""Answers as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from exalign_client.landmarks import N_LANDMARKS, NAMES
from exalign_client.results.conditional import Conditional, Suggestions
from exalign_client.results.faces import Face, Prediction
from exalign_client.results.model import Model
from exalign_client.results.views import Pose


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Iterable[int] = ()) -> str:
    """Columns as wide as their widest cell, to the right except for those in ``left``, two spaces apart."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    flush_left = set(left)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in flush_left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def prediction_summary(prediction: Prediction) -> str:
    """One line about the picture and one for each face: box, score, presence and entropy."""
    width, height = prediction.image_size
    count = len(prediction)
    faces = "no face found" if count == 0 else f"{count} face{'s' if count > 1 else ''}"
    if prediction.faces_left_out:
        faces += f" ({prediction.faces_left_out} more left out)"
    took = f"{prediction.timing.total * 1e3:.0f} ms"
    head = f"{width}×{height}, {faces}, {took}, bundle {prediction.bundle_id[:12]}"
    if not count:
        return head
    rows = [
        (
            str(number),
            " ".join(f"{v:7.1f}" for v in face.box),
            face.box_source.value,
            "-" if face.detector_score is None else f"{face.detector_score:.3f}",
            f"{face.presence:.3f}",
            f"{face.entropy:.2f}",
            f"{face.effective_exemplars:.1f}",
        )
        for number, face in enumerate(prediction, start=1)
    ]
    columns = ("face", "box (x0 y0 x1 y1)", "from", "score", "presence", "entropy", "exemplars")
    return head + "\n" + table(columns, rows, left=(1, 2))


def landmark_table(face: Face, names: Sequence[str]) -> str:
    """The 68 landmarks: number, name, place and standard deviation in the plane in pixels, confidence; and the
    probability that it is hidden, where that is known.

    Args:
        face: the face.
        names: of the landmarks, by index (``Model.landmark_names``); where one is missing, so is the name.
    """
    known = face.occluded_probabilities
    rows = [
        (
            str(n),
            names[n] if n < len(names) else "",
            f"{face.landmarks[n, 0]:.2f}",
            f"{face.landmarks[n, 1]:.2f}",
            f"{face.spreads[n]:.2f}",
            f"{face.confidences[n]:.3f}",
            *(() if known is None else (f"{known[n]:.3f}",)),
        )
        for n in range(N_LANDMARKS)
    ]
    columns = ("#", "landmark", "x", "y", "sd", "confidence")
    return table(columns if known is None else (*columns, "occluded"), rows, left=(1,))


def model_summary(model: Model) -> str:
    """The model in a few lines: what it is, what runs it, its detectors, accuracy and terms."""
    runtime, limits = model.runtime, model.limits
    lines = [
        f"bundle     {model.bundle_id}",
        f"model      {model.exemplars} exemplars of {model.landmarks} landmarks, input {model.input_size} px",
        f"runtime    {runtime.name} {runtime.version}, {runtime.precision} on {runtime.device}",
        f"           {runtime.reason}",
        f"server     {model.server_version}",
        f"limits     {limits.max_message_bytes} bytes a message, {limits.max_pixels} pixels, "
        f"{limits.max_faces} faces, {limits.max_deadline:g} s",
        f"presence   a face counts as there from {model.presence_threshold:g}",
    ]
    lines += [
        f"detector   {d.name}: {'available' if d.available else 'boxes only'}" + ", default" * d.is_default
        for d in model.detectors
    ]
    lines += [
        f"accuracy   boxes {a.boxes}: {a.faces} faces, AUC {a.auc:.3f}, failures {a.failure_rate:.2f} %, "
        f"missed {a.missed:.2f} %"
        for a in model.calibration.accuracy
    ]
    lines += [f"terms      {t.subject}: {t.name}. {t.terms}" for t in model.licences]
    lines.append(f"trained on {model.training_data}")
    return "\n".join(lines)


def heatmap_table(face: Face) -> str:
    """For each heatmap: the landmark, the centre of its heaviest cell, that cell's mass, and the mass outside."""
    maps = face.heatmaps
    if maps is None:
        return "no heatmaps"
    x0, y0, x1, y1 = maps.rectangle.tolist()
    height, width = maps.masses.shape[1:]
    rows = []
    for n, cells, outside in zip(maps.landmarks, maps.masses, maps.mass_outside, strict=True):
        row, column = divmod(int(cells.argmax()), width)
        x, y = x0 + (column + 0.5) * (x1 - x0) / width, y0 + (row + 0.5) * (y1 - y0) / height
        rows.append((str(n), NAMES[n], f"{x:.1f}", f"{y:.1f}", f"{cells.max():.3f}", f"{outside:.4f}"))
    return table(("#", "landmark", "peak x", "peak y", "mass there", "outside"), rows, left=(1,))


def pose_table(pose: Pose) -> str:
    """Mean, standard deviation and intervals of the three angles, degrees."""
    rows = [
        (
            name,
            f"{getattr(pose, name):+.1f}",
            f"{max(float(pose.covariance[i, i]), 0.0) ** 0.5:.1f}",
            *("{:+.1f} to {:+.1f}".format(*getattr(interval, name)) for interval in pose.intervals),
        )
        for i, name in enumerate(("yaw", "pitch", "roll"))
    ]
    return table(("degrees", "mean", "sd", *(f"{i.mass:.0%}" for i in pose.intervals)), rows, left=(0,))


def conditional_summary(answer: Conditional) -> str:
    """The outcome, and how sure the answer was before and is after the evidence."""
    surprise = "" if answer.surprise is None else f", surprise {answer.surprise:.2f} nats"
    rows = [
        (
            name,
            f"{face.entropy:.2f}",
            f"{face.effective_exemplars:.1f}",
            f"{float((face.spreads**2).mean()) ** 0.5:.2f}",
            " ".join(f"{v:.1f}" for v in face.box),
            str(face.map_class_id),
        )
        for name, face in (("before", answer.prior), ("after", answer.face))
        if face is not None
    ]
    columns = ("", "entropy", "exemplars", "spread px", "box (x0 y0 x1 y1)", "MAP")
    return f"{answer.outcome.value}{surprise}\n" + table(columns, rows, left=(0,))


def suggestion_table(answer: Suggestions) -> str:
    """Landmarks to click next, with the expected drop in error and entropy."""
    rows = [
        (
            str(rank),
            NAMES[s.landmark],
            f"{answer.face.landmarks[s.landmark, 0]:.1f}",
            f"{answer.face.landmarks[s.landmark, 1]:.1f}",
            f"{s.error_reduction:.3f}",
            f"{s.entropy_reduction:.3f}",
        )
        for rank, s in enumerate(answer.suggestions, start=1)
    ]
    head = f"expected error {answer.expected_error:.2f} px, entropy {answer.face.entropy:.2f} nats\n"
    return head + table(("", "landmark", "x", "y", "px less", "nats less"), rows, left=(1,))
