"""What the model says of turned faces: pose, its intervals, presence and inner landmarks, by bins of the true angle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from benchmarks.turned.draped import DrapedFace
from benchmarks.turned.head import Head
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.data.face_source import FaceSource
from exalign_engine.face.aligner import FACE_BOX, Face, LocatedFace
from exalign_engine.face.views import pose as pose_of
from exalign_engine.geometry.frames import BoxFrame, diagonal, tight_box
from exalign_engine.geometry.head_pose import PITCH, ROLL, YAW, solve_pose, wrap
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import Progress
from exalign_engine.sampling.corruptions import seeded

F64 = NDArray[np.float64]

#: A base is a photograph that looks straight ahead, up to this; yaw, pitch and roll, degrees.
FRONTAL = (8.0, 15.0, 10.0)

#: Bins of yaw (either way, the other side folded over) and of pitch, degrees. In the other angle a face is turned a
#: little at random, evenly up to `BESIDE`; roll is 0.
YAW_EDGES = (0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 80.0)
PITCH_EDGES = (-40.0, -35.0, -20.0, -5.0, 5.0, 20.0, 35.0, 40.0)
BESIDE = 10.0

#: Of all 68, those that are not of the jaw.
INNER = slice(17, 68)

#: Pictures that are scored at once: their scores (K floats each) are never held together.
CHUNK = 64

#: Masses of the intervals.
MASSES = (0.5, 0.9)


@dataclass(frozen=True)
class TurnedFace:
    """One picture of a turned face, and what was said of it.

    Attributes:
        axis: `YAW` or `PITCH`: which angle is swept.
        true: (3,) yaw, pitch and roll, degrees.
        mean: (3,) of the posterior.
        held: (2, 3) bool: the interval of each of `MASSES` holds the truth.
        width: (2, 3) of the intervals, degrees.
        presence: of the crop.
        inner: mean error of landmarks 17-67 ÷ diagonal of the true box.
        seen: the same of those that the head does not hide.
        moved: (3,) pose of the answered landmarks by the bundle's own 3-D face.
        truth: (3,) pose of the true landmarks by the bundle's own 3-D face.
        exemplars: (3,) mean pose of the exemplars as they are, displaced by nothing.
    """

    axis: int
    true: F64
    mean: F64
    held: NDArray[np.bool_]
    width: F64
    presence: float
    inner: float
    seen: float
    moved: F64
    truth: F64
    exemplars: F64


def frontal(faces: FaceSource, head: Head, limit: int) -> list[int]:
    """Rows of photographs that look straight ahead by this head: at most so many, evenly spaced."""
    poses = solve_pose(faces.landmarks, head.face).astype(np.float64)
    straight = np.flatnonzero((np.abs(wrap(poses)) <= FRONTAL).all(axis=1))
    return [
        int(straight[i]) for i in np.unique(np.linspace(0, len(straight) - 1, min(limit, len(straight))).astype(int))
    ]


def wanted(face_id: str) -> list[tuple[int, F64]]:
    """Poses that a face is turned to, one a bin: the swept angle, and yaw, pitch and roll in degrees."""
    rng = seeded(face_id, "turned")
    poses = []
    for low, high in pairwise(YAW_EDGES):
        yaw = rng.uniform(low, high) * rng.choice([-1.0, 1.0])
        poses.append((YAW, np.array([yaw, rng.uniform(-BESIDE, BESIDE), 0.0])))
    for low, high in pairwise(PITCH_EDGES):
        poses.append((PITCH, np.array([rng.uniform(-BESIDE, BESIDE), rng.uniform(low, high), 0.0])))
    return poses


def measured(
    bundle: Bundle, runtime: Runtime, faces: FaceSource, rows: Sequence[int], head: Head, progress: Progress | None
) -> list[TurnedFace]:
    """Turn faces and ask about them, each about the true box of its turned landmarks."""
    model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    size, margin = bundle.manifest.input_size, bundle.manifest.margin
    answers: list[TurnedFace] = []
    waiting: list[_Case] = []

    def flush() -> None:
        out = score(runtime, (case.crop for case in waiting))
        for case, row in zip(waiting, out.rows(), strict=True):
            posterior = model.posterior(row.scores, row.image, row.sums)
            box = tight_box(case.points)
            located = LocatedFace(box, box, FACE_BOX, False, None)
            answers.append(_answer(bundle, Face(located, posterior), case))
        waiting.clear()

    for done, row in enumerate(rows):
        waiting.extend(_cases(faces, row, head, size, margin))
        if len(waiting) >= CHUNK:
            flush()
        if progress:
            progress(done + 1)
    if waiting:
        flush()
    return answers


@dataclass(frozen=True)
class _Case:
    axis: int
    pose: F64
    crop: NDArray[np.uint8]
    points: F64
    hidden: NDArray[np.bool_]


def _cases(faces: FaceSource, row: int, head: Head, size: int, margin: float) -> Iterator[_Case]:
    draped = DrapedFace(faces.image(row), faces.landmarks[row], head)
    for axis, pose in wanted(faces.ids[row]):
        points = draped.turned(pose)
        turned = draped.draw(pose, BoxFrame.from_box(tight_box(points)).moved(0.0, 0.0, margin), size)
        yield _Case(axis, pose, turned.picture, points, turned.hidden)


def _answer(bundle: Bundle, face: Face, case: _Case) -> TurnedFace:
    view = pose_of(face, bundle.poses, bundle.calibration, MASSES)
    centre, width = np.mean(view.intervals, axis=-1), np.ptp(view.intervals, axis=-1)
    error = np.linalg.norm(face.landmarks - case.points, axis=1) / diagonal(tight_box(case.points))
    inner, seen = error[INNER], error[INNER][~case.hidden[INNER]]
    moved, truth = solve_pose(np.stack([face.landmarks, case.points]), bundle.poses.mean_face).astype(np.float64)
    kept = face.posterior.kept
    return TurnedFace(
        axis=case.axis,
        true=case.pose,
        mean=np.asarray(view.mean),
        held=np.abs(wrap(case.pose - centre)) <= width / 2,
        width=width,
        presence=face.presence,
        inner=float(inner.mean()),
        seen=float(seen.mean()),
        moved=moved,
        truth=truth,
        exemplars=np.asarray(kept.weights.astype(np.float64) @ bundle.poses.pose[kept.index]),
    )


def rows_of(answers: Sequence[TurnedFace]) -> list[dict[str, Any]]:
    """A row for each bin: errors and biases in degrees, shares from 0 to 1, landmarks in % of the diagonal.

    Bias is along the turn: of yaw, positive where the answer is turned farther aside than the truth.
    """
    rows = []
    for axis, name, edges in ((YAW, "yaw", YAW_EDGES), (PITCH, "pitch", PITCH_EDGES)):
        swept = [a for a in answers if a.axis == axis]
        for low, high in pairwise(edges):
            angle = [abs(a.true[axis]) if axis == YAW else a.true[axis] for a in swept]
            inside = [a for a, at in zip(swept, angle, strict=True) if low <= at < high]
            if inside:
                rows.append({"angle": name, "from": low, "to": high, **_row(inside, axis)})
    return rows


def _row(inside: Sequence[TurnedFace], axis: int) -> dict[str, Any]:
    sign = np.array([np.sign(a.true[axis]) if axis == YAW else 1.0 for a in inside])

    def off(field: str, at: int = axis) -> F64:
        return wrap(np.stack([getattr(a, field) for a in inside])[:, at] - np.stack([a.true for a in inside])[:, at])

    held, width = np.stack([a.held for a in inside]), np.stack([a.width for a in inside])
    presence = np.array([a.presence for a in inside])
    return {
        "faces": len(inside),
        "error": round(float(np.abs(off("mean")).mean()), 2),
        "bias": round(float((sign * off("mean")).mean()), 2),
        "roll_error": round(float(np.abs(off("mean", ROLL)).mean()), 2),
        **{f"held_{round(100 * m)}": round(float(held[:, i, axis].mean()), 3) for i, m in enumerate(MASSES)},
        **{f"width_{round(100 * m)}": round(float(np.median(width[:, i, axis])), 1) for i, m in enumerate(MASSES)},
        "bias_of_exemplars": round(float((sign * off("exemplars")).mean()), 2),
        "bias_of_landmarks": round(float((sign * off("moved")).mean()), 2),
        "bias_of_true_landmarks": round(float((sign * off("truth")).mean()), 2),
        "presence_median": round(float(np.median(presence)), 3),
        "present": round(float((presence >= 0.5).mean()), 4),
        "inner": round(100 * float(np.mean([a.inner for a in inside])), 2),
        "inner_seen": round(100 * float(np.mean([a.seen for a in inside])), 2),
    }
