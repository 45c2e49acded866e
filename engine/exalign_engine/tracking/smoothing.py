"""Answers to frames within the lag, given all frames of the track so far.

The same exemplars, moved by the same evidence and displaced as their own picture displaced them, with the smoothed
weights; then steadied (`exalign_engine.tracking.temporal_mean`), which is a displacement as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from exalign_engine.evidence.conditioning import ConditioningOutcome
from exalign_engine.face.aligner import Face, LocatedFace
from exalign_engine.face.views import ConditionedFace
from exalign_engine.hmm.chain import Belief
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking.displacement import displaced
from exalign_engine.tracking.filter_step import Joiner, answered, cut_mass
from exalign_engine.tracking.temporal_mean import TEMPORAL_MEAN, Moment, steadied
from exalign_engine.tracking.track import Record, Seen, Track
from exalign_engine.tracking.visibility import TrackState

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Smoothed:
    """The smoother's answer to one frame.

    Attributes:
        seen: the frame.
        given: the answer.
        cut: its cut mass.
        moment: the answer before it was steadied.
    """

    seen: Seen
    given: ConditionedFace
    cut: float
    moment: Moment


def smoothed(joiner: Joiner, track: Track, wanted: Sequence[Record]) -> list[Smoothed]:
    """Answers to some of a track's records given all of its frames so far, in the order of the records."""
    records = track.records
    beliefs = joiner.chain.smooth([r.belief for r in records])
    asked = [i for i, r in enumerate(records) if any(r is w for w in wanted)]
    reach = TEMPORAL_MEAN.reach if joiner.options.steadied else 0
    around = {j for i in asked for j in range(i - reach, i + reach + 1) if 0 <= j < len(records)}
    again = {i: _reweighted(joiner, track, records[i], beliefs[i]) for i in sorted(around)}
    before = [m for m in track.settled if m.index < records[0].seen.index]
    found = []
    for i in asked:
        first = max(i - reach, 0)
        earlier = before if first == 0 else []
        line = [*earlier, *(again[j].moment for j in range(first, min(i + reach + 1, len(records))))]
        points = steadied(line, len(earlier) + i - first) if reach else None
        found.append(again[i].told(points))
    return found


@dataclass(frozen=True)
class _Reweighted:
    """A frame with the smoother's weights, of which not all is read."""

    seen: Seen
    posterior: Posterior
    box: F64
    outcome: ConditioningOutcome
    surprise: float | None
    cut: float

    @cached_property
    def moment(self) -> Moment:
        """The point that the posterior gives."""
        points = self.seen.located.frame.to_image(self.posterior.mean)
        return Moment(self.seen.index, points, self.seen.visibility.state is TrackState.LOST)

    def told(self, points: F64 | None) -> Smoothed:
        """The answer, displaced so that the point is ``points`` (68, 2), image frame; measured landmarks stay."""
        p, located = self.posterior, self.seen.located
        if points is not None:
            # All exemplars as one: what the means move is the face, wherever it is.
            r = p.mean_displacement + located.frame.from_image(points) - p.mean
            r[list(p.measured)] = p.mean_displacement[list(p.measured)]
            p = Posterior(
                p.model, p.probabilities, p.presence, displacement=r, box_shift=p.box_shift, measured=p.measured
            )
        given = ConditionedFace(Face(located, p), self.box, self.outcome, self.surprise)
        return Smoothed(self.seen, given, self.cut, self.moment)


def _reweighted(joiner: Joiner, track: Track, record: Record, belief: Belief) -> _Reweighted:
    """A frame's exemplars as its evidence and its picture moved them, with other weights."""
    model, weights, seen = joiner.aligner.model, answered(belief, joiner.chain.count), record.seen
    cut = cut_mass(belief, None)
    if seen.evidence is None:
        posterior = displaced(model, weights, seen.presence, seen.displacement)
        return _Reweighted(seen, posterior, seen.located.box, ConditioningOutcome.CONDITIONED, 0.0, cut)
    given = joiner.join(track.start_of(record), seen).given
    was = given.face.posterior
    shift = was.box_shift
    posterior = Posterior(
        model,
        weights,
        seen.presence,
        displacement=was.displacement,
        share=was.share,
        box_shift=shift,
        measured=was.measured,
    )
    box = seen.located.box if shift is None else _moved_box(seen.located, weights.astype(np.float64) @ shift)
    return _Reweighted(seen, posterior, box, given.outcome, given.surprise, cut)


def _moved_box(located: LocatedFace, shift: F64) -> F64:
    """(4,) the face box moved by (dx, dy, ln s), as `exalign_engine.face.views.conditioned` moves it."""
    dx, dy, log_scale = (float(v) for v in shift)
    x0, y0, x1, y1 = (float(v) for v in located.box)
    cx, cy = (x0 + x1) / 2 + dx * located.frame.side, (y0 + y1) / 2 + dy * located.frame.side
    w, h = (x1 - x0) / 2 * (1 + log_scale), (y1 - y0) / 2 * (1 + log_scale)
    return np.array([cx - w, cy - h, cx + w, cy + h])
