"""One frame of one track: from its crop to the track after it and the answer; and revisions of earlier frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exalign_engine.arrays import F16
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.face.aligner import Aligner
from exalign_engine.face.views import ConditionedFace
from exalign_engine.hmm.chain import LowPass, PathState
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking.answers import RevisionAnswer, RevisionCause, TrackAnswer
from exalign_engine.tracking.box_matching import BOX_MATCHING
from exalign_engine.tracking.emission_strength import EMISSION
from exalign_engine.tracking.filter_step import FilteredFrame, FrameFilter, truncation_mass
from exalign_engine.tracking.meeting_settings import MEETING
from exalign_engine.tracking.motion import MOTION, Motion
from exalign_engine.tracking.options import TemporalModel
from exalign_engine.tracking.placement import Placement, Plan
from exalign_engine.tracking.reacquired import own_shape
from exalign_engine.tracking.same_crop import said_by, shows_face
from exalign_engine.tracking.smoothing import smoothed
from exalign_engine.tracking.track import (
    NO_DISPLACEMENT,
    TRACK,
    FilterState,
    Observation,
    PosteriorSample,
    Record,
    Track,
    kept_samples,
)
from exalign_engine.tracking.visibility import TrackState, Visibility


@dataclass(frozen=True)
class UpdatedTrack:
    """A track after a frame, its answer, and whether the caller gave its place."""

    track: Track
    answer: TrackAnswer
    given: bool


def chosen_places(
    aligner: Aligner, plan: Plan, rows: Sequence[FaceOutputs]
) -> tuple[list[Placement], list[FaceOutputs | None]]:
    """Placements and their rows, where of two places of a face the surer one is taken.

    Args:
        aligner: the model.
        plan: of the frame.
        rows: one for each of its places; none where the frame is blind.
    """
    placements: list[Placement] = list(plan.placements)
    chosen: list[FaceOutputs | None] = [None] * len(placements) if not rows else list(rows[: len(placements)])
    others = iter(rows[len(placements) :])
    for i, (placement, row) in enumerate(zip(plan.placements, tuple(chosen), strict=True)):
        if placement.alternative is None or row is None:
            continue
        other = next(others)
        here, there = (aligner.posterior(r).presence for r in (row, other))
        more = min(BOX_MATCHING.surer, BOX_MATCHING.surest * (1 - here))
        if there >= max(here + more, MOTION.min_presence):
            placements[i], chosen[i] = placement.at_alternative, other
    return placements, chosen


def update_track(
    frame_filter: FrameFilter, placement: Placement, index: int, gap: int, row: FaceOutputs | None
) -> UpdatedTrack | None:
    """Take one frame in.

    Args:
        frame_filter: model and chain.
        placement: the track, and where it was looked for.
        index: of the frame.
        gap: frames by index since the last one.
        row: of its crop; None where the frame is blind.

    Returns:
        None where a detection that would have opened a track shows no face.
    """
    posterior = None if row is None else frame_filter.aligner.posterior(row)
    if placement.track is None:
        if posterior is not None and not _is_face(frame_filter, placement, posterior):
            return None
        gap, track = 1, _new_track(placement)
    else:
        track = placement.track
    said = b"" if row is None else said_by(row)
    observation, memory = _observed(frame_filter, placement, track, index, gap, posterior, again=said == track.said)
    state = FilterState() if placement.track is None else FilterState(track.belief, track.motion)
    filtered = frame_filter.step(state, observation, posterior)
    observation = replace(observation, displacement=filtered.displacement, hidden=filtered.hidden)
    given, low_pass = filtered.given, LowPass.empty() if placement.anew else track.low_pass
    if frame_filter.options.temporal_model is TemporalModel.LOW_PASS:
        given, low_pass = frame_filter.low_passed(given, low_pass, posterior is None)
    start, records, path = _within_lag(frame_filter, track, observation, filtered)
    after = replace(
        track,
        start=start,
        records=records,
        path=path,
        samples=(*track.samples, sample_of(observation, given))[-kept_samples(frame_filter.options) :],
        visibility=observation.visibility,
        motion=filtered.motion,
        boxes=placement.boxes,
        belief=filtered.belief,
        memory=memory,
        displacement=filtered.displacement,
        low_pass=low_pass,
        apart=_apart(track, observation),
        shape=_shape(track, observation, given),
        said=said if shows_face(observation) else b"",
    )
    cut = 0.0 if filtered.belief is None else truncation_mass(filtered.belief, observation.evidence)
    return UpdatedTrack(after, track_answer(placement.track_id, observation, given, cut), placement.given)


def _observed(
    frame_filter: FrameFilter,
    placement: Placement,
    track: Track,
    index: int,
    gap: int,
    posterior: Posterior | None,
    *,
    again: bool,
) -> tuple[Observation, float]:
    """One frame's part in a track, and κ after it; ``again``: whether its crop says what that of the last one did."""
    again = again and bool(track.said) and not placement.anew
    presence = None if posterior is None else posterior.presence
    visibility = _visibility(placement, track, gap, presence, again)
    again = again and visibility.state is TrackState.VISIBLE
    known, r = (EMISSION.initial_memory, NO_DISPLACEMENT) if placement.anew else (track.memory, track.displacement)
    picture, memory = frame_filter.emission(posterior, visibility, known, gap)
    observation = Observation(
        index,
        gap,
        placement.place,
        presence or 0.0,
        visibility,
        picture,
        placement.evidence,
        r,
        anew=placement.anew,
        meeting=bool(placement.meets),
        again=again,
    )
    return observation, track.memory if again else memory


def _visibility(placement: Placement, track: Track, gap: int, presence: float | None, again: bool) -> Visibility:
    """`Track.visibility` after a frame."""
    if again and placement.found is not False:
        return track.visibility
    visibility = track.visibility
    if placement.track is not None:
        visibility = visibility.predict(gap)
        if placement.external and track.visibility.state is not TrackState.VISIBLE:
            visibility = visibility.relocated()
    return visibility.update(presence, placement.found)


def _apart(track: Track, observation: Observation) -> int:
    """`Track.apart` after a frame."""
    alone = observation.visibility.state is TrackState.VISIBLE and not observation.meeting
    return min(track.apart + alone, MEETING.apart)


def _shape(track: Track, observation: Observation, given: ConditionedFace) -> F16:
    """`Track.shape` after a frame."""
    seen = observation.visibility.state is TrackState.VISIBLE and observation.presence >= TRACK.sure_presence
    return own_shape(given.face.landmarks) if seen else track.shape


def _new_track(placement: Placement) -> Track:
    """A track before its first frame."""
    return Track(
        track_id=placement.track_id,
        visibility=Visibility.initial(),
        motion=Motion.at(placement.place.box),
        boxes=None,
        belief=None,
        memory=EMISSION.initial_memory,
        displacement=NO_DISPLACEMENT,
        start=FilterState(),
        records=(),
        settled=(),
        path=None,
        low_pass=LowPass.empty(),
        samples=(),
        apart=0,
        shape=NO_DISPLACEMENT,
        said=b"",
    )


def _is_face(frame_filter: FrameFilter, placement: Placement, posterior: Posterior) -> bool:
    """Whether a new face is one: the caller's word, or the detector's and the model's together."""
    given = placement.given or placement.evidence is not None
    return given or posterior.presence >= frame_filter.aligner.bundle.calibration.presence_threshold


def _within_lag(
    frame_filter: FrameFilter, track: Track, observation: Observation, filtered: FilteredFrame
) -> tuple[FilterState, tuple[Record, ...], PathState | None]:
    """A track's start, records and path, longer by one frame, without what has left the lag: the path takes it in."""
    lag, start, records, path = frame_filter.options.smoothing_lag, track.start, track.records, track.path
    if lag and filtered.belief is not None:
        records = (*records, _record(observation, filtered))
    else:
        path = frame_filter.extended_path(path, filtered.emission, observation.held)
    while len(records) > lag + 1:
        oldest, records = records[0], records[1:]
        start = FilterState(oldest.belief, oldest.motion)
        path = frame_filter.extended_path(path, oldest.emission, oldest.observation.held)
    return start, records, path


def _record(observation: Observation, filtered: FilteredFrame) -> Record:
    assert filtered.belief is not None  # noqa: S101 - only the filter has records; for the type checker
    joint = None if observation.evidence is None else filtered.emission
    return Record(observation, filtered.belief, filtered.motion, joint)


def sample_of(observation: Observation, given: ConditionedFace) -> PosteriorSample:
    """A sample of an answer's posterior."""
    o, p = observation, given.face.posterior
    return PosteriorSample.of(o.index, o.located.box, o.presence, o.evidence, p)


def track_answer(track_id: int, observation: Observation, given: ConditionedFace, cut: float) -> TrackAnswer:
    """The answer about one face in one frame."""
    v = observation.visibility
    return TrackAnswer(track_id, v.state, v.visible, v.lost, given, observation.evidence is not None, cut)


def refiltered(frame_filter: FrameFilter, track: Track, record: Record, evidence: Evidence) -> Track:
    """A track with other evidence about one of its records: that frame and all after it are filtered again.

    What the pictures showed stays as it is: the crops were taken where the track looked at the time.
    """
    place = track.records.index(record)
    state, records = track.state_before(record), list(track.records[:place])
    for old in track.records[place:]:
        observation = replace(old.observation, evidence=evidence) if old is record else old.observation
        filtered = frame_filter.step(state, observation)
        records.append(_record(observation, filtered))
        state = FilterState(filtered.belief, filtered.motion)
    return replace(track, records=tuple(records), belief=state.belief, motion=records[-1].motion)


def revised(
    frame_filter: FrameFilter, tracks: Sequence[Track], wanted: Sequence[int], through: int, cause: RevisionCause
) -> tuple[tuple[RevisionAnswer, ...], tuple[Track, ...]]:
    """Better answers to frames within the lag, and the tracks that remember them.

    Args:
        frame_filter: model and chain.
        tracks: whose.
        wanted: indices of frames, ascending.
        through: index of the newest frame.
        cause: why.
    """
    answers: dict[int, list[TrackAnswer]] = {index: [] for index in wanted}
    after = []
    for track in tracks:
        held = [r for r in track.records if r.observation.index in answers]
        found = smoothed(frame_filter, track, held) if held else []
        for f in found:
            answers[f.observation.index].append(track_answer(track.track_id, f.observation, f.given, f.cut))
        track = track.with_samples({f.observation.index: sample_of(f.observation, f.given) for f in found})
        if found and frame_filter.options.temporal_mean:
            track = track.with_revised([f.point for f in found], through=track.records[0].observation.index)
        after.append(track)
    revisions = (RevisionAnswer(index, through, cause, tuple(found)) for index, found in answers.items() if found)
    return tuple(revisions), tuple(after)
