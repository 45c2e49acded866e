"""Fitting the refiner round after round: which boxes are looked at, and whether a round stays.

Each face is looked at about its detections, and about true boxes moved at random, once as it is and once mirrored. The
network knows these faces; so half of the crops are disturbed, and what is chosen is chosen on faces that it never saw.
Boxes that the first round has moved are fitted again: their errors are smaller, and no longer independent of the
answers. Such a round stays if landmarks on ``val`` gain by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from exalign_engine.arrays import F64, U8
from exalign_engine.data.face_source import FaceSource
from exalign_engine.detect import MISS_IOU, BoxAffine, Detector
from exalign_engine.geometry.frames import BoxFrame, extract_crop, iou, tight_box
from exalign_engine.metrics.accuracy import nrmse, summarise
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import Progress
from exalign_engine.refiner.refiner import NOISE, BoxMove, BoxObservation, Refiner, Round, next_frames, seen_shape
from exalign_engine.refiner.regression import IMPORTANCE, ScoredBoxes, choose_round, fit_geometry
from exalign_engine.sampling.augment import add_noise, blur, lower_resolution, mirror_image, occlude, recolour

#: Opens a bar of so many steps of some work.
Bar = Callable[[int, str], Progress]

#: Training faces that are looked at, each in four crops and more a round.
REFINER_FACES = 2500

#: Boxes of `NOISE`: off by at most this share of the side and of its size, or by these standard deviations (of dx, dy
#: and ln scale; no more than three of them).
UNIFORM, GAUSSIAN = 0.15, (0.05, 0.05, 0.07)

#: Rounds that are tried, and what one must add to the AUC on ``val`` to stay.
ROUNDS, MIN_GAIN = 2, 0.0005

#: Seed of the boxes and of the disturbances.
BOX_SEED = 12

#: Crops whose scores are held at once.
CHUNK = 64


@dataclass(frozen=True)
class BoxedFace:
    """A face and a box about it.

    Attributes:
        row: of its source.
        mirrored: whether it is looked at in a mirror.
        source: of the box: a detector, or `NOISE`.
        frame: the box; in the mirrored picture if ``mirrored``.
        disturbed: whether pixels of its crop are disturbed.
    """

    row: int
    mirrored: bool
    source: str
    frame: BoxFrame
    disturbed: bool


class CropScorer:
    """Puts the crops about boxes of one split through the network.

    Args:
        model: reads the answers.
        network: executes the network.
        faces: annotated faces.
        size: crop side, pixels.
        margin: crop side ÷ box side.
        bar: shows how far it is.
    """

    def __init__(
        self,
        model: PosteriorModel,
        network: Runtime,
        faces: FaceSource,
        size: int,
        margin: float,
        bar: Bar | None = None,
    ) -> None:
        self.model, self.network, self.faces = model, network, faces
        self.size, self.margin, self.bar = size, margin, bar

    def picture(self, boxed: BoxedFace) -> tuple[U8, F64]:
        """The picture that a box is in, and its landmarks there."""
        image, points = self.faces.image(boxed.row), np.asarray(self.faces.landmarks[boxed.row], dtype=np.float64)
        return mirror_image(image, points) if boxed.mirrored else (image, points)

    def observe(self, boxes: Sequence[BoxedFace], what: str) -> ScoredBoxes:
        """Put the crops through the network and read the answers."""
        observations: list[BoxObservation] = []
        moves, errors = [], []
        progress = self.bar(len(boxes), what) if self.bar else None
        for start in range(0, len(boxes), CHUNK):
            part = boxes[start : start + CHUNK]
            pictures = [self.picture(boxed) for boxed in part]
            crops = (self._crop(image, boxed) for (image, _), boxed in zip(pictures, part, strict=True))
            for boxed, (_, points), row in zip(part, pictures, score(self.network, crops).rows(), strict=True):
                posterior = self.model.posterior(row.scores, row.image)
                # Copies: a view would keep the scores of the whole batch.
                kept = replace(
                    row, scores=row.scores[:0].copy(), features=row.features.copy(), embedding=row.embedding.copy()
                )
                observations.append(
                    BoxObservation(boxed.source, boxed.frame, replace(kept, image=None), seen_shape(posterior))
                )
                moves.append(BoxMove.between(boxed.frame, BoxFrame.from_box(tight_box(points))))
                errors.append(nrmse(boxed.frame.to_image(posterior.mean), points))
            if progress:
                progress(start + len(part))
        return ScoredBoxes(observations, np.array(moves, dtype=np.float64).reshape(-1, 3), errors)

    def _crop(self, image: U8, boxed: BoxedFace) -> U8:
        crop = extract_crop(image, boxed.frame, self.margin, self.size)
        return disturb(crop, np.random.default_rng([BOX_SEED, boxed.row, boxed.mirrored])) if boxed.disturbed else crop


def disturb(crop: U8, rng: np.random.Generator) -> U8:
    """One crop with a part hidden, blurred, of low resolution, dark, of other colours or noisy."""
    kind = int(rng.integers(6))
    if kind == 0:
        return occlude(crop, rng, 1.0, share=rng.uniform(0.05, 0.4))
    if kind == 1:
        return blur(crop, rng)
    if kind == 2:
        return lower_resolution(crop, rng.uniform(20, 70))
    if kind == 3:
        return np.asarray(crop * np.float32(rng.uniform(0.12, 0.5)), dtype=np.uint8)
    return recolour(crop, rng) if kind == 4 else add_noise(crop, rng)


def boxed_faces(
    faces: FaceSource,
    rows: Sequence[int],
    detectors: Mapping[str, tuple[Detector, BoxAffine]],
    *,
    training: bool,
    bar: Bar | None = None,
) -> list[BoxedFace]:
    """Boxes of every source about every face.

    Args:
        faces: annotated faces.
        rows: which of them.
        detectors: by name, each with the affine from its boxes to face boxes.
        training: also in a mirror, and half of the crops disturbed.
        bar: shows how many faces are done.

    Returns:
        In the order of the faces. A detector that misses a face (no box of IoU ≥ 0.3) gives none.
    """
    boxes = []
    progress = bar(len(rows), "boxes") if bar else None
    for i, row in enumerate(rows):
        image, points = faces.image(row), np.asarray(faces.landmarks[row], dtype=np.float64)
        true = BoxFrame.from_box(tight_box(points))
        found = {name: _detected(image, true, *how) for name, how in detectors.items()} if detectors else {}
        for mirrored in (False, True) if training else (False,):
            rng = np.random.default_rng([BOX_SEED, int(row), mirrored, 1])
            drawn = noise_move(rng, uniform=(i + mirrored) % 2 == 0)
            start = _mirror_frame(true, image.shape[1]) if mirrored else true
            each = {name: frame for name, frame in found.items() if frame is not None}
            here = {name: _mirror_frame(f, image.shape[1]) if mirrored else f for name, f in each.items()}
            disturbed = training and bool(rng.random() < 0.5)
            boxes += [
                BoxedFace(int(row), mirrored, name, frame, disturbed)
                for name, frame in {**here, NOISE: drawn.apply(start)}.items()
            ]
        if progress:
            progress(i + 1)
    return boxes


def noise_move(rng: np.random.Generator, *, uniform: bool) -> BoxMove:
    """A move at random, as `UNIFORM` or `GAUSSIAN` states."""
    if uniform:
        dx, dy, change = rng.uniform(-UNIFORM, UNIFORM, 3)
        return BoxMove(float(dx), float(dy), float(np.log1p(change)))
    dx, dy, log_scale = np.clip(rng.standard_normal(3), -3, 3) * GAUSSIAN
    return BoxMove(float(dx), float(dy), float(log_scale))


def calibrate_refiner(
    model: PosteriorModel,
    network: Runtime,
    train: FaceSource,
    val: FaceSource,
    detectors: Mapping[str, tuple[Detector, BoxAffine]],
    size: int,
    margin: float,
    *,
    limit: int = 0,
    bar: Bar | None = None,
) -> tuple[Refiner, dict[str, Any]]:
    """Fit the refiner of a bundle that is otherwise calibrated.

    Args:
        model: reads answers.
        network: executes the network.
        train: at most `REFINER_FACES` of them are fitted on, evenly spaced.
        val: chooses.
        detectors: by name, each with the affine from its boxes to face boxes.
        size: crop side, pixels.
        margin: crop side ÷ box side.
        limit: use only so many faces of each split; 0 uses all.
        bar: shows progress.

    Returns:
        See `fit_refiner`.
    """
    boxes = [
        boxed_faces(faces, refiner_rows(faces, most, limit), detectors, training=faces is train, bar=bar)
        for faces, most in ((train, REFINER_FACES), (val, len(val)))
    ]
    scorers = [CropScorer(model, network, faces, size, margin, bar) for faces in (train, val)]
    return fit_refiner(scorers[0], boxes[0], scorers[1], boxes[1])


def refiner_rows(faces: FaceSource, most: int, limit: int) -> list[int]:
    """At most so many rows, evenly spaced; a limit of 0 is none."""
    count = min(len(faces), most, limit or most)
    return [int(i) for i in np.unique(np.linspace(0, len(faces) - 1, count).astype(int))]


def fit_refiner(
    train: CropScorer, train_boxes: Sequence[BoxedFace], val: CropScorer, val_boxes: Sequence[BoxedFace]
) -> tuple[Refiner, dict[str, Any]]:
    """Fit round after round, as long as ``val`` gains.

    Args:
        train: scores training faces.
        train_boxes: of `boxed_faces` with ``training``.
        val: scores validation faces.
        val_boxes: of `boxed_faces`.

    Returns:
        The refiner as a bundle keeps it (weights in half precision), and its card: ``rounds`` (the inputs and penalties
        that were tried, what was chosen, whether it stayed) and ``val`` (figures by source before and after each).

    Raises:
        ValueError: a source has boxes in only one of the splits, or there are none.
    """
    sources = tuple(sorted({b.source for b in train_boxes}))
    if not sources or set(sources) != {b.source for b in val_boxes}:
        raise ValueError(f"train has boxes of {list(sources)}, val of {sorted({b.source for b in val_boxes})}")
    seen, held_out = train.observe(train_boxes, "train, round 0"), val.observe(val_boxes, "val, round 0")
    figures = [_figures(held_out, sources, 0)]
    rounds: list[Round] = []
    cards: list[dict[str, Any]] = []
    while len(rounds) < ROUNDS:
        best, card = choose_round(seen, held_out, sources)
        # As it will be read, so that what is measured is what is shipped.
        refiner = Refiner.of_arrays(Refiner(sources, (*rounds, best)).to_arrays())
        n = len(rounds) + 1
        val_boxes = _moved(refiner, val_boxes, held_out, n - 1)
        held_out = val.observe(val_boxes, f"val, round {n}")
        figures.append(_figures(held_out, sources, n))
        before, after = (float(np.mean([row["auc"] for row in rows])) for rows in figures[-2:])
        kept = not rounds or after - before >= MIN_GAIN
        cards.append({**card, "gain": round(after - before, 6), "kept": kept})
        if not kept:
            break
        rounds = list(refiner.rounds)
        if n < ROUNDS:
            train_boxes = _moved(refiner, train_boxes, seen, n - 1)
            seen = train.observe(train_boxes, f"train, round {n}")
    return Refiner(sources, tuple(rounds)), {"rounds": cards, "val": [row for rows in figures for row in rows]}


def add_source(
    refiner: Refiner,
    train: CropScorer,
    train_boxes: Sequence[BoxedFace],
    val: CropScorer,
    val_boxes: Sequence[BoxedFace],
) -> tuple[Refiner, list[dict[str, Any]]]:
    """A refiner that knows one detector more, or knows it anew. About all other boxes it answers as before, to the bit.

    Args:
        refiner: fitted before.
        train: scores training faces.
        train_boxes: of `boxed_faces`, of one source alone.
        val: scores validation faces.
        val_boxes: likewise.

    Returns:
        The refiner, and its figures on ``val`` before and after each round.
    """
    (name,) = {box.source for box in (*train_boxes, *val_boxes)}
    others = [i for i, source in enumerate(refiner.sources) if source != name]
    sources = (*(refiner.sources[i] for i in others), name)
    held_out = val.observe(val_boxes, "val, round 0")
    figures, rounds = _figures(held_out, [name], 0), []
    for n, each in enumerate(refiner.rounds):
        seen = train.observe(train_boxes, f"train, round {n}")
        geometry = np.concatenate([each.geometry[others], fit_geometry(seen, each.weight)[None]])
        rounds.append(Round(geometry, each.weight))
        grown = Refiner(sources, tuple(rounds))
        train_boxes, val_boxes = _moved(grown, train_boxes, seen, n), _moved(grown, val_boxes, held_out, n)
        held_out = val.observe(val_boxes, f"val, round {n + 1}")
        figures += _figures(held_out, [name], n + 1)
    return Refiner(sources, tuple(rounds)), figures


def _moved(refiner: Refiner, boxes: Sequence[BoxedFace], seen: ScoredBoxes, round_: int) -> list[BoxedFace]:
    frames = next_frames(refiner, seen.observations, round_)
    return [replace(box, frame=frame or box.frame) for box, frame in zip(boxes, frames, strict=True)]


def _figures(seen: ScoredBoxes, sources: Sequence[str], round_: int) -> list[dict[str, Any]]:
    """Of each source's answers and boxes after so many rounds."""
    rows = []
    for source in sources:
        chosen = seen.subset(source)
        error = float(np.sqrt((seen.moves[chosen] ** 2 @ IMPORTANCE).mean()))
        figures = summarise([seen.errors[i] for i in chosen])
        kept = {name: figures[name] for name in ("n", "auc", "failure_rate")}
        rows.append({"source": source, "round": round_, **kept, "box_error": round(error, 6)})
    return rows


def _detected(image: U8, true: BoxFrame, detector: Detector, affine: BoxAffine) -> BoxFrame | None:
    """The detection that overlaps a face most, as its face box; None for a miss."""
    frames = [BoxFrame.from_box(affine.face_box(found)) for found in detector.detect(image)]
    overlaps = [iou(frame.box, true.box) for frame in frames]
    return frames[int(np.argmax(overlaps))] if overlaps and max(overlaps) >= MISS_IOU else None


def _mirror_frame(frame: BoxFrame, width: int) -> BoxFrame:
    return replace(frame, cx=width - 1.0 - frame.cx)
