"""Is there a face at all? The crops that presence is fitted on and judged by, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64, U8
from exalign_engine.metrics.accuracy import reliability, roc_auc
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Outputs, Runtime
from exalign_engine.posterior.calibration import Calibration, score_mass
from exalign_engine.progress import Progress
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.faces import FaceMemory

#: Crops that are scored at once: their scores (K floats each) are not kept.
CHUNK = 256


@dataclass(frozen=True)
class PresenceCrops:
    """What presence reads of B crops.

    Attributes:
        mass: (B,) log Σ exp s.
        embedding: (B, D) float32; (B, 2 D) of a network that looks twice; (B, 0) of one whose embedding is not read.
    """

    mass: F64
    embedding: F32

    def __len__(self) -> int:
        return len(self.mass)

    def __iter__(self) -> Iterator[tuple[float, F32]]:
        return zip(self.mass.tolist(), self.embedding, strict=True)

    @classmethod
    def joined(cls, parts: Sequence[PresenceCrops]) -> PresenceCrops:
        """All of these crops, in order."""
        if not parts:
            return cls(np.zeros(0), np.zeros((0, 0), np.float32))
        return cls(np.concatenate([p.mass for p in parts]), np.concatenate([p.embedding for p in parts]))


def presence_reads(out: Outputs) -> PresenceCrops:
    """What presence reads of some crops that the network saw."""
    # Who has no local map answers without embeddings (`FaceOutputs.image`).
    embedding = out.embedding if out.local is not None else out.embedding[:, :0]
    return PresenceCrops(np.array([score_mass(s) for s in out.scores]), embedding)


def presence_crops(
    runtime: Runtime, faces: FaceMemory, augmenter: Augmenter, seed: int, progress: Progress | None = None
) -> tuple[PresenceCrops, PresenceCrops]:
    """Look at crops with and without a face, as many of each.

    Every face is seen twice, about its true box undisturbed and as training disturbs it; and gives two
    negatives: textures, far-off boxes, shuffled pieces, full occluders. Everything is seeded by (seed, row).

    Returns:
        2 n faces, and 2 n negatives.
    """

    def seen(i: int) -> list[U8]:
        image, points = faces.images[i], faces.landmarks[i]
        rng = np.random.default_rng([seed, 1, i])
        return [augmenter.plain(image, points).crop, augmenter.face(image, points, rng).crop]

    def empty(i: int) -> list[U8]:
        rng = np.random.default_rng([seed, 2, i])
        return [augmenter.negative(faces.images[i], faces.landmarks[i], rng).crop for _ in range(2)]

    def after(done: int) -> Progress | None:
        return None if progress is None else lambda n: progress(done + n)

    def all_of(crops: Callable[[int], list[U8]]) -> Iterator[U8]:
        return (crop for i in range(len(faces)) for crop in crops(i))

    return looked_at(runtime, all_of(seen), after(0)), looked_at(runtime, all_of(empty), after(2 * len(faces)))


def looked_at(runtime: Runtime, crops: Iterator[U8], progress: Progress | None = None) -> PresenceCrops:
    """What presence reads of any number of crops, (S, S, 3) uint8 each."""
    looks, done = [], 0
    for some in _chunks(crops):
        looks.append(presence_reads(score(runtime, some)))
        done += len(some)
        if progress:
            progress(done)
    return PresenceCrops.joined(looks)


def presence_report(calibration: Calibration, faces: PresenceCrops, others: PresenceCrops) -> dict[str, Any]:
    """Area under the ROC curve, and reliability in ten bins with both kinds weighing the same."""
    seen, empty = (np.array([calibration.presence_of(*crop) for crop in crops]) for crops in (faces, others))
    truth = np.r_[np.ones(len(seen), bool), np.zeros(len(empty), bool)]
    return {
        "roc_auc": round(roc_auc(seen, empty), 6),
        "faces": len(seen),
        "negatives": len(empty),
        "found_at_threshold": round(100 * float((seen >= calibration.presence_threshold).mean()), 3),
        "false_at_threshold": round(100 * float((empty >= calibration.presence_threshold).mean()), 3),
        "reliability": reliability(np.r_[seen, empty], truth),
    }


def _chunks(crops: Iterator[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.uint8]]]:
    waiting: list[NDArray[np.uint8]] = []
    for crop in crops:
        waiting.append(crop)
        if len(waiting) == CHUNK:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
