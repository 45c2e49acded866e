"""Batches of training and validation samples, in an order that depends on (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.sampling.augment import Augmenter, CropSample
from exalign_engine.sampling.faces import FaceMemory
from exalign_engine.train.ranks import ALONE, Ranks


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
    threads: int = 2,
    ranks: Ranks = ALONE,
) -> Iterator[Batch]:
    """One epoch: every face once in a random order, a share of them turned into negatives.

    Of every batch a process makes its own rows only.

    ``threads``, two at least, work in front of the consumer (OpenCV and NumPy leave the GIL); the batches come in order
    and are the same for any number of threads. A last incomplete batch is left out.
    """
    threads = max(threads, 2)
    ahead = 2 * threads
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
    with ThreadPoolExecutor(threads, thread_name_prefix="augment") as pool:
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
