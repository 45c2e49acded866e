"""One frame of one track: from its crop to the track after it and the answer; and revisions of earlier frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exalign_engine.evidence.evidence import Evidence
from exalign_engine.face.views import ConditionedFace
from exalign_engine.geometry.frames import iou
from exalign_engine.hmm.chain import LowPass, PathState
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking.answers import RevisionAnswer, RevisionCause, TrackAnswer
from exalign_engine.tracking.box_matching import BOX_MATCHING
from exalign_engine.tracking.emission_strength import EMISSION
from exalign_engine.tracking.filter_step import FilteredFrame, FrameFilter, truncation_mass
from exalign_engine.tracking.motion import Motion
from exalign_engine.tracking.options import TemporalModel
from exalign_engine.tracking.placement import Placement
from exalign_engine.tracking.smoothing import smoothed
from exalign_engine.tracking.track import (
    NO_DISPLACEMENT,
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
        gap, track, visibility = 1, _new_track(placement), Visibility.initial()
    else:
        track, visibility = placement.track, placement.track.visibility.predict(gap)
        if placement.external and track.visibility.state is not TrackState.VISIBLE:
            visibility = visibility.relocated()
    presence = None if posterior is None else posterior.presence
    visibility = visibility.update(presence, placement.found)
    picture, memory = frame_filter.emission(posterior, visibility, track.memory, gap)
    state = FilterState() if placement.track is None else FilterState(track.belief, track.motion)
    observation = Observation(
        index, gap, placement.place, presence or 0.0, visibility, picture, placement.evidence, track.displacement
    )
    filtered = frame_filter.step(state, observation, posterior)
    observation = replace(observation, displacement=filtered.displacement)
    given, low_pass = filtered.given, track.low_pass
    if frame_filter.options.temporal_model is TemporalModel.LOW_PASS:
        given, low_pass = frame_filter.low_passed(given, low_pass, posterior is None)
    start, records, path = _within_lag(frame_filter, track, observation, filtered)
    after = replace(
        track,
        start=start,
        records=records,
        path=path,
        samples=(*track.samples, sample_of(observation, given))[-kept_samples(frame_filter.options) :],
        visibility=visibility,
        motion=filtered.motion,
        boxes=placement.boxes,
        belief=filtered.belief,
        memory=memory,
        displacement=filtered.displacement,
        low_pass=low_pass,
    )
    cut = 0.0 if filtered.belief is None else truncation_mass(filtered.belief, observation.evidence)
    return UpdatedTrack(after, track_answer(placement.track_id, observation, given, cut), placement.given)


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
        path = frame_filter.extended_path(path, filtered.emission)
    while len(records) > lag + 1:
        oldest, records = records[0], records[1:]
        start, path = FilterState(oldest.belief, oldest.motion), frame_filter.extended_path(path, oldest.emission)
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


def without_duplicates(updated: Sequence[UpdatedTrack]) -> list[UpdatedTrack]:
    """Mark the worse of any two tracks of one face as lost, in this answer already.

    Of two, the one that the caller placed stays, then the likelier one, then the older one.
    """

    def rank(one: UpdatedTrack) -> tuple[bool, float, int]:
        return (not one.given, -one.track.visibility.visible, one.track.track_id)

    kept: list[UpdatedTrack] = []
    out = {one.track.track_id: one for one in updated}
    for one in sorted(updated, key=rank):
        if one.track.visibility.state is not TrackState.VISIBLE:
            continue
        box = one.track.motion.box
        if not one.given and any(iou(box, k.track.motion.box) > BOX_MATCHING.same_face for k in kept):
            visibility = one.track.visibility.dropped()
            lost = replace(one.answer, state=visibility.state, visible_probability=0.0, lost_probability=1.0)
            out[one.track.track_id] = replace(one, track=replace(one.track, visibility=visibility), answer=lost)
        else:
            kept.append(one)
    return [out[one.track.track_id] for one in updated]


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
