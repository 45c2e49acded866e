"""How one frame's picture and evidence are joined with the frames before it, and with those after.

**Filter.** With base_t the belief that the chain reaches from the frame before by this frame's picture alone, the
answer is base_t conditioned on this frame's evidence exactly as a single image is
(`exalign_engine.evidence.conditioning`);
the likelihood L_k that this took is read off, L_k ∝ answer_k ÷ base_k, and multiplied into the emission with which
the chain goes on. So clicks, moved boxes and surprises mean what they mean on a single image, and reach other frames.

**Emission.** p^s' and the chain's ``stay``, see `exalign_engine.tracking.emission_strength`; flat where the face is
not visible.
With a lag it is the truncated emission that the filter takes, at once, so that filtering a frame again gives what it
gave the first time, bit for bit. While a face is lost its belief rests as it is: steps without any emission are the
dearest of all, and spread what is known of a face that nobody sees.

**Rest.** What a belief spreads evenly over all exemplars is left out of an answer without evidence while it is at most
`max_omitted_rest`: it hardly moves a landmark, and would make every view of the answer visit every exemplar.

**Displacement.** `exalign_engine.tracking.displacement`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exalign_engine.evidence.conditioning import ConditioningOutcome
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.face.aligner import Aligner, Face
from exalign_engine.face.views import ConditionedFace, conditioned
from exalign_engine.geometry.frames import tight_box
from exalign_engine.hmm.chain import Belief, Chain, Emission, LowPass
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking.displacement import displaced, displacement, reweighted
from exalign_engine.tracking.emission_strength import faded, staying, strength, weighed
from exalign_engine.tracking.motion import MOTION, Motion
from exalign_engine.tracking.options import SessionOptions, TemporalModel
from exalign_engine.tracking.track import Seen, Start
from exalign_engine.tracking.visibility import TrackState, Visibility

F16 = NDArray[np.float16]
F32 = NDArray[np.float32]


@dataclass(frozen=True)
class FilterSettings:
    """Constants of the filter.

    Attributes:
        emission_members: exemplars that the emission of a frame within the lag keeps: with its belief it fits 64 kB,
            also at K = 140k.
        max_omitted_rest: a belief's evenly spread part up to which answers leave it out; they say so in their cut mass.
    """

    emission_members: int = 3000
    max_omitted_rest: float = 5e-3


FILTER = FilterSettings()


@dataclass(frozen=True)
class Joined:
    """One frame of one track.

    Attributes:
        belief: the filter after it; None where frames are not joined by it.
        emission: with the likelihood of the evidence.
        given: the answer.
        motion: after it.
        displacement: (68, 2) float16, r_t of Eq. D1, box sides.
    """

    belief: Belief | None
    emission: Emission
    given: ConditionedFace
    motion: Motion
    displacement: F16


@dataclass(frozen=True)
class Joiner:
    """The model, the chain, and how they are used.

    Args:
        aligner: model, poses, calibration.
        chain: between the exemplars of the same bundle.
        options: of the session.
    """

    aligner: Aligner
    chain: Chain
    options: SessionOptions

    def emission(
        self, posterior: Posterior | None, visibility: Visibility, known: float, gap: int
    ) -> tuple[Emission, float]:
        """What a frame's picture says, and what is known of the face after it.

        Args:
            posterior: of the crop alone; None: there is none.
            visibility: after this frame.
            known: κ after the track's last frame.
            gap: frames by index since.
        """
        before = faded(known, gap - 1)
        if posterior is None or visibility.state is not TrackState.VISIBLE:
            return Emission(None, staying(0.0, before)), faded(before, 1)
        emission, known = picture_emission(posterior, before)
        return emission.truncated(FILTER.emission_members) if self.options.smoothing_lag else emission, known

    def join(self, start: Start, seen: Seen, posterior: Posterior | None = None) -> Joined:
        """Filter one frame.

        Args:
            start: the track after the frame before.
            seen: this frame; in its first look, with the displacement of the frame before.
            posterior: of the crop alone, in the first look; the only one where frames are not joined by the chain.
        """
        base, belief, r = self._base(start, seen, posterior)
        face = Face(seen.located, base)
        if seen.evidence is None:
            given = ConditionedFace(face, seen.located.box, ConditioningOutcome.CONDITIONED, 0.0)
            emission = seen.picture
        else:
            given = conditioned(face, seen.evidence, self.aligner.bundle.poses)
            emission = self._with_evidence(seen.picture, base.probabilities, given.face.posterior.probabilities)
            if belief is not None:
                belief = self._step(start.belief, emission)
        return Joined(belief, emission, given, _motion(start.motion, seen, given), r)

    def _base(self, start: Start, seen: Seen, posterior: Posterior | None) -> tuple[Posterior, Belief | None, F16]:
        """The posterior before this frame's evidence, the filter's belief that it is, and its displacement."""
        model, count = self.aligner.model, self.chain.count
        if self.options.temporal_model is TemporalModel.FILTER:
            lost = seen.visibility.state is TrackState.LOST and start.belief is not None
            belief = start.belief if lost else self._step(start.belief, seen.picture)
            assert belief is not None  # noqa: S101 - for the type checker
            weights = answered(belief, count)
            r = seen.displacement
            if posterior is not None and seen.visibility.state is TrackState.VISIBLE:
                r = displacement(weights, posterior, r)
            moved = displaced(model, weights, seen.presence, r)
            if seen.evidence is not None:
                # It may ask for an exemplar that the filter does not hold.
                moved = reweighted(moved, belief.probabilities(count))
            return moved, belief, r
        if posterior is None:
            # By itself, a frame that shows nothing leaves every exemplar as likely as any other.
            posterior = Posterior(model, np.full(count, 1 / count, np.float32), 0.0)
        return posterior, None, seen.displacement

    def _step(self, before: Belief | None, emission: Emission) -> Belief:
        return self.chain.start(emission) if before is None else self.chain.step(before, emission)

    def _with_evidence(self, picture: Emission, before: F32, after: F32) -> Emission:
        """Multiply an emission by the likelihood that made ``after`` of ``before``."""
        left = after > 0
        log = np.full(len(after), -np.inf)
        # Impossible evidence may give weight to exemplars that had none.
        floor = np.finfo(np.float32).tiny
        log[left] = np.log(after[left].astype(np.float64)) - np.log(np.maximum(before[left], floor).astype(np.float64))
        # The filter raises emissions to the power γ; evidence is meant as it was given.
        emission = picture.with_likelihood(log / self.chain.settings.sharpness)
        return emission.truncated(FILTER.emission_members) if self.options.smoothing_lag else emission

    def low_passed(self, given: ConditionedFace, before: LowPass, blind: bool) -> tuple[ConditionedFace, LowPass]:
        """The mean of this answer's landmarks and those before it; a blind frame adds none of its own."""
        points = given.face.landmarks
        after = before if blind else before.push(points)
        mean = after.points if len(after.frames) else points
        return replace(given, face=replace(given.face, smoothed=mean)), after


def picture_emission(posterior: Posterior, known: float) -> tuple[Emission, float]:
    """What a crop says about the shape of its face, and what is known after it.

    Args:
        posterior: of the crop alone.
        known: κ of the frame before.
    """
    s = strength(posterior)
    emission = Emission.of_probabilities(posterior.probabilities, weighed(s, known), staying(s, known))
    return emission, max(s, faded(known, 1))


def answered(belief: Belief, count: int) -> F32:
    """(K,) the probabilities that a belief is answered with; they sum to 1."""
    if _keeps_rest(belief):
        return belief.probabilities(count)
    p = np.zeros(count, np.float32)
    p[belief.index] = belief.weights / np.float32(belief.weights.sum(dtype=np.float64))
    return p


def cut_mass(belief: Belief, evidence: Evidence | None) -> float:
    """What truncation costs an answer: what it spread in this frame, or all that is left out."""
    return belief.cut if evidence is not None or _keeps_rest(belief) else belief.rest


def _keeps_rest(belief: Belief) -> bool:
    return belief.rest > FILTER.max_omitted_rest or len(belief.index) == 0


def _motion(before: Motion | None, seen: Seen, given: ConditionedFace) -> Motion:
    """Where the face is after a frame."""
    last = before or Motion.at(seen.located.box)
    if seen.visibility.state is TrackState.VISIBLE and seen.presence >= MOTION.min_presence:
        found = last.seen(seen.located.box, tight_box(given.face.landmarks), seen.gap)
        return found if before is not None else found.stopped()
    # Evidence about a face that is not seen may have moved its box. A detection in which no face is seen is none.
    told = before is None or not seen.located.detected or seen.evidence is not None
    invented = not told and seen.visibility.state is not TrackState.VISIBLE
    box = last.predicted(seen.gap, None).box if invented else given.box
    held = last.unseen(box, seen.gap)
    return held.stopped() if seen.visibility.state is TrackState.LOST else held
