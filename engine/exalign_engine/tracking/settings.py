"""Every constant that a session's state depends on beside bundle and options, in one value.

A constant of this room is a field of its module's settings, and these are fields of `TrackerSettings`; so a new one is
part of `exalign_engine.tracking.session_state.settings_name` without being listed there. A test finds constants that
are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from exalign_engine.evidence.conditioning import (
    LEFT_OUT,
    LEFT_OUT_OF_ANSWER,
    LOOSENESS,
    MAX_MISFIT_SHARE,
    NEAREST_SLACK,
    REFERENCE_ERROR,
    EvidenceModel,
)
from exalign_engine.hmm.belief import BELIEF_BYTES, LEAST_WEIGHT, LOG_FLOOR, LOW_PASS_FRAMES
from exalign_engine.hmm.chain import FLOOR, MASS_CUT, STRETCHES
from exalign_engine.hmm.neighbours import COUNTED, ENOUGH, SAMPLED
from exalign_engine.posterior.kept import MAX_KEPT, STAND_INS
from exalign_engine.posterior.residual import DISPLACEMENT_REACH
from exalign_engine.tracking.box_filter import BOX_FILTER, BoxFilterSettings
from exalign_engine.tracking.box_matching import BOX_MATCHING, BoxMatchingSettings
from exalign_engine.tracking.cuts import CUTS, CutSettings
from exalign_engine.tracking.displacement import DISPLACEMENT, DisplacementSettings
from exalign_engine.tracking.emission_strength import EMISSION, EmissionSettings
from exalign_engine.tracking.filter_step import FILTER, FilterSettings
from exalign_engine.tracking.meeting_settings import MEETING, MeetingSettings
from exalign_engine.tracking.motion import MOTION, MotionSettings
from exalign_engine.tracking.partly_hidden import PARTLY_HIDDEN, PartlyHiddenSettings
from exalign_engine.tracking.session_summary import SUMMARY, SummarySettings
from exalign_engine.tracking.temporal_mean import TEMPORAL_MEAN, TemporalMeanSettings
from exalign_engine.tracking.track import TRACK, TrackSettings
from exalign_engine.tracking.visibility import VISIBILITY, VisibilitySettings


@dataclass(frozen=True)
class ModelConstants:
    """Constants of the chain, of evidence and of the posterior that decide what a state becomes.

    Attributes:
        mass_cut: `exalign_engine.hmm.chain.MASS_CUT`.
        wide_step: `exalign_engine.hmm.chain.STRETCHES` and ``FLOOR``.
        kept: `exalign_engine.posterior.kept.MAX_KEPT` and ``STAND_INS``.
        log_floor: `exalign_engine.hmm.belief.LOG_FLOOR`.
        belief_bytes: `exalign_engine.hmm.belief.BELIEF_BYTES`.
        min_weight: `exalign_engine.hmm.belief.LEAST_WEIGHT`.
        low_pass_frames: `exalign_engine.hmm.belief.LOW_PASS_FRAMES`.
        counted: how neighbours are counted: `exalign_engine.hmm.neighbours.COUNTED`, ``SAMPLED`` and ``ENOUGH``.
        displacement_reach: `exalign_engine.posterior.residual.DISPLACEMENT_REACH`.
        evidence: what evidence is taken for.
        left_out: `exalign_engine.evidence.conditioning.LEFT_OUT`.
        left_out_of_answer: ``LEFT_OUT_OF_ANSWER`` there.
        nearest_slack: ``NEAREST_SLACK`` there.
        reference_error: ε₀ there.
        max_misfit_share: ``MAX_MISFIT_SHARE`` there.
        looseness: (68,) l_n there.
    """

    mass_cut: float = MASS_CUT
    wide_step: tuple[int, float] = (STRETCHES, FLOOR)
    kept: tuple[int, int] = (MAX_KEPT, STAND_INS)
    log_floor: float = LOG_FLOOR
    belief_bytes: int = BELIEF_BYTES
    min_weight: float = LEAST_WEIGHT
    low_pass_frames: int = LOW_PASS_FRAMES
    counted: tuple[int, int, int] = (COUNTED, SAMPLED, ENOUGH)
    displacement_reach: float = DISPLACEMENT_REACH
    evidence: EvidenceModel = field(default_factory=EvidenceModel)
    left_out: tuple[float, ...] = LEFT_OUT
    left_out_of_answer: float = LEFT_OUT_OF_ANSWER
    nearest_slack: float = NEAREST_SLACK
    reference_error: float = REFERENCE_ERROR
    max_misfit_share: float = MAX_MISFIT_SHARE
    looseness: tuple[float, ...] = tuple(LOOSENESS.tolist())


@dataclass(frozen=True)
class TrackerSettings:
    """All constants; see each class."""

    visibility: VisibilitySettings = VISIBILITY
    motion: MotionSettings = MOTION
    box_filter: BoxFilterSettings = BOX_FILTER
    box_matching: BoxMatchingSettings = BOX_MATCHING
    cuts: CutSettings = CUTS
    meeting: MeetingSettings = MEETING
    partly_hidden: PartlyHiddenSettings = PARTLY_HIDDEN
    emission: EmissionSettings = EMISSION
    displacement: DisplacementSettings = DISPLACEMENT
    filter: FilterSettings = FILTER
    temporal_mean: TemporalMeanSettings = TEMPORAL_MEAN
    track: TrackSettings = TRACK
    summary: SummarySettings = SUMMARY
    model: ModelConstants = field(default_factory=ModelConstants)


TRACKER = TrackerSettings()
