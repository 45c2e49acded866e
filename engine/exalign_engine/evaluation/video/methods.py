"""What each method answers to every frame of one clip, all of them given the same boxes.

``per_frame`` looks at each frame alone. ``low_pass`` is the paper's mean over three frames, this one and the two
before it. ``filter`` knows the frames and boxes so far, ``smoother`` and ``viterbi`` all frames of the clip; as in a
session, these three crop the boxes of `exalign_engine.tracking.box_filter`, and the smoother's answers are means over
time.
``hold`` is the baseline: the last answer of ``per_frame`` to a frame that was visible, kept in the frame of the box
while the face is hidden.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exalign_engine.arrays import F32, F64
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.evaluation.video.clips import Clip
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import BoxFrame, extract_crop
from exalign_engine.geometry.head_pose import YAW
from exalign_engine.hmm.chain import Chain, viterbi
from exalign_engine.metrics.accuracy import nrmse
from exalign_engine.network.batches import score
from exalign_engine.posterior.kept import MOMENT_CUT
from exalign_engine.posterior.pose import credible_intervals, displaced_poses
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.tracking.box_filter import BoxFilter, filter_box
from exalign_engine.tracking.displacement import blend_displacement, displaced_posterior
from exalign_engine.tracking.emission_strength import EMISSION
from exalign_engine.tracking.filter_step import picture_emission
from exalign_engine.tracking.temporal_mean import TrackPoint, triangular_mean
from exalign_engine.tracking.track import NO_DISPLACEMENT

METHODS = ("per_frame", "low_pass", "filter", "smoother", "viterbi", "hold")

#: Frames of the low-pass.
LOW_PASS = 3

#: Mass of the yaw interval that is judged.
MASS = 0.9


@dataclass(frozen=True)
class WatchedClip:
    """A clip as the network saw it: scored once, whatever is tried afterwards.

    Attributes:
        clip: the clip. Its frames are not read any more.
        posteriors: of its frames, each in the given box's frame.
        filtered_boxes: where methods that remember look.
        filtered_posteriors: of its frames, each in the filtered box's frame.
        yaw: (F,) of the true shapes, degrees.
    """

    clip: Clip
    posteriors: tuple[Posterior, ...]
    filtered_boxes: tuple[BoxFrame, ...]
    filtered_posteriors: tuple[Posterior, ...]
    yaw: F64


@dataclass(frozen=True)
class MethodAnswer:
    """A method's answer to one frame.

    Attributes:
        points: (68, 2) pixels of the frame.
        probabilities: (K,) float32.
        displacement: (68, 2) by how much the mean of the exemplars is displaced, box sides.
    """

    points: F64
    probabilities: F32
    displacement: F64


@dataclass(frozen=True)
class FrameOutcome:
    """How good an answer was.

    Attributes:
        method: of `METHODS`.
        phase: of `exalign_engine.evaluation.video.clips.PHASES`.
        error: NRMSE; infinite where there was no answer.
        yaw_interval: ends of the 90 % interval from the true yaw, degrees; None where there was no answer.
    """

    method: str
    phase: str
    error: float
    yaw_interval: tuple[float, float] | None


def watch(aligner: Aligner, clip: Clip) -> WatchedClip:
    """Score every frame of a clip in its given box, and in the filtered one."""
    boxes = _filtered(clip.given)
    looks = [_looked(aligner, clip, places) for places in (clip.given, boxes)]
    yaw = aligner.bundle.poses.of(clip.truth)[:, YAW]
    return WatchedClip(clip, looks[0], boxes, looks[1], yaw)


def _looked(aligner: Aligner, clip: Clip, boxes: Sequence[BoxFrame]) -> tuple[Posterior, ...]:
    m = aligner.bundle.manifest
    crops = (extract_crop(f, box, m.margin, m.input_size) for f, box in zip(clip.frames, boxes, strict=True))
    return tuple(aligner.posterior(row) for row in score(aligner.runtime, crops).rows())


def _filtered(given: Sequence[BoxFrame]) -> tuple[BoxFrame, ...]:
    """The boxes of a clip as a session takes them."""
    known: BoxFilter | None = None
    found = []
    for frame in given:
        known = filter_box(known, frame.box, 1)
        found.append(known.frame)
    return tuple(found)


def answers(watched: WatchedClip, chain: Chain, methods: Sequence[str] = METHODS) -> dict[str, list[MethodAnswer]]:
    """Every method's answers to every frame, in the order of the frames."""
    chained: dict[str, list[Posterior]] = {}
    if {"filter", "smoother", "viterbi"} & set(methods):
        chained = _chained(watched.filtered_posteriors, chain, methods)
    found: dict[str, list[MethodAnswer]] = {}
    for method in methods:
        if method == "low_pass":
            found[method] = _low_pass(watched)
            continue
        boxes = watched.filtered_boxes if method in chained else watched.clip.given
        if method == "hold":
            local = [watched.posteriors[t] for t in _held(watched.clip)]
        elif method == "per_frame":
            local = list(watched.posteriors)
        else:
            local = chained[method]
        points = [box.to_image(p.mean) for box, p in zip(boxes, local, strict=True)]
        if method == "smoother":
            line = [TrackPoint(t, y, False) for t, y in enumerate(points)]
            points = [triangular_mean(line, t) for t in range(len(line))]
        found[method] = [
            MethodAnswer(y, p.probabilities, p.mean_displacement) for y, p in zip(points, local, strict=True)
        ]
    return found


def outcomes(
    watched: WatchedClip, given: Mapping[str, Sequence[MethodAnswer | None]], bundle: Bundle
) -> list[FrameOutcome]:
    """Judge every method's answers to the frames of a clip that belong to a phase.

    Args:
        watched: the clip.
        given: by method, one answer a frame; None where it has none.
        bundle: whose exemplars the probabilities are of.
    """
    found = []
    for method, frames in given.items():
        for t, answer in enumerate(frames):
            phase = watched.clip.phase(t)
            if phase is None:
                continue
            if answer is None:
                found.append(FrameOutcome(method, phase, math.inf, None))
                continue
            error = nrmse(answer.points, watched.clip.truth[t])
            low, high = _yaw_interval(watched.posteriors[0].model, answer, bundle)
            found.append(FrameOutcome(method, phase, error, (low - watched.yaw[t], high - watched.yaw[t])))
    return found


def _yaw_interval(model: PosteriorModel, answer: MethodAnswer, bundle: Bundle) -> tuple[float, float]:
    """Ends of the 90 % interval, degrees."""
    # The exemplars left out hold less than a thousandth, as in the posterior's moments.
    p = answer.probabilities
    kept = np.flatnonzero(p >= MOMENT_CUT / len(p))
    moved = Posterior(model, p, 1.0, displacement=answer.displacement)
    poses = displaced_poses(moved, replace(bundle.poses, pose=bundle.poses.pose[kept]))
    variance = (bundle.calibration.kernel_scale * bundle.poses.variance[kept]).astype(np.float32)
    low, high = credible_intervals(p[kept], poses.pose, (MASS,), variance)[0, YAW]
    return float(low), float(high)


def _chained(posteriors: Sequence[Posterior], chain: Chain, methods: Sequence[str]) -> dict[str, list[Posterior]]:
    """The posterior in every frame by the methods that use the chain, displaced as in a session."""
    emissions, known, model = [], EMISSION.initial_memory, posteriors[0].model
    for seen in posteriors:
        emission, known = picture_emission(seen, known)
        emissions.append(emission)
    beliefs = [chain.start(emissions[0])]
    for e in emissions[1:]:
        beliefs.append(chain.step(beliefs[-1], e))
    weights = {"filter": [b.probabilities(chain.count) for b in beliefs]}
    if "smoother" in methods:
        weights["smoother"] = [b.probabilities(chain.count) for b in chain.smooth(beliefs)]
    if "viterbi" in methods:
        one = np.eye(1, chain.count, dtype=np.float32)[0]
        weights["viterbi"] = [np.roll(one, int(k)) for k in viterbi(chain, emissions).classes]
    carried, path = NO_DISPLACEMENT, []
    for p, seen in zip(weights["filter"], posteriors, strict=True):
        carried = blend_displacement(Posterior(model, p, 1.0), seen, carried)
        path.append(carried)
    return {
        method: [displaced_posterior(Posterior(model, p, 1.0), r) for p, r in zip(given, path, strict=True)]
        for method, given in weights.items()
    }


def _low_pass(watched: WatchedClip) -> list[MethodAnswer]:
    """The mean of the landmarks in the picture, of the probabilities, and of the displacements."""
    seen = watched.posteriors
    points = [box.to_image(p.mean) for box, p in zip(watched.clip.given, seen, strict=True)]
    found = []
    for t in range(len(seen)):
        last = slice(max(t - LOW_PASS + 1, 0), t + 1)
        p = np.mean([s.probabilities for s in seen[last]], axis=0).astype(np.float32)
        r = np.mean([s.mean_displacement for s in seen[last]], axis=0)
        found.append(MethodAnswer(np.mean(points[last], axis=0), p, r))
    return found


def _held(clip: Clip) -> list[int]:
    """For every frame, the last one that was visible; the first frame counts as such."""
    held = [0]
    for t in range(1, len(clip)):
        held.append(t if clip.covered[t] < 0.10 else held[-1])
    return held
