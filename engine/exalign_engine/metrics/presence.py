"""Is there a face at all? The crops that presence is fitted on and judged by, and its figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32
from exalign_engine.metrics.accuracy import reliability, roc_auc
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.progress import Progress
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.faces import FaceMemory


def presence_scores(
    runtime: Runtime, faces: FaceMemory, augmenter: Augmenter, seed: int, progress: Progress | None = None
) -> tuple[F32, F32]:
    """Scores of crops with and without a face, as many of each.

    Every face is seen twice, about its true box undisturbed and as training disturbs it; and gives two
    negatives: textures, far-off boxes, shuffled pieces, full occluders. Everything is seeded by (seed, row).

    Returns:
        (2 n, K) scores of faces, (2 n, K) scores of negatives.
    """

    def crops() -> Iterator[NDArray[np.uint8]]:
        for i in range(len(faces)):
            yield augmenter.plain(faces.images[i], faces.landmarks[i]).crop
            yield augmenter.face(faces.images[i], faces.landmarks[i], np.random.default_rng([seed, 1, i])).crop
        for i in range(len(faces)):
            rng = np.random.default_rng([seed, 2, i])
            yield augmenter.negative(faces.images[i], faces.landmarks[i], rng).crop
            yield augmenter.negative(faces.images[i], faces.landmarks[i], rng).crop

    scores = score(runtime, crops(), progress).scores
    return scores[: 2 * len(faces)], scores[2 * len(faces) :]


def presence_report(calibration: Calibration, face_scores: F32, other_scores: F32) -> dict[str, Any]:
    """Area under the ROC curve, and reliability in ten bins with both kinds weighing the same."""
    faces = np.array([calibration.presence(s) for s in face_scores])
    others = np.array([calibration.presence(s) for s in other_scores])
    truth = np.r_[np.ones(len(faces), bool), np.zeros(len(others), bool)]
    return {
        "roc_auc": round(roc_auc(faces, others), 6),
        "faces": len(faces),
        "negatives": len(others),
        "found_at_threshold": round(100 * float((faces >= calibration.presence_threshold).mean()), 3),
        "false_at_threshold": round(100 * float((others >= calibration.presence_threshold).mean()), 3),
        "reliability": reliability(np.r_[faces, others], truth),
    }
