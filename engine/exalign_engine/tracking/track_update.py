"""One frame of one track: what its crop says about it, and the track and the answer that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exalign_engine.evidence.evidence import Evidence
from exalign_engine.face.views import ConditionedFace
from exalign_engine.geometry.frames import iou
from exalign_engine.hmm.chain import LowPass
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking.answers import RevisionAnswer, RevisionCause, TrackAnswer
from exalign_engine.tracking.association import BOX_MATCHING
from exalign_engine.tracking.emission_strength import EMISSION
from exalign_engine.tracking.filter_step import Joined, Joiner, cut_mass
from exalign_engine.tracking.options import TemporalModel
from exalign_engine.tracking.placement import Placement
from exalign_engine.tracking.smoothing import smoothed
from exalign_engine.tracking.track import NO_DISPLACEMENT, Record, Seen, Sketch, Start, Track, aged, extended
from exalign_engine.tracking.visibility import TrackState, Visibility


@dataclass(frozen=True)
class Followed:
    """A track after a frame, its answer, and whether the caller gave its place."""

    track: Track
    answer: TrackAnswer
    given: bool


def follow(joiner: Joiner, placement: Placement, index: int, gap: int, row: FaceOutputs | None) -> Followed | None:
    """Take one frame in.

    Args:
        joiner: model and chain.
        placement: the track, and where it was looked for.
        index: of the frame.
        gap: frames by index since the last one.
        row: of its crop; None where the frame is blind.

    Returns:
        None where a detection that would have opened a track shows no face.
    """
    posterior = None if row is None else joiner.aligner.posterior(row)
    track = placement.track
    if track is None:
        if posterior is not None and not _is_face(joiner, placement, posterior):
            return None
        start, gap, visibility = Start(), 1, Visibility.fresh()
    else:
        start, visibility = Start(track.belief, track.motion), track.visibility.predicted(gap)
        if placement.told and track.visibility.state is not TrackState.VISIBLE:
            visibility = visibility.refound()
    presence = None if posterior is None else posterior.presence
    visibility = visibility.updated(presence, placement.found)
    before = EMISSION.initial_memory if track is None else track.known
    picture, known = joiner.emission(posterior, visibility, before, gap)
    carried = NO_DISPLACEMENT if track is None else track.displacement
    seen = Seen(index, gap, placement.place, presence or 0.0, visibility, picture, placement.evidence, carried)
    joined = joiner.join(start, seen, posterior)
    seen = replace(seen, displacement=joined.displacement)
    given, low_pass = joined.given, track.low_pass if track else LowPass.empty()
    if joiner.options.temporal_model is TemporalModel.LOW_PASS:
        given, low_pass = joiner.low_passed(given, low_pass, posterior is None)
    sketch = sketched(seen, given)
    if track is None:
        first = (placement.track_id, visibility, joined.motion, None, None, known, joined.displacement)
        empty = Track(*first, Start(), (), (), None, low_pass, ())
        grown = _grown(joiner, empty, seen, joined, sketch)
    else:
        grown = _grown(joiner, track, seen, joined, sketch)
    after = replace(
        grown,
        visibility=visibility,
        motion=joined.motion,
        boxes=placement.boxes,
        belief=joined.belief,
        known=known,
        displacement=joined.displacement,
        low_pass=low_pass,
    )
    cut = 0.0 if joined.belief is None else cut_mass(joined.belief, seen.evidence)
    return Followed(after, answer(placement.track_id, seen, given, cut), placement.given)


def _is_face(joiner: Joiner, placement: Placement, posterior: Posterior) -> bool:
    """Whether a new face is one: the caller's word, or the detector's and the model's together."""
    told = placement.given or placement.evidence is not None
    return told or posterior.presence >= joiner.aligner.bundle.calibration.presence_threshold


def _grown(joiner: Joiner, track: Track, seen: Seen, joined: Joined, sketch: Sketch) -> Track:
    """Longer by one frame; what has left the lag is let go of."""
    options = joiner.options
    track = replace(track, sketches=(*track.sketches, sketch))
    if options.smoothing_lag and joined.belief is not None:
        track = replace(track, records=(*track.records, _record(seen, joined)))
    else:
        track = replace(track, path=extended(track.path, joined.emission, joiner.chain, options))
    return aged(track, joiner.chain, options)


def _record(seen: Seen, joined: Joined) -> Record:
    assert joined.belief is not None  # noqa: S101 - only the filter has records; for the type checker
    return Record(seen, joined.belief, joined.motion, None if seen.evidence is None else joined.emission)


def sketched(seen: Seen, given: ConditionedFace) -> Sketch:
    """The sketch of an answer."""
    p = given.face.posterior
    return Sketch.of(seen.index, seen.located.box, seen.presence, seen.evidence, p.probabilities, p.mean_displacement)


def answer(track_id: int, seen: Seen, given: ConditionedFace, cut: float) -> TrackAnswer:
    """What is said about one face in one frame."""
    v = seen.visibility
    return TrackAnswer(track_id, v.state, v.visible, v.lost, given, seen.evidence is not None, cut)


def separated(followed: Sequence[Followed]) -> list[Followed]:
    """Give up the worse of any two tracks that see one face: it is lost in this answer.

    Of two, the one that the caller placed stays, then the likelier one, then the older one.
    """

    def rank(f: Followed) -> tuple[bool, float, int]:
        return (not f.given, -f.track.visibility.visible, f.track.track_id)

    stays: list[Followed] = []
    out = {f.track.track_id: f for f in followed}
    for f in sorted(followed, key=rank):
        if f.track.visibility.state is not TrackState.VISIBLE:
            continue
        box = f.track.motion.box
        if not f.given and any(iou(box, s.track.motion.box) > BOX_MATCHING.same_face for s in stays):
            visibility = f.track.visibility.given_up()
            lost = replace(f.answer, state=visibility.state, visible_probability=0.0, lost_probability=1.0)
            out[f.track.track_id] = replace(f, track=replace(f.track, visibility=visibility), answer=lost)
        else:
            stays.append(f)
    return [out[f.track.track_id] for f in followed]


def refiltered(joiner: Joiner, track: Track, record: Record, evidence: Evidence) -> Track:
    """A track that has other evidence about one of its records: that frame and all after it are filtered again.

    What the pictures showed stays as it is: the crops were taken where the track looked at the time.
    """
    place = track.records.index(record)
    start, records = track.start_of(record), list(track.records[:place])
    for old in track.records[place:]:
        seen = replace(old.seen, evidence=evidence) if old is record else old.seen
        joined = joiner.join(start, seen)
        records.append(_record(seen, joined))
        start = Start(joined.belief, joined.motion)
    return replace(track, records=tuple(records), belief=start.belief, motion=records[-1].motion)


def revised(
    joiner: Joiner, tracks: Sequence[Track], wanted: Sequence[int], through: int, cause: RevisionCause
) -> tuple[tuple[RevisionAnswer, ...], tuple[Track, ...]]:
    """Better answers to frames within the lag, and the tracks that remember them.

    Args:
        joiner: model and chain.
        tracks: whose.
        wanted: indices of frames, ascending.
        through: index of the newest frame.
        cause: why.
    """
    answers: dict[int, list[TrackAnswer]] = {index: [] for index in wanted}
    after = []
    for track in tracks:
        held = [r for r in track.records if r.seen.index in answers]
        found = smoothed(joiner, track, held) if held else []
        for f in found:
            answers[f.seen.index].append(answer(track.track_id, f.seen, f.given, f.cut))
        track = track.resketched({f.seen.index: sketched(f.seen, f.given) for f in found})
        if found and joiner.options.steadied:
            track = track.resettled([f.moment for f in found], through=track.records[0].seen.index)
        after.append(track)
    revisions = (RevisionAnswer(index, through, cause, tuple(told)) for index, told in answers.items() if told)
    return tuple(revisions), tuple(after)
