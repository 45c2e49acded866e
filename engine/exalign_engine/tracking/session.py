"""A TrackVideo session: `TrackingSession.finish` and `TrackingSession.revise` alone change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from exalign_engine.errors import InvalidInputError
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.face.aligner import Aligner, LocatedFace
from exalign_engine.geometry.levels import Levels, Pixels
from exalign_engine.hmm.chain import Chain
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.checks import Check, unchecked
from exalign_engine.tracking import session_state as states
from exalign_engine.tracking.answers import (
    TRACK_BOX,
    ClosingAnswer,
    Frame,
    FrameAnswer,
    RevisionAnswer,
    RevisionCause,
    SuggestionQuery,
)
from exalign_engine.tracking.cuts import is_cut, thumbnail_of
from exalign_engine.tracking.errors import FrameTooOldError, StateError, StateReason
from exalign_engine.tracking.evidence_assignment import assign, merged
from exalign_engine.tracking.filter_step import FrameFilter
from exalign_engine.tracking.meeting import settled, with_reacquired
from exalign_engine.tracking.options import SessionOptions
from exalign_engine.tracking.placement import Plan, Planner, check_frame, unknown_tracks, wants_detector
from exalign_engine.tracking.session_state import SessionState
from exalign_engine.tracking.session_summary import best_paths, rank_suggestions
from exalign_engine.tracking.track_update import UpdatedTrack, chosen_places, refiltered, revised, update_track
from exalign_engine.tracking.visibility import TrackState


@dataclass
class Pending:
    """A frame between `TrackingSession.begin` and `TrackingSession.finish`.

    Attributes:
        frame: as the session takes it.
        detect: whether the detector should look at it.
        cut: whether it shows another shot than the frame before.
        before: the session that it was begun in.
        plan: where each track is looked for; None until `TrackingSession.places`.
    """

    frame: Frame
    detect: bool
    cut: bool
    before: SessionState = field(repr=False)
    plan: Plan | None = field(default=None, repr=False)


class TrackingSession:
    """Tracks the faces of one video.

    Nothing depends on the clock or on chance: the same frames give the same answers, bit for bit, also where the
    session was encoded and decoded between any two of them. Not to be used by two threads at once.

    **Lag.** With a smoothing lag L, every frame is revised once as it leaves the lag, by the answer to the L-th
    frame after it: given all frames through that one. Frames are counted as they were answered; gaps in
    their indices do not count. What has not left the lag when the video ends is revised by `close`. Evidence is taken
    late for the newest frame and the L before it, and revises all of these, for smoothing carries it both
    ways. With L = 0 nothing is kept, and no evidence is taken late.

    **Gaps.** Where frames are left out, box and visibility move on by so many frames; the chain takes one step from one
    answered frame to the next.

    Args:
        aligner: the model.
        chain: between its exemplars.
        options: what the caller chose.
        state: to go on from, of the same options; None: a new session.

    Raises:
        ValueError: the chain is of another number of exemplars.
    """

    def __init__(
        self, aligner: Aligner, chain: Chain, options: SessionOptions, *, state: SessionState | None = None
    ) -> None:
        if chain.count != aligner.model.exemplars.count:
            raise ValueError(f"the chain has {chain.count} exemplars, the bundle {aligner.model.exemplars.count}")
        self._frame_filter, self._state = FrameFilter(aligner, chain, options), state or SessionState(options)

    @property
    def options(self) -> SessionOptions:
        """What the caller chose."""
        return self._state.options

    @property
    def next_frame(self) -> int:
        """Least index that the next frame may have; 0 in a new session."""
        return self._state.last_frame + 1

    @property
    def state(self) -> SessionState:
        """A value: everything that the next frame depends on."""
        return self._state

    def begin(self, frame: Frame) -> Pending:
        """Check a frame before its picture is decoded. Changes nothing.

        Raises:
            FrameTooOldError: the frame is not after all before it.
            InvalidInputError: names every wrong field: tracks that the session does not have, more boxes than
                faces, a picture of another size.
        """
        state = self._state
        if frame.index <= state.last_frame:
            limit = f"must be at least {self.next_frame}: later frames have been answered"
            raise FrameTooOldError(frame.index, self.next_frame, limit)
        check_frame(frame, state.tracks, state.options, state.size)
        cut = is_cut(state.thumbnail, frame.thumbnail)
        at_once = state.search or (cut and len(state.tracks) > 0)
        return Pending(_plain(frame), wants_detector(frame, state.tracks, state.options, at_once), cut, state)

    def thumbnail(self, image: Pixels) -> bytes:
        """`Frame.thumbnail` of a picture; empty where no face is followed, whom a cut would concern.

        Of a picture with levels it is taken at the one from which the largest face is cropped: that is decoded anyway.

        Args:
            image: (H, W, 3) uint8 RGB, or its levels.

        Raises:
            InvalidInputError: the file is damaged.
        """
        boxes = [track.motion.box for track in self._state.tracks]
        if not boxes:
            return b""
        if not isinstance(image, Levels):
            return thumbnail_of(image)
        places = [LocatedFace(box, box, TRACK_BOX, False, None) for box in boxes]
        return thumbnail_of(image.level(self._frame_filter.aligner.wanted_to_crop(places).first or 1).pixels)

    def places(self, pending: Pending, detections: Sequence[LocatedFace]) -> list[LocatedFace]:
        """What to crop and score, in this order. Changes nothing in the session.

        Args:
            pending: of `begin`.
            detections: all that were found, best first; read only where ``pending.detect``.

        Returns:
            One place a track, ascending by id, then those of tracks to be opened, then other places of tracks that are
            not seen; none where the frame is blind.

        Raises:
            InvalidInputError: evidence is about a face that is not in this frame, or contradicts itself.
        """
        frame, tracks = pending.frame, pending.before.tracks
        gap = self._gap(pending)
        size = pending.before.size or frame.size
        predicted = [t.motion.predict(gap, size).box for t in tracks]
        before = pending.before
        planner = Planner(frame, tracks, predicted, gap, before.next_id, before.options, pending.cut)
        pending.plan = planner.plan(detections if pending.detect else None)
        return [] if frame.blind else pending.plan.places

    def finish(self, pending: Pending, rows: Sequence[FaceOutputs], check: Check = unchecked) -> FrameAnswer:
        """Answer a frame and commit it. All or nothing: whatever is raised, the session is as before.

        Args:
            pending: of `begin`, after `places`.
            rows: the network's outputs, one for each of the places.
            check: called before each part of the work; what it raises ends it.

        Raises:
            ValueError: there are more or fewer rows, their scores have the wrong shape or are not finite, `places` was
                not called, or the session has moved since `begin`.
        """
        state, frame = self._state, pending.frame
        if pending.before is not state:
            raise ValueError("the session has moved since this frame was begun")
        if pending.plan is None:
            raise ValueError("places() was not called before finish()")
        count = len(pending.plan.places)
        if not frame.blind and len(rows) != count:
            raise ValueError(f"there are {len(rows)} rows, must be one for each of {count} places")
        gap, updated, frame_filter = self._gap(pending), [], replace(self._frame_filter, check=check)
        placements, chosen = chosen_places(frame_filter.aligner, pending.plan, () if frame.blind else rows)
        for placement, row in zip(placements, chosen, strict=True):
            one = update_track(frame_filter, placement, frame.index, gap, row)
            if one is not None:
                updated.append(one)
        after = settled(frame_filter, placements, updated, frame.index, gap)
        return self._commit(frame_filter, pending, with_reacquired(after, placements, state.tracks))

    def _commit(self, frame_filter: FrameFilter, pending: Pending, updated: Sequence[UpdatedTrack]) -> FrameAnswer:
        state, frame, lag = self._state, pending.frame, self.options.smoothing_lag
        old = {t.track_id: t.visibility.state for t in state.tracks}
        lost = [
            u for u in updated if u.answer.state is TrackState.LOST and old.get(u.track.track_id) is not TrackState.LOST
        ]
        recent = (*state.recent, frame.index)[-(lag + 1) :]
        tracks = tuple(u.track for u in updated)
        revisions: tuple[RevisionAnswer, ...] = ()
        if lag and len(recent) > lag:
            leaving = recent[:1]
            revisions, tracks = revised(frame_filter, tracks, leaving, frame.index, RevisionCause.SMOOTHING)
        kept = tuple(t for t in tracks if not t.visibility.expired())
        self._state = replace(
            state,
            size=state.size or (None if frame.blind else frame.size),
            last_frame=frame.index,
            next_id=max([state.next_id, *(t.track_id + 1 for t in tracks)]),
            recent=recent,
            tracks=kept,
            thumbnail=frame.thumbnail or state.thumbnail,
            # Of tracks that were lost before, the planner's turns say when.
            search=bool(lost) or len(kept) < len(state.tracks),
        )
        opened = sum(t.track_id not in old for t in tracks)
        answers = tuple(u.answer for u in updated)
        return FrameAnswer(frame.index, answers, revisions, pending.detect, opened, len(lost))

    def _gap(self, pending: Pending) -> int:
        """Frames by index since the last one; 1 for the first."""
        last = pending.before.last_frame
        return 1 if last < 0 else pending.frame.index - last

    def revise(
        self, frame_index: int, evidence: Sequence[tuple[int, Evidence]], check: Check = unchecked
    ) -> tuple[RevisionAnswer, ...]:
        """Take evidence about a frame within the lag, beside what that frame has already.

        The frame and all after it are filtered again, from what is kept of the frame before it, as if the evidence had
        come with it; the crops stay those that were taken. All or nothing.

        Args:
            frame_index: of an answered frame.
            evidence: (track id, or 0 for the only track or the nearest; image frame).
            check: as in `finish`.

        Returns:
            Revisions of every frame within the lag, through the newest one, ascending: the tracks concerned.

        Raises:
            FrameTooOldError: the frame is older than the lag.
            InvalidInputError: the frame was not sent, a track was not there, or evidence contradicts what was given.
        """
        state = self._state
        self._check_frame_held(frame_index)
        there = {t.track_id: r for t in state.tracks if (r := t.record(frame_index)) is not None}
        wrong = unknown_tracks("evidence", [track_id for track_id, _ in evidence], set(there))
        if wrong:
            raise InvalidInputError(wrong)
        plain = [(track_id, piece.normalised()) for track_id, piece in evidence]
        about = assign(plain, {k: r.observation.located.box for k, r in there.items()})
        changed, frame_filter = [], replace(self._frame_filter, check=check)
        for track in state.tracks:
            if track.track_id in about:
                record = there[track.track_id]
                together = merged(record.observation.evidence, about[track.track_id], "evidence")
                changed.append(refiltered(frame_filter, track, record, together))
        revisions, after = revised(frame_filter, changed, state.recent, state.last_frame, RevisionCause.EVIDENCE)
        new_tracks = {t.track_id: t for t in after}
        self._state = replace(state, tracks=tuple(new_tracks.get(t.track_id, t) for t in state.tracks))
        return revisions

    def _check_frame_held(self, index: int) -> None:
        state, lag = self._state, self.options.smoothing_lag
        if index > state.last_frame:
            raise InvalidInputError.of(
                "frame_index", f"is {index}, has not been sent; the newest is {state.last_frame}"
            )
        if not lag:
            raise FrameTooOldError(index, None, "the session has no smoothing lag: it takes no late evidence")
        if index < state.recent[0]:
            oldest = state.recent[0]
            raise FrameTooOldError(index, oldest, f"must be at least {oldest}: the smoothing lag is {lag} frames")
        if index not in state.recent:
            raise InvalidInputError.of("frame_index", f"is {index}, was never sent")

    def close(self, suggestion: SuggestionQuery | None = None, check: Check = unchecked) -> ClosingAnswer:
        """The answers at the end. Changes nothing.

        Args:
            suggestion: what to suggest; None: nothing.
            check: as in `finish`.

        Raises:
            InvalidInputError: the query is wrong.
        """
        state, lag = self._state, self.options.smoothing_lag
        # The oldest frame of a full lag was revised as it left; the newest one has nothing after it.
        waiting = state.recent[1 if len(state.recent) > lag else 0 : -1]
        frame_filter = replace(self._frame_filter, check=check)
        revisions, tracks = revised(frame_filter, state.tracks, waiting, state.last_frame, RevisionCause.SMOOTHING)
        wanted = () if suggestion is None else rank_suggestions(frame_filter, tracks, suggestion)
        return ClosingAnswer(revisions, best_paths(frame_filter, state.tracks), wanted)

    def moved_to(self, aligner: Aligner, chain: Chain) -> TrackingSession:
        """The session as it goes on with another model; this one stays as it is.

        Tracks keep their ids, boxes, motion and visibility. Beliefs, displacements, paths and frames within the lag are
        of this model's exemplars, and begin anew. So `close` should be asked for the last revisions before.

        Args:
            aligner: the other model.
            chain: between its exemplars.
        """
        tracks = tuple(track.with_other_exemplars() for track in self._state.tracks)
        return TrackingSession(aligner, chain, self.options, state=replace(self._state, recent=(), tracks=tracks))

    def encode(self) -> bytes:
        """The state: all that the next frame depends on, beside the bundle."""
        return states.encode(self._state, self._frame_filter.aligner, self._frame_filter.chain)

    @classmethod
    def decode(
        cls,
        data: bytes,
        aligner: Aligner,
        chain: Chain,
        options: SessionOptions | None = None,
        *,
        other_settings: bool = False,
    ) -> TrackingSession:
        """A session that goes on bit for bit as the one that was encoded.

        Args:
            data: of `encode`.
            aligner: the same model.
            chain: the same chain.
            options: what the caller chooses now; None takes what the state says.
            other_settings: read also a state that does not go on bit for bit; `moved_to` is then to follow.

        Raises:
            StateError: the data are damaged, of another version, of another bundle, or of other options or settings.
        """
        state = states.decode(data, aligner, chain, other_settings=other_settings)
        if options is not None and options != state.options:
            raise StateError(StateReason.OTHER_OPTIONS, f"was made with {state.options}, not {options}")
        return cls(aligner, chain, state.options, state=state)


def _plain(frame: Frame) -> Frame:
    """A frame whose evidence is in plain Python numbers, as it comes back from an encoded state."""
    return replace(frame, evidence=tuple((k, piece.normalised()) for k, piece in frame.evidence))
