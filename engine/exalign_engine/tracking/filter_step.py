"""One frame of one track: the chain's step, the frame's evidence, and the answer.

Let base_t be the belief that the chain reaches from the frame before by this frame's picture alone. The answer is
base_t conditioned on this frame's evidence exactly as a single image is (`exalign_engine.evidence.conditioning`). The
likelihood L_k that this took is read off, L_k ∝ answer_k ÷ base_k. It is multiplied into the emission with which the
chain goes on. So clicks, moved boxes and surprises mean what they mean on a single image, and reach other frames.

The emission is p^s' with the chain's ``stay`` (`exalign_engine.tracking.emission_strength`), flat where the face is not
visible. With a lag it is truncated before it is used, so that filtering a frame again repeats the first result bit for
bit. While a face is lost its belief stays as it is. So it does in a frame that shows its crop again, to the last bit
(`exalign_engine.tracking.same_crop`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from exalign_engine.arrays import F16, F32, F64
from exalign_engine.evidence.conditioning import ConditioningOutcome
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.face.aligner import Aligner, Face
from exalign_engine.face.views import ConditionedFace, conditioned
from exalign_engine.geometry.frames import tight_box
from exalign_engine.hmm.chain import Belief, Chain, Emission, LowPass, PathState
from exalign_engine.posterior.checks import Check, unchecked
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.tracking.displacement import blend_displacement, displaced_posterior, with_weights
from exalign_engine.tracking.emission_strength import decay, emission_exponent, information_ratio, self_transition
from exalign_engine.tracking.motion import MOTION, Motion
from exalign_engine.tracking.options import SessionOptions, TemporalModel
from exalign_engine.tracking.partly_hidden import (
    PARTLY_HIDDEN,
    box_in_view,
    full_view,
    hidden_bytes,
    hidden_count,
    is_partly_hidden,
)
from exalign_engine.tracking.track import FilterState, Observation
from exalign_engine.tracking.visibility import TrackState, Visibility


@dataclass(frozen=True)
class FilterSettings:
    """Constants of the filter.

    Attributes:
        emission_members: exemplars that the emission of a frame within the lag keeps. With its belief it fits 64 kB,
            also at K = 140k.
        max_omitted_rest: largest evenly spread part of a belief that answers leave out; it is in their cut mass.
    """

    # docs/decisions/filter-step.md
    emission_members: int = 3000
    max_omitted_rest: float = 5e-3


FILTER = FilterSettings()


@dataclass(frozen=True)
class FilteredFrame:
    """One frame of one track, filtered.

    Attributes:
        belief: the filter after it; None where the temporal model is not the chain.
        emission: with the likelihood of the evidence.
        given: the answer.
        motion: after it.
        displacement: (68, 2) float16, r_t of Eq. D1, box sides.
        hidden: `Observation.hidden`.
    """

    belief: Belief | None
    emission: Emission
    given: ConditionedFace
    motion: Motion
    displacement: F16
    hidden: bytes


@dataclass(frozen=True)
class FrameFilter:
    """The model, the chain, and how they are used.

    Args:
        aligner: model, poses, calibration.
        chain: between the exemplars of the same bundle.
        options: of the session.
        check: called before each part of the work.
    """

    aligner: Aligner
    chain: Chain
    options: SessionOptions
    check: Check = unchecked

    def emission(
        self, posterior: Posterior | None, visibility: Visibility, memory: float, gap: int
    ) -> tuple[Emission, float]:
        """The emission of a frame's picture, and κ after it.

        Args:
            posterior: of the crop alone; None: there is none.
            visibility: after this frame.
            memory: κ after the track's last frame.
            gap: frames by index since.
        """
        before = decay(memory, gap - 1)
        if posterior is None or visibility.state is not TrackState.VISIBLE:
            return Emission(None, self_transition(0.0, before)), decay(before, 1)
        emission, memory = picture_emission(posterior, before)
        return emission.truncated(FILTER.emission_members) if self.options.smoothing_lag else emission, memory

    def step(self, state: FilterState, observation: Observation, posterior: Posterior | None = None) -> FilteredFrame:
        """Filter one frame.

        Args:
            state: the track after the frame before.
            observation: this frame; the first time with the displacement of the frame before, and nothing hidden.
            posterior: of the crop alone, the first time.
        """
        self.check()
        base, belief, r = self._base(state, observation, posterior)
        located = observation.located
        face = Face(located, base, image=None if posterior is None else posterior.image)
        if posterior is not None and self.options.temporal_model is TemporalModel.FILTER:
            observation = replace(observation, hidden=hidden_bytes(face.occluded))
        if observation.evidence is None:
            given, emission = (
                ConditionedFace(face, located.box, ConditioningOutcome.CONDITIONED, 0.0),
                observation.picture,
            )
        else:
            given = conditioned(face, observation.evidence, self.aligner.bundle.poses, check=self.check)
            emission = self._with_evidence(observation.picture, base.probabilities, given.face.posterior.probabilities)
            if belief is not None:
                belief = self._chain_step(None if observation.anew else state.belief, emission)
        return FilteredFrame(belief, emission, given, _motion(state.motion, observation, given), r, observation.hidden)

    def _base(
        self, state: FilterState, observation: Observation, posterior: Posterior | None
    ) -> tuple[Posterior, Belief | None, F16]:
        """The posterior before this frame's evidence, the filter's belief that it is, and its displacement."""
        model, count = self.aligner.model, self.chain.count
        if self.options.temporal_model is TemporalModel.FILTER:
            before = None if observation.anew else state.belief
            kept = before is not None and (observation.held or observation.visibility.state is TrackState.LOST)
            belief = before if kept else self._chain_step(before, observation.picture)
            assert belief is not None  # noqa: S101 - for the type checker
            plain, r = belief_posterior(model, belief, observation.presence), observation.displacement
            if posterior is not None and observation.visibility.state is TrackState.VISIBLE and not observation.again:
                r = blend_displacement(plain, posterior, r)
            moved = displaced_posterior(plain, r)
            if observation.evidence is not None:
                # Evidence may favour an exemplar that the filter does not hold.
                moved = with_weights(moved, belief.probabilities(count))
            return moved, belief, r
        if posterior is None:
            # By itself, a frame that shows nothing leaves every exemplar as likely as any other.
            posterior = Posterior(model, np.full(count, 1 / count, np.float32), 0.0)
        return posterior, None, observation.displacement

    def _chain_step(self, before: Belief | None, emission: Emission) -> Belief:
        self.check()
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

    def extended_path(self, path: PathState | None, emission: Emission, held: bool) -> PathState | None:
        """A path one frame longer; None where none is wanted.

        Args:
            path: through the frames before; None where there are none.
            emission: of the frame.
            held: `Observation.held`.
        """
        if self.options.path_frames == 0:
            return None
        self.check()
        if path is not None and held:
            return path.repeated()
        if path is None:
            return self.chain.open_path(emission, self.options.path_frames)
        return self.chain.extend_path(path, emission)

    def low_passed(self, given: ConditionedFace, before: LowPass, blind: bool) -> tuple[ConditionedFace, LowPass]:
        """The mean of this answer's landmarks and those before it; a blind frame adds none of its own."""
        points = given.face.landmarks
        after = before if blind else before.push(points)
        mean = after.points if len(after.frames) else points
        return replace(given, face=replace(given.face, smoothed=mean)), after


def picture_emission(posterior: Posterior, memory: float) -> tuple[Emission, float]:
    """The emission of a crop, and κ after it.

    Args:
        posterior: of the crop alone.
        memory: κ of the frame before.
    """
    s = information_ratio(posterior)
    exponent, stay = emission_exponent(s, memory), self_transition(s, memory)
    return Emission.of_probabilities(posterior.probabilities, exponent, stay), max(s, decay(memory, 1))


def belief_posterior(model: PosteriorModel, belief: Belief, presence: float) -> Posterior:
    """What a belief is answered with, nothing displaced."""
    held = None if _keeps_rest(belief) else belief.index
    return Posterior(model, answer_probabilities(belief, model.exemplars.count), presence, held=held)


def answer_probabilities(belief: Belief, count: int) -> F32:
    """(K,) the probabilities that a belief is answered with; they sum to 1."""
    if _keeps_rest(belief):
        return belief.probabilities(count)
    p = np.zeros(count, np.float32)
    p[belief.index] = belief.weights / np.float32(belief.weights.sum(dtype=np.float64))
    return p


def truncation_mass(belief: Belief, evidence: Evidence | None) -> float:
    """Mass that truncation misplaced in an answer: what it spread in this frame, or all that is left out."""
    return belief.cut if evidence is not None or _keeps_rest(belief) else belief.rest


def _keeps_rest(belief: Belief) -> bool:
    return belief.rest > FILTER.max_omitted_rest or len(belief.index) == 0


def _found(last: Motion, observation: Observation, points: F64) -> tuple[F64, bytes]:
    """The box of a face that is seen, (4,), and `Motion.full` after it; ``points`` (68, 2), image frame."""
    if observation.evidence is not None or not is_partly_hidden(observation.hidden):
        return tight_box(points), full_view(points) if observation.hidden else b""
    if not last.full or last.unseen_frames or observation.anew:  # a head may have turned meanwhile
        return tight_box(points), b""
    return box_in_view(points, observation.hidden, last.full, observation.located.box), last.full


def _motion(before: Motion | None, observation: Observation, given: ConditionedFace) -> Motion:
    """Where the face is after a frame."""
    located, state = observation.located, observation.visibility.state
    last = before or Motion.at(located.box)
    mostly_hidden = hidden_count(observation.hidden) >= PARTLY_HIDDEN.mostly
    # A part of a face, where one is hidden, may be another thing: the detector will say.
    doubtful = mostly_hidden and last.unseen_frames > 0 and not located.detected and observation.evidence is None
    if state is TrackState.VISIBLE and observation.presence >= MOTION.min_presence and not doubtful:
        box, full = _found(last, observation, given.face.landmarks)
        found = last.update(located.box, box, observation.gap, meeting=observation.meeting, detected=located.detected)
        found = replace(found, full=full, seen=None if mostly_hidden else found.seen)
        return found if before is not None and not observation.anew else found.stopped()
    # Evidence about a face that is not seen may have moved its box. A detection in which no face is seen is none.
    trusted = before is None or not located.detected or observation.evidence is not None
    box = given.box if trusted else last.predict(observation.gap, None).box
    held = last.update_unseen(box, observation.gap, meeting=observation.meeting)
    return held.stopped() if state is TrackState.LOST else held
