"""Batches of training and validation samples, in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.source import FaceSource, box_frame_shapes
from exalign_engine.frames import BoxFrame, extract_crop, tight_box
from exalign_engine.pose import fit_mean_face, solve_pose
from exalign_engine.scoring import Progress
from exalign_engine.synthetic import Variation, bounded_turn, draw_transforms
from exalign_engine.train.augment import Augmenter, CropSample
from exalign_engine.train.ranks import ALONE, Ranks
from exalign_engine.turning import TurnableFace

#: Faces are kept in memory as squares of this many box sides …
KEPT_MARGIN = 1.8
#: … and this many pixels.
KEPT_SIZE = 160


#: A picture (h, w, 3) uint8 RGB and its landmarks (68, 2) float64, pixels.
Picture = tuple[NDArray[np.uint8], NDArray[np.float64]]

#: Vertices along a side of the mesh that turns a training face: cells of about five pixels.
VERTICES = 49


@dataclass(frozen=True)
class FaceMemory:
    """All faces of a split as small squares in memory.

    Attributes:
        images: N images, (h, w, 3) uint8 RGB, about 160 × 160.
        landmarks: (N, 68, 2) float64, frame of ``images[i]``, pixels.
        ids: N names.
        turned: per face, pictures in which it was turned in 3-D, with their landmarks; empty where none were made.
    """

    images: list[NDArray[np.uint8]]
    landmarks: NDArray[np.float64]
    ids: list[str]
    turned: Sequence[Sequence[Picture]] = ()

    def __len__(self) -> int:
        return len(self.images)


def load_faces(source: FaceSource, limit: int = 0) -> FaceMemory:
    """Read a split into memory; images that are not about 160 pixels for 1.8 boxes are cut down to that.

    Args:
        source: annotated faces.
        limit: at most so many, evenly spaced; 0 takes all.
    """
    n = len(source)
    chosen = range(n) if not 0 < limit < n else np.linspace(0, n - 1, limit).astype(int)
    images, landmarks = [], []
    for i in chosen:
        image, points = source.image(int(i)), source.landmarks[i]
        frame = BoxFrame.from_box(tight_box(points))
        step = KEPT_MARGIN * frame.side / KEPT_SIZE
        if not 0.85 < step < 1.15 or max(image.shape[:2]) > 1.2 * KEPT_SIZE:
            image = extract_crop(image, frame, KEPT_MARGIN, KEPT_SIZE)
            points = (frame.from_image(points) - 0.5) * KEPT_SIZE / KEPT_MARGIN + (KEPT_SIZE - 1) / 2
        images.append(image)
        landmarks.append(points)
    return FaceMemory(images, np.stack(landmarks), [source.ids[int(i)] for i in chosen])


def with_turned(
    faces: FaceMemory, pictures: int, turn_deg: float, seed: int, progress: Progress | None = None
) -> FaceMemory:
    """The same faces, each also turned in 3-D.

    Args:
        faces: in memory.
        pictures: to make of each face.
        turn_deg: standard deviation of their yaw, degrees; pitch and bounds as in `exalign_engine.synthetic`.
        seed: the turns of face i depend on (seed, i) alone.
        progress: told after each face how many are done.
    """
    mean_face = fit_mean_face(box_frame_shapes(faces.landmarks))
    yaw = solve_pose(faces.landmarks, mean_face)[:, 0].astype(np.float64)
    variation = Variation(turned=1.0, turn_deg=turn_deg)

    def turn(i: int) -> list[Picture]:
        image = faces.images[i]
        face = TurnableFace(image, faces.landmarks[i], mean_face, VERTICES)
        drawn = draw_transforms(pictures, variation, np.random.default_rng([seed, 0x3D, i])).astype(np.float64)
        turns = bounded_turn(np.full(pictures, yaw[i]), drawn)
        size = max(image.shape[:2])
        return [(face.draw(t, np.eye(2, 3), size)[: image.shape[0], : image.shape[1]], face.turned(t)) for t in turns]

    turned = []
    with ThreadPoolExecutor(2, thread_name_prefix="turn") as pool:
        for made in pool.map(turn, range(len(faces))):
            turned.append(made)
            if progress:
                progress(len(turned))
    return replace(faces, turned=turned)


@dataclass(frozen=True)
class Batch:
    """Network inputs with their truth.

    Attributes:
        crops: (B, S, S, 3) uint8.
        shapes: (B, 68, 2) float32, frames of the boxes the crops were cut about.
        is_face: (B,) bool.
    """

    crops: NDArray[np.uint8]
    shapes: NDArray[np.float32]
    is_face: NDArray[np.bool_]


def stack(samples: list[CropSample]) -> Batch:
    """Samples → one batch."""
    return Batch(
        np.stack([s.crop for s in samples]),
        np.stack([s.shape for s in samples]),
        np.array([s.is_face for s in samples]),
    )


def training_batches(
    faces: FaceMemory,
    augmenter: Augmenter,
    seed: int,
    epoch: int,
    batch_size: int,
    ahead: int = 4,
    ranks: Ranks = ALONE,
) -> Iterator[Batch]:
    """One epoch: every face once in a random order, a share of them turned into negatives.

    Of every batch a process makes its own rows only.

    Two threads work ``ahead`` batches in front of the consumer (OpenCV and NumPy leave the GIL); the batches
    come in order and are the same for any number of threads. A last incomplete batch is left out.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(faces))

    def sample(index: int) -> CropSample:
        rng = np.random.default_rng([seed, epoch, int(index)])
        make = augmenter.negative if rng.random() < augmenter.config.negatives else augmenter.face
        picture = faces.images[index], faces.landmarks[index]
        if faces.turned and rng.random() < augmenter.config.turned:
            picture = faces.turned[index][int(rng.integers(len(faces.turned[index])))]
        return make(*picture, rng)

    def make_batch(start: int) -> Batch:
        return stack([sample(i) for i in order[start : start + batch_size][ranks.rows(batch_size)]])

    starts = range(0, len(order) - batch_size + 1, batch_size)
    with ThreadPoolExecutor(2, thread_name_prefix="augment") as pool:
        waiting = [pool.submit(make_batch, s) for s in starts[:ahead]]
        for i in range(len(starts)):
            if i + ahead < len(starts):
                waiting.append(pool.submit(make_batch, starts[i + ahead]))
            yield waiting[i].result()
            waiting[i] = None  # type: ignore[call-overload]  # lets the batch be freed


def plain_batches(faces: FaceMemory, augmenter: Augmenter, batch_size: int) -> Iterator[Batch]:
    """Every face once, in order, about its true box, undisturbed."""
    for start in range(0, len(faces), batch_size):
        rows = range(start, min(start + batch_size, len(faces)))
        yield stack([augmenter.plain(faces.images[i], faces.landmarks[i]) for i in rows])
