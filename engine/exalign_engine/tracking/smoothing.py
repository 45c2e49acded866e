"""Answers to frames within the lag, given all frames of the track so far.

The exemplars stay displaced as their own picture and evidence displaced them; their weights are the smoother's. Then
the points are averaged over time (`exalign_engine.tracking.temporal_mean`), which is a displacement as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.evidence.conditioning import ConditioningOutcome
from exalign_engine.face.aligner import Face
from exalign_engine.face.views import ConditionedFace, moved_box
from exalign_engine.hmm.chain import Belief
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking.displacement import displaced_posterior
from exalign_engine.tracking.filter_step import FrameFilter, belief_posterior, truncation_mass
from exalign_engine.tracking.temporal_mean import TEMPORAL_MEAN, TrackPoint, triangular_mean
from exalign_engine.tracking.track import Observation, Record, Track
from exalign_engine.tracking.visibility import TrackState


@dataclass(frozen=True)
class Smoothed:
    """The smoother's answer to one frame.

    Attributes:
        observation: the frame.
        given: the answer.
        cut: its cut mass.
        point: the answer before it was averaged over time.
    """

    observation: Observation
    given: ConditionedFace
    cut: float
    point: TrackPoint


def smoothed(frame_filter: FrameFilter, track: Track, wanted: Sequence[Record]) -> list[Smoothed]:
    """Answers to some of a track's records given all of its frames so far, in the order of the records."""
    records = track.records
    beliefs = _smoothed_beliefs(frame_filter, records)
    places = [i for i, r in enumerate(records) if any(r is w for w in wanted)]
    reach = TEMPORAL_MEAN.reach if frame_filter.options.temporal_mean else 0
    around = {j for i in places for j in range(i - reach, i + reach + 1) if 0 <= j < len(records)}
    again = {i: _with_belief(frame_filter, track, records[i], beliefs[i]) for i in sorted(around)}
    before = [m for m in track.settled if m.index < records[0].observation.index]
    found = []
    for i in places:
        first = max(i - reach, 0)
        earlier = before if first == 0 else []
        line = [*earlier, *(again[j].point for j in range(first, min(i + reach + 1, len(records))))]
        points = triangular_mean(line, len(earlier) + i - first) if reach else None
        found.append(again[i].answer(points))
    return found


def _smoothed_beliefs(frame_filter: FrameFilter, records: Sequence[Record]) -> list[Belief]:
    """Each record's belief given all of them; one that is held has that of the record before it."""
    held = [i > 0 and r.observation.held for i, r in enumerate(records)]
    own = [r.belief for r, is_held in zip(records, held, strict=True) if not is_held]
    found = frame_filter.chain.smooth(own, frame_filter.check)
    return [found[sum(not h for h in held[: i + 1]) - 1] for i in range(len(records))]


@dataclass(frozen=True)
class _SmoothedFrame:
    """A frame with the smoother's weights, of which not all is read."""

    observation: Observation
    posterior: Posterior
    box: F64
    outcome: ConditioningOutcome
    surprise: float | None
    cut: float

    @cached_property
    def point(self) -> TrackPoint:
        """The posterior's mean in the image."""
        o = self.observation
        points = o.located.frame.to_image(self.posterior.mean)
        return TrackPoint(o.index, points, o.visibility.state is TrackState.LOST)

    def answer(self, points: F64 | None) -> Smoothed:
        """The answer, displaced so that its mean is ``points`` (68, 2), image frame; measured landmarks stay."""
        p, located = self.posterior, self.observation.located
        if points is not None:
            # All exemplars as one: what the means move is the face, wherever it is.
            r = p.mean_displacement + located.frame.from_image(points) - p.mean
            r[list(p.measured)] = p.mean_displacement[list(p.measured)]
            p = Posterior(
                p.model,
                p.probabilities,
                p.presence,
                displacement=r,
                box_shift=p.box_shift,
                measured=p.measured,
                kept=p.kept,
                held=p.held,
            )
        given = ConditionedFace(Face(located, p), self.box, self.outcome, self.surprise)
        return Smoothed(self.observation, given, self.cut, self.point)


def _with_belief(frame_filter: FrameFilter, track: Track, record: Record, belief: Belief) -> _SmoothedFrame:
    """A frame's exemplars as its evidence and its picture moved them, with other weights."""
    frame_filter.check()
    observation, cut = record.observation, truncation_mass(belief, None)
    located, plain = observation.located, belief_posterior(frame_filter.aligner.model, belief, observation.presence)
    if observation.evidence is None:
        posterior = displaced_posterior(plain, observation.displacement)
        return _SmoothedFrame(observation, posterior, located.box, ConditioningOutcome.CONDITIONED, 0.0, cut)
    given = frame_filter.step(track.state_before(record), observation).given
    was = given.face.posterior
    shift = was.box_shift
    posterior = Posterior(
        plain.model,
        plain.probabilities,
        plain.presence,
        displacement=was.displacement,
        share=was.share,
        box_shift=shift,
        measured=was.measured,
        held=plain.held,
    )
    box = located.box if shift is None else moved_box(located, plain.probabilities.astype(np.float64) @ shift)
    return _SmoothedFrame(observation, posterior, box, given.outcome, given.surprise, cut)
