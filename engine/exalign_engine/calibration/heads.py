"""Pose and presence of a bundle, fitted together: on faces as they are and on faces that are turned far."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from exalign_engine.arrays import F32, F64
from exalign_engine.bundle.atomic_rewrite import rewritten
from exalign_engine.bundle.bundle import Bundle, seal
from exalign_engine.calibration.pose import PoseFit, error_rows, fit_pose, interval_rows
from exalign_engine.calibration.presence import PresenceFit, fit_presence, fit_presence_of_turned
from exalign_engine.calibration.turned import LEAST, fit_beside, fit_map, turned_answers, turned_rows
from exalign_engine.exemplars.poses import Poses
from exalign_engine.geometry.head_pose import wrap
from exalign_engine.metrics.presence import PresenceCrops, looked_at, presence_crops, presence_report
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Outputs, Runtime
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.pose import displaced_turn
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.posterior.residual import ImageFeatures
from exalign_engine.progress import progress_bar
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.covered import covered_crops
from exalign_engine.sampling.faces import FaceMemory
from exalign_engine.sampling.profiled import level_face

#: Seeds of the crops that presence is fitted on, and the most faces of ``train`` for it.
PRESENCE_SEED, PRESENCE_TRAIN_SEED, COVERED_SEED, PRESENCE_TRAIN = 10, 77, 78, 1000


@dataclass(frozen=True)
class ScoredFaces:
    """The faces of ``val`` about their true boxes, and what the network answered.

    Attributes:
        truth: (B, 68, 2) float64, box frames.
        outputs: of the B crops.
        images: what the residual reads of each.
    """

    truth: F64
    outputs: Outputs
    images: Sequence[ImageFeatures | None]

    def posteriors(self, model: PosteriorModel) -> list[Posterior]:
        """B posteriors."""
        return [model.posterior(s, i) for s, i in zip(self.outputs.scores, self.images, strict=True)]


@dataclass(frozen=True)
class TurnedFaces:
    """What the pose is fitted on.

    Attributes:
        probabilities: (K,) of each of the B faces.
        turned: (B, 3) degrees: the true pose less the turn of the face's own displacement.
        fit: scale and excess.
    """

    probabilities: Sequence[F32]
    turned: F64
    fit: PoseFit


@dataclass(frozen=True)
class HeadsFit:
    """What `fit_heads` found.

    Attributes:
        calibration: with pose and presence.
        pose: for the card.
        presence: for the card.
    """

    calibration: Calibration
    pose: dict[str, Any]
    presence: dict[str, Any]


def score_faces(network: Runtime, faces: FaceMemory, augmenter: Augmenter) -> ScoredFaces:
    """Run the network over undisturbed faces about their true boxes."""
    samples = [augmenter.plain(i, p) for i, p in zip(faces.images, faces.landmarks, strict=True)]
    truth = np.stack([s.shape for s in samples]).astype(np.float64)
    outputs = score(network, (s.crop for s in samples), progress_bar(len(samples), "val"))
    return ScoredFaces(truth, outputs, [row.image for row in outputs.rows()])


def fit_heads(
    bundle: Bundle, calibration: Calibration, network: Runtime, train: FaceMemory, val: FaceMemory, scored: ScoredFaces
) -> HeadsFit:
    """Fit pose and presence.

    Args:
        bundle: its exemplars, residual and plain poses.
        calibration: temperature and kernels.
        network: executes the bundle's network.
        train: faces that the map of poses and the direction of presence are fitted on.
        val: faces that all else is fitted on.
        scored: the same faces about their true boxes.
    """
    augmenter = Augmenter(AugmentConfig(), bundle.manifest.input_size, bundle.manifest.margin)
    face = level_face(train.landmarks)
    taught = turned_answers(bundle, calibration, network, train, face, val=False)
    judged = turned_answers(bundle, calibration, network, val, face, val=True)
    print("fitting pose and presence …", file=sys.stderr)
    found = fit_map(taught, bundle.poses.mean_face)
    poses = bundle.poses.mapped(found)
    posteriors = scored.posteriors(PosteriorModel(bundle.exemplars, calibration, bundle.residual))
    turned = fit_turned(poses, posteriors, scored.truth)
    calibration = replace(
        calibration,
        pose_scale=turned.fit.scale,
        pose_excess=turned.fit.excess,
        pose_yaw=found.yaw,
        pose_pitch=found.pitch,
    )
    calibration = replace(calibration, pose_turned=fit_beside(judged, poses, calibration))
    seen, empty = presence_crops(network, val, augmenter, PRESENCE_SEED, progress_bar(4 * len(val), "presence"))
    image = scored.images[0]
    looks = 1 if bundle.residual is None or image is None else bundle.residual.looks(image)
    by_mass = fit_presence(seen.mass, empty.mass)
    whole = _presence(network, train, val, augmenter, (taught.crops, judged.crops), (seen, empty), looks)
    calibration = replace(
        calibration,
        presence_slope=by_mass.slope,
        presence_offset=by_mass.offset,
        presence_embedding=() if whole is None else (whole.slope, whole.offset, *whole.weights),
    )
    pose = {
        "intervals": interval_rows(turned.probabilities, turned.turned, poses, calibration),
        **error_rows(turned.probabilities, turned.turned, scored.truth, poses),
        "turned": turned_rows(judged, poses, calibration),
    }
    return HeadsFit(calibration, pose, presence_report(calibration, seen, empty))


def recalibrate_heads(bundle: Bundle, network: Runtime, train: FaceMemory, val: FaceMemory) -> HeadsFit:
    """Fit pose and presence of a bundle whose temperature and kernels stay."""
    augmenter = Augmenter(AugmentConfig(), bundle.manifest.input_size, bundle.manifest.margin)
    plain = replace(bundle.calibration, presence_embedding=())
    return fit_heads(bundle, plain, network, train, val, score_faces(network, val, augmenter))


def fit_turned(poses: Poses, posteriors: Sequence[Posterior], truth: F64) -> TurnedFaces:
    """Fit the pose's kernels and excess on the faces of ``val``."""
    probabilities = [p.probabilities for p in posteriors]
    turned = wrap(poses.of(truth) - np.stack([displaced_turn(p, poses) for p in posteriors]))
    return TurnedFaces(probabilities, turned, fit_pose(probabilities, turned, poses))


def _presence(
    network: Runtime,
    train: FaceMemory,
    val: FaceMemory,
    augmenter: Augmenter,
    turned: tuple[PresenceCrops, PresenceCrops],
    on_val: tuple[PresenceCrops, PresenceCrops],
    looks: int,
) -> PresenceFit | None:
    """With the embedding; None where the network has none to read, or no head could be turned."""
    (taught, judged), (seen, empty) = turned, on_val
    if not taught.embedding.size or min(len(taught), len(judged)) < LEAST:
        return None
    rows = np.unique(np.linspace(0, len(train) - 1, min(PRESENCE_TRAIN, len(train))).astype(int))
    some = FaceMemory([train.images[i] for i in rows], train.landmarks[rows], [train.ids[i] for i in rows])
    report = progress_bar(4 * len(some), "presence of train")
    faces, others = presence_crops(network, some, augmenter, PRESENCE_TRAIN_SEED, report)
    half, whole = _covered(network, some, augmenter)
    val_half, val_whole = _covered(network, val, augmenter)
    return fit_presence_of_turned(
        (faces, taught, half),
        PresenceCrops.joined([others, whole]),
        (seen, judged, val_half),
        PresenceCrops.joined([empty, val_whole]),
        looks,
    )


def _covered(network: Runtime, faces: FaceMemory, augmenter: Augmenter) -> tuple[PresenceCrops, PresenceCrops]:
    """Faces behind pieces of photographs, in part and wholly."""
    half, whole = (
        looked_at(network, covered_crops(faces, augmenter, COVERED_SEED, wholly=wholly)) for wholly in (False, True)
    )
    return half, whole


def write_heads(bundle: Bundle, fit: HeadsFit) -> None:
    """Put pose and presence into the bundle's files and seal it, whole or not at all."""
    card = {**bundle.calibration.card, "pose": fit.pose, "presence": fit.presence}
    with rewritten(bundle.path) as copy:
        replace(fit.calibration, card=card).write(copy / "calibration.json")
        seal(copy, bundle.manifest)


def heads_line(fit: HeadsFit) -> str:
    """One line for people."""
    far = [row for row in fit.pose["turned"] if row["angle"] == "yaw"]
    text = ", ".join(f"{row['from']:.0f}-{row['to']:.0f}° {row['error']:.1f}°" for row in far)
    return f"presence ROC AUC {fit.presence['roc_auc']}; mean error of yaw on turned val: {text or 'none was turned'}"
