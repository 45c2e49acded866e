"""What a teacher says about faces, small enough to be carried: means, covariances and the most probable exemplars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.calibration.mixture import fit_coverage, fit_kernels
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.metrics.accuracy import nrmse, summarise
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.posterior.residual import ImageFeatures, ResidualHead
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.faces import FaceMemory
from exalign_engine.train.batches import plain_batches
from exalign_engine.train.network import ExemplarNetwork, SecondLook

#: Covariances are stored in half precision, in ten thousandths of a box side².
COVARIANCE_UNIT = 1e-4


class MeanDisplacer:
    """Several networks' residuals as one: the mean of where each would move a shape.

    Args:
        heads: of N networks; the features of an image are theirs, one after the other.
    """

    def __init__(self, heads: Sequence[ResidualHead]) -> None:
        self.heads = heads

    def displacement(self, image: ImageFeatures, start: F64) -> F64:
        """See `exalign_engine.posterior.residual.Displacer`."""
        n = len(self.heads)
        parts = zip(self.heads, np.split(image.embedding, n), np.split(image.local, n), strict=True)
        return np.asarray(np.mean([h.displacement(ImageFeatures(e, m), start) for h, e, m in parts], axis=0))


class Teacher:
    """Networks that score the same classes; what it says is the mean of their scores, of a crop and its mirror image.

    Args:
        networks: in evaluation mode.
        exemplars: the classes, of which the second half mirrors the first.
        device: that they look on.

    Raises:
        ValueError: the classes are not such halves.
    """

    def __init__(self, networks: Sequence[ExemplarNetwork], exemplars: Exemplars, device: str) -> None:
        half = exemplars.count // 2
        if exemplars.count % 2 or (exemplars.mirror_of[:half] != np.arange(half) + half).any():
            raise ValueError("the second half of the exemplars does not mirror the first: no mirror image can be asked")
        self.exemplars, self.device = exemplars, device
        # Exported from where training left them, on the host.
        heads = [network.residual.export() for network in networks]
        self.displacer = MeanDisplacer(heads) if all(head.levels for head in heads) else None
        self._looks = [SecondLook(network.to(device)).eval() for network in networks]

    def look(self, crops: NDArray[np.uint8]) -> tuple[F32, list[ImageFeatures]]:
        """(B, S, S, 3) → scores (B, K), and what the residuals read of each crop."""
        image, found = torch.from_numpy(crops).to(self.device), []
        with torch.inference_mode():
            for network in self._looks:
                scores, embedding, _, local = network(image)
                found.append([t.float().cpu().numpy() for t in (scores, embedding, local)])
        scores, embedding, local = zip(*found, strict=True)
        each = zip(np.concatenate(embedding, axis=1), np.concatenate(local, axis=1), strict=True)
        return np.mean(scores, axis=0, dtype=np.float32), [ImageFeatures(e, m) for e, m in each]


@dataclass(frozen=True)
class Targets:
    """Of N faces of one split, in its order.

    Attributes:
        ids: names.
        mean: (N, 68, 2) float32, box frame.
        covariance: (N, 68, 3) float16, xx, xy, yy in `COVARIANCE_UNIT`.
        exemplar: (N, M) int32, the most probable classes, in falling order.
        probability: (N, M) float16, theirs.
        accuracy: of ``mean`` against the annotation, see `exalign_engine.metrics.accuracy.summarise`.
    """

    ids: list[str]
    mean: F32
    covariance: NDArray[np.float16]
    exemplar: NDArray[np.int32]
    probability: NDArray[np.float16]
    accuracy: dict[str, Any]


def calibrated(teacher: Teacher, val: FaceMemory, augmenter: Augmenter, batch: int) -> PosteriorModel:
    """Choose temperature and kernels on annotated faces, as a bundle's are chosen."""
    scores, truth, images = [], [], []
    for crops in plain_batches(val, augmenter, batch):
        found, seen = teacher.look(crops.crops)
        scores.append(found)
        truth.append(crops.shapes.astype(np.float64))
        images += seen
    all_scores, all_truth = np.concatenate(scores), np.concatenate(truth)
    seen_by = teacher.displacer, images
    fit = fit_kernels(all_scores, all_truth, teacher.exemplars, *seen_by)
    chosen = Calibration(fit.temperature, fit.kernel_scale, tuple(fit.landmark_scale.tolist()))
    factor = fit_coverage(chosen, all_scores, all_truth, teacher.exemplars, *seen_by).factor
    chosen = Calibration(fit.temperature, factor * fit.kernel_scale, chosen.landmark_scale)
    return PosteriorModel(teacher.exemplars, chosen, teacher.displacer)


def targets_of(
    teacher: Teacher, model: PosteriorModel, faces: FaceMemory, augmenter: Augmenter, top: int, batch: int
) -> Targets:
    """What the teacher says about every face, about its box as it is.

    Args:
        teacher: looks.
        model: see `calibrated`.
        faces: of one split.
        augmenter: cuts the crops.
        top: M.
        batch: faces a call.
    """
    rows: dict[str, list[Any]] = {"mean": [], "covariance": [], "exemplar": [], "probability": []}
    errors: list[float] = []
    for crops in plain_batches(faces, augmenter, batch):
        scores, images = teacher.look(crops.crops)
        for row, image, truth in zip(scores, images, crops.shapes, strict=True):
            posterior = model.posterior(row, image)
            best = posterior.top(top)
            rows["mean"].append(posterior.mean)
            rows["covariance"].append(posterior.covariance / COVARIANCE_UNIT)
            rows["exemplar"].append([k for k, _ in best])
            rows["probability"].append([p for _, p in best])
            errors.append(nrmse(posterior.mean, truth))
    return Targets(
        faces.ids,
        np.asarray(rows["mean"], np.float32),
        np.asarray(rows["covariance"], np.float16),
        np.asarray(rows["exemplar"], np.int32),
        np.asarray(rows["probability"], np.float16),
        summarise(errors),
    )
