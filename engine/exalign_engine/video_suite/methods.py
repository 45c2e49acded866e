"""What each method answers to every frame of one clip, all of them in the same boxes.

``per_frame`` looks at each frame alone. ``low_pass`` is the paper's mean over three frames, this one and the two
before it. ``filter`` knows the frames so far, ``smoother`` and ``viterbi`` the whole clip. ``hold`` is the control: the
last answer of ``per_frame`` to a frame that was visible, kept in the frame of the box while the face is hidden.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.aligner import Aligner
from exalign_engine.bundle import Bundle
from exalign_engine.frames import extract_crop
from exalign_engine.hmm import Chain, Emission, viterbi
from exalign_engine.metrics import nrmse
from exalign_engine.pose import YAW, solve_pose
from exalign_engine.pose_view import credible_intervals
from exalign_engine.posterior import MOMENT_CUT, Posterior
from exalign_engine.scoring import score
from exalign_engine.tracking.joining import picture_emission
from exalign_engine.video_suite.clips import Clip

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

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
        yaw: (F,) of the true shapes, degrees.
    """

    clip: Clip
    posteriors: tuple[Posterior, ...]
    yaw: F64


@dataclass(frozen=True)
class Answer:
    """A method's answer to one frame.

    Attributes:
        points: (68, 2) pixels of the frame.
        probabilities: (K,) float32.
    """

    points: F64
    probabilities: F32


@dataclass(frozen=True)
class Outcome:
    """How good an answer was.

    Attributes:
        method: of `METHODS`.
        phase: of `exalign_engine.video_suite.clips.PHASES`.
        error: NRMSE; infinite where there was no answer.
        yaw_interval: ends of the 90 % interval from the true yaw, degrees; None where there was no answer.
    """

    method: str
    phase: str
    error: float
    yaw_interval: tuple[float, float] | None


def watch(aligner: Aligner, clip: Clip) -> WatchedClip:
    """Score every frame of a clip in its given box."""
    m = aligner.bundle.manifest
    crops = (extract_crop(f, box, m.margin, m.input_size) for f, box in zip(clip.frames, clip.given, strict=True))
    posteriors = tuple(aligner.posterior(row) for row in score(aligner.runtime, crops).scores)
    yaw = solve_pose(clip.truth, aligner.bundle.poses.mean_face)[:, YAW].astype(np.float64)
    return WatchedClip(clip, posteriors, yaw)


def answers(watched: WatchedClip, chain: Chain, methods: Sequence[str] = METHODS) -> dict[str, list[Answer]]:
    """Every method's answers to every frame, in the order of the frames."""
    seen = [_Seen(posterior.probabilities, posterior.mean) for posterior in watched.posteriors]
    chained: dict[str, list[F32]] = {}
    if {"filter", "smoother", "viterbi"} & set(methods):
        chained = _chained([picture_emission(p) for p in watched.posteriors], chain, methods)
    boxes = watched.clip.given
    found: dict[str, list[Answer]] = {}
    for method in methods:
        if method == "low_pass":
            found[method] = _low_pass(watched, seen)
            continue
        if method == "hold":
            held = _held(watched.clip)
            local = [seen[t] for t in held]
        elif method == "per_frame":
            local = seen
        else:
            model = watched.posteriors[0].model
            local = [_Seen(p, Posterior(model, p, 1.0).mean) for p in chained[method]]
        found[method] = [Answer(box.to_image(s.mean), s.probabilities) for box, s in zip(boxes, local, strict=True)]
    return found


def outcomes(watched: WatchedClip, given: Mapping[str, Sequence[Answer | None]], bundle: Bundle) -> list[Outcome]:
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
                found.append(Outcome(method, phase, math.inf, None))
                continue
            error = nrmse(answer.points, watched.clip.truth[t])
            low, high = _yaw_interval(answer.probabilities, bundle)
            found.append(Outcome(method, phase, error, (low - watched.yaw[t], high - watched.yaw[t])))
    return found


def _yaw_interval(p: F32, bundle: Bundle) -> tuple[float, float]:
    """Ends of the 90 % interval, degrees."""
    # The exemplars left out hold less than a thousandth, as in the posterior's moments.
    kept = np.flatnonzero(p >= MOMENT_CUT / len(p))
    variance = (bundle.calibration.kernel_scale * bundle.poses.variance[kept]).astype(np.float32)
    low, high = credible_intervals(p[kept], bundle.poses.pose[kept], (MASS,), variance)[0, YAW]
    return float(low), float(high)


@dataclass(frozen=True)
class _Seen:
    """Probabilities and their mean shape in the box frame."""

    probabilities: F32
    mean: F64


def _chained(emissions: list[Emission], chain: Chain, methods: Sequence[str]) -> dict[str, list[F32]]:
    """(K,) probabilities in every frame by the methods that use the chain."""
    found: dict[str, list[F32]] = {}
    if {"filter", "smoother"} & set(methods):
        beliefs = [chain.start(emissions[0])]
        for e in emissions[1:]:
            beliefs.append(chain.step(beliefs[-1], e))
        found["filter"] = [b.probabilities(chain.count) for b in beliefs]
        if "smoother" in methods:
            found["smoother"] = [b.probabilities(chain.count) for b in chain.smooth(beliefs)]
    if "viterbi" in methods:
        found["viterbi"] = []
        for k in viterbi(chain, emissions).classes:
            one = np.zeros(chain.count, np.float32)
            one[k] = 1.0
            found["viterbi"].append(one)
    return found


def _low_pass(watched: WatchedClip, seen: list[_Seen]) -> list[Answer]:
    """The mean of the landmarks in the picture, and of the probabilities."""
    points = [box.to_image(s.mean) for box, s in zip(watched.clip.given, seen, strict=True)]
    found = []
    for t in range(len(seen)):
        last = slice(max(t - LOW_PASS + 1, 0), t + 1)
        p = np.mean([s.probabilities for s in seen[last]], axis=0)
        found.append(Answer(np.mean(points[last], axis=0), p.astype(np.float32)))
    return found


def _held(clip: Clip) -> list[int]:
    """For every frame, the last one that was visible; the first frame counts as such."""
    held = [0]
    for t in range(1, len(clip)):
        held.append(t if clip.covered[t] < 0.10 else held[-1])
    return held
