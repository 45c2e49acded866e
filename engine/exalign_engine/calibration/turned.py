"""What turned heads teach: the pose of a head from the pose that the mean face says, and how well it is known.

Nearly frontal faces are turned to known poses (`exalign_engine.sampling.profiled`) and looked at by the network. On
those of ``train`` the map of Eq. C2 is fitted, from the pose of the answered landmarks to the known one; on those of
``val`` by how much the answers miss it, beside what the posterior knows of
(`exalign_engine.posterior.pose_calibrated`). Why, and what it brings: docs/decisions/turned-heads.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.exemplars.poses import Poses
from exalign_engine.geometry.head_pose import PITCH, YAW, solve_pose, wrap
from exalign_engine.geometry.landmarks import N_LANDMARKS, mirror_shapes
from exalign_engine.geometry.pose_map import PoseMap, fit_pose_map
from exalign_engine.metrics.presence import PresenceCrops, presence_reads
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.pose import credible_intervals, pose_moments
from exalign_engine.posterior.pose_calibrated import ANGLES, TURNS, calibrated_poses, turn_of
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import progress_bar
from exalign_engine.sampling.faces import FaceMemory
from exalign_engine.sampling.profiled import ProfiledCrop, profiled_crops, straight_faces

#: Faces of ``train`` and of ``val`` that are turned, pictures of each, and seeds.
TRAIN_FACES, VAL_FACES, PICTURES, TRAIN_SEED, VAL_SEED = 1000, 300, 4, 17, 18

#: Pictures scored at once.
CHUNK = 64

#: The map is fitted on heads that are turned no farther than this, degrees: beyond it the network is at a loss.
MAP_YAW = 70.0

#: Fewer pictures than these teach nothing.
LEAST = 100

#: The interval that is made to hold its mass, and half its width in standard deviations.
MASS, NORMAL = 0.9, 1.6449

#: Exemplars that together hold less than this probability are left out.
CUT = 1e-3

#: Edges of the bins that are reported, degrees.
REPORTED = (0.0, 15.0, 30.0, 45.0, 60.0, 75.0)


@dataclass(frozen=True)
class TurnedAnswers:
    """Pictures of turned heads, and what was answered.

    Attributes:
        known: (B, 3) their poses, degrees.
        landmarks: (B, 68, 2) the answered landmarks, box frames.
        turns: B posteriors, as the exemplars that hold mass: ids, weights, and the pair of shapes y₀ and y₀ + Σ p w r.
        crops: what presence reads of them.
    """

    known: F64
    landmarks: F64
    turns: Sequence[tuple[NDArray[np.intp], F32, F64]]
    crops: PresenceCrops


def turned_answers(
    bundle: Bundle, calibration: Calibration, network: Runtime, faces: FaceMemory, face: F64, *, val: bool
) -> TurnedAnswers:
    """Turn faces and look at them; none of them where their pictures would be too few (`LEAST`) to teach anything.

    Args:
        bundle: its exemplars and residual.
        calibration: temperature and kernels.
        network: executes the bundle's network.
        faces: of ``train`` or ``val``.
        face: (68, 3) `exalign_engine.sampling.profiled.level_face` of the training faces.
        val: which of both it is.
    """
    size, margin = bundle.manifest.input_size, bundle.manifest.margin
    limit, seed = (VAL_FACES, VAL_SEED) if val else (TRAIN_FACES, TRAIN_SEED)
    many = PICTURES * min(limit, len(straight_faces(faces, face)))
    if many < LEAST:
        print(f"no heads are turned: {many} pictures of nearly frontal faces, of {LEAST} at least", file=sys.stderr)
        return TurnedAnswers(np.zeros((0, 3)), np.zeros((0, N_LANDMARKS, 2)), [], PresenceCrops.joined([]))
    model = PosteriorModel(bundle.exemplars, calibration, bundle.residual)
    crops = profiled_crops(faces, face, size, margin, limit=limit, pictures=PICTURES, seed=seed)
    known, landmarks, turns, looks = [], [], [], []
    report = progress_bar(many, "turned val" if val else "turned train")
    for chunk in _chunks(crops):
        out = score(network, (c.crop for c in chunk))
        for crop, row in zip(chunk, out.rows(), strict=True):
            posterior = model.posterior(row.scores, row.image)
            start = posterior.mixture_mean
            p = posterior.probabilities
            kept = np.flatnonzero(p >= CUT / len(p))
            known.append(crop.pose)
            landmarks.append(posterior.mean)
            turns.append((kept, p[kept] / p[kept].sum(), np.stack([start, start + posterior.mean_displacement])))
        looks.append(presence_reads(out))
        report(len(known))
    return TurnedAnswers(np.stack(known), np.stack(landmarks), turns, PresenceCrops.joined(looks))


def fit_map(answers: TurnedAnswers, mean_face: F64) -> PoseMap:
    """Eq. C2 from answers about ``train``, and from their mirror images."""
    near = np.abs(answers.known[:, YAW]) <= MAP_YAW
    if near.sum() < LEAST:
        return PoseMap()
    shapes, known = answers.landmarks[near], answers.known[near]
    read = solve_pose(np.concatenate([shapes, mirror_shapes(shapes)]), mean_face).astype(np.float64)
    return fit_pose_map(read, np.concatenate([known, known * (-1.0, 1.0, -1.0)]))


def fit_beside(answers: TurnedAnswers, poses: Poses, calibration: Calibration) -> tuple[float, ...]:
    """``pose_turned`` from answers about ``val``: with it the 90 % intervals hold 90 % about each of `TURNS`.

    Args:
        answers: about ``val``.
        poses: mapped.
        calibration: with the pose fitted; its own ``pose_turned`` is not looked at.
    """
    if len(answers.known) < LEAST:
        return Calibration().pose_turned
    known = answers.known
    mean, variance = stated(answers, poses, replace(calibration, pose_turned=Calibration().pose_turned))
    near = np.abs(known[:, YAW]) <= REPORTED[-1]
    known, mean, variance = known[near], mean[near], variance[near]
    # By how much a face's variance would have to be larger for its interval to end at the truth.
    lacks = (wrap(known - mean) / NORMAL) ** 2 - variance
    turn, found = turn_of(mean), np.zeros((3, len(TURNS)))
    for j in range(len(TURNS)):
        weight = np.interp(turn, TURNS, np.eye(len(TURNS))[j])
        if not weight.any():
            continue
        for axis in range(3):
            order = np.argsort(lacks[:, axis])
            share = np.cumsum(weight[order]) / weight.sum()
            found[axis, j] = max(lacks[order[np.searchsorted(share, MASS)], axis], 0.0)
    return tuple(np.round(np.sqrt(found), 4).ravel().tolist())


def stated(answers: TurnedAnswers, poses: Poses, calibration: Calibration) -> tuple[F64, F64]:
    """(B, 3) means and (B, 3) variances of the poses that are answered, degrees and square degrees."""
    moments = [pose_moments(p, *_kernels(kept, p, shapes, poses, calibration)) for kept, p, shapes in answers.turns]
    return np.stack([m for m, _ in moments]), np.stack([np.diag(c) for _, c in moments])


def turned_rows(answers: TurnedAnswers, poses: Poses, calibration: Calibration) -> list[dict[str, Any]]:
    """For the card: errors and intervals of yaw and pitch by how far a head is turned that way, degrees."""
    if not answers.turns:
        return []
    ends, means = [], []
    for kept, p, shapes in answers.turns:
        pose, variance = _kernels(kept, p, shapes, poses, calibration)
        means.append(pose_moments(p, pose)[0])
        ends.append(credible_intervals(p, pose, (0.5, MASS), variance))
    off = wrap(np.stack(means) - answers.known)
    width = np.ptp(ends, axis=-1)
    inside = np.abs(wrap(answers.known[:, None] - np.mean(ends, axis=-1))) <= width / 2
    present = np.array([calibration.presence_of(*crop) for crop in answers.crops]) >= calibration.presence_threshold
    rows = []
    for axis, other in ((YAW, PITCH), (PITCH, YAW)):
        for low, high in pairwise(REPORTED):
            turn = np.abs(answers.known)
            here = (turn[:, axis] >= low) & (turn[:, axis] < high) & (turn[:, other] < REPORTED[1])
            if here.any():
                along = np.sign(answers.known[here, axis]) * off[here, axis]
                rows.append(
                    {
                        "angle": ANGLES[axis],
                        "from": low,
                        "to": high,
                        "faces": int(here.sum()),
                        "error": round(float(np.abs(along).mean()), 3),
                        "bias": round(float(along.mean()), 3),
                        "held_50": round(float(inside[here, 0, axis].mean()), 4),
                        "held_90": round(float(inside[here, 1, axis].mean()), 4),
                        "width_90": round(float(np.median(width[here, 1, axis])), 2),
                        "present": round(float(present[here].mean()), 4),
                    }
                )
    return rows


def _kernels(kept: NDArray[np.intp], p: F32, shapes: F64, poses: Poses, calibration: Calibration) -> tuple[F32, F32]:
    """Places and variances of the pose's kernels of one answer."""
    before, after = poses.of(shapes)
    mine = replace(
        poses, pose=wrap(poses.pose[kept] + wrap(after - before)).astype(np.float32), variance=poses.variance[kept]
    )
    return calibrated_poses(p, mine, calibration)


def _chunks(crops: Iterator[ProfiledCrop]) -> Iterator[list[ProfiledCrop]]:
    waiting: list[ProfiledCrop] = []
    for crop in crops:
        waiting.append(crop)
        if len(waiting) == CHUNK:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
