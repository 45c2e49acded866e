"""What a tracked video answers: results, revisions of earlier ones, and a summary at the end.

Everything is in the image frame (pixels) unless stated otherwise; surprise is in nats, times are in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from google.protobuf.duration_pb2 import Duration
from numpy.typing import NDArray

from exalign.summary import summarised
from exalign.v1 import track_pb2
from exalign_client.errors import InternalServerError, Violation
from exalign_client.json_form import Json, float32_decimal, json_form
from exalign_client.requests.evidence import EvidenceOutcome, outcome_from
from exalign_client.results.conditional import Suggestion
from exalign_client.results.faces import Face, Timing, face_from, timing_from

F32 = NDArray[np.float32]


class TrackState(StrEnum):
    """What a track is doing."""

    #: The face is seen.
    VISIBLE = "visible"
    #: The face is believed to be there and is hidden; the answer rests on the frames before it.
    HIDDEN = "hidden"
    #: The face is lost; the detector searches for it.
    LOST = "lost"
    #: The server is newer than this client and means something else.
    UNKNOWN = "unknown"


class RevisionCause(StrEnum):
    """Why an earlier answer changed."""

    #: Later frames.
    SMOOTHING = "smoothing"
    #: Evidence given after the frame.
    EVIDENCE = "evidence"
    #: The server is newer than this client and means something else.
    UNKNOWN = "unknown"


_STATES = {
    track_pb2.TRACK_STATE_VISIBLE: TrackState.VISIBLE,
    track_pb2.TRACK_STATE_HIDDEN: TrackState.HIDDEN,
    track_pb2.TRACK_STATE_LOST: TrackState.LOST,
}
_CAUSES = {
    track_pb2.REVISION_CAUSE_SMOOTHING: RevisionCause.SMOOTHING,
    track_pb2.REVISION_CAUSE_EVIDENCE: RevisionCause.EVIDENCE,
}


@dataclass(frozen=True, eq=False, repr=False)
class Track:
    """One face in one frame.

    Attributes:
        track_id: ≥ 1; the same face in the frames of one session.
        state: what the track is doing, with hysteresis.
        visible_probability: that the face is visible in this frame, given all frames so far, 0 to 1.
        lost_probability: that the track has lost its face, 0 to 1.
        face: the answer, which rests on all frames so far.
        evidence_outcome: what became of the evidence about this track and frame; None: there was none.
        surprise: −log of the probability of that evidence, nats; None without any, or when it was impossible.
        reacquired_from: in the frame in which a face was found while one was lost: the track that had lost it, most
            probably; ``track_id`` where the track goes on. Else None.
        reacquired_probability: that it is the same face, by its shape alone, with even odds before; else None.
    """

    __repr__ = summarised

    track_id: int
    state: TrackState
    visible_probability: float
    lost_probability: float
    face: Face
    evidence_outcome: EvidenceOutcome | None
    surprise: float | None
    reacquired_from: int | None = None
    reacquired_probability: float | None = None


@dataclass(frozen=True, eq=False, repr=False)
class TrackResult:
    """The answer to one frame.

    Attributes:
        frame_index: number of the frame.
        media_time: as it was given, seconds.
        tracks: one a track, ascending by id; also hidden and lost ones.
        skipped_frames: live only: frames that newer ones replaced since the result before, ascending.
        problems: why the picture was not used; the frame then counts as occluded.
        session: counts the sessions that the frames were answered in, from 1. A new one begins only when the server
            has lost the one before and no frame is left out by that; track ids begin again with it.
        bundle_id: the bundle that answered; see `ModelChanged`.
        through_frame: newest frame that ``tracks`` takes into account; a later one than ``frame_index`` only in
            what `settled` yields.
        latency: seconds from the arrival of the frame at the server to its answer.
        timing: where the server's time went.
        durable: whether another server could go on after this frame when it was answered; None: this one keeps sessions
            to itself. What was not durable is repeated where it must be, unless the store stays away for long.
    """

    __repr__ = summarised

    frame_index: int
    media_time: float | None
    tracks: tuple[Track, ...]
    skipped_frames: tuple[int, ...]
    problems: tuple[Violation, ...]
    session: int
    bundle_id: str
    through_frame: int
    latency: float
    timing: Timing
    durable: bool | None = None

    def to_json(self) -> Json:
        """The answer as plain JSON values, under the names of the attributes."""
        return json_form(self)


@dataclass(frozen=True, eq=False, repr=False)
class TrackRevision:
    """A better answer to an earlier frame; it replaces the tracks that it names.

    Attributes:
        frame_index: number of the frame revised.
        through_frame: number of the newest frame that it takes into account.
        cause: why.
        tracks: those whose answer changed, ascending by id.
    """

    __repr__ = summarised

    frame_index: int
    through_frame: int
    cause: RevisionCause
    tracks: tuple[Track, ...]

    def to_json(self) -> Json:
        """The revision as plain JSON values, under the names of the attributes."""
        return json_form(self)


@dataclass(frozen=True)
class ModelChanged:
    """Another bundle answers from now on, or the same on a newer server: `TrackFrame.may_change_model` allowed it.

    Boxes and ids of tracks go on; what was believed of their shapes begins anew. No revision of an earlier frame comes
    after it.

    Attributes:
        frame_index: number of the first frame that it answers.
        bundle_id: the bundle.
    """

    frame_index: int
    bundle_id: str

    def to_json(self) -> Json:
        """The event as plain JSON values, under the names of the attributes."""
        return json_form(self)


#: What a tracked video yields.
TrackEvent: TypeAlias = TrackResult | TrackRevision | ModelChanged


@dataclass(frozen=True)
class TrackSummary:
    """Counts over the last session, over all its streams.

    Attributes:
        frames_received: frames, repeats not counted.
        frames_answered: frames answered.
        frames_skipped: live only: frames that newer ones replaced, at the server.
        frames_with_problems: frames answered with a problem.
        tracks_opened: tracks opened.
        tracks_lost: times that a track was lost.
        detector_runs: runs of the detector.
    """

    frames_received: int
    frames_answered: int
    frames_skipped: int
    frames_with_problems: int
    tracks_opened: int
    tracks_lost: int
    detector_runs: int


@dataclass(frozen=True, eq=False, repr=False)
class TrackPath:
    """The most probable path of one track through its last T frames.

    Attributes:
        track_id: the track.
        frame_indices: T frames, ascending.
        class_ids: the exemplar in each of them.
        landmarks: (T, 68, 2) float32, its landmarks, pixels.
        score: sum of log-emissions and transition penalties.
        score_gap: certificate: no path scores more than ``score`` + this. 0: exact.
    """

    __repr__ = summarised

    track_id: int
    frame_indices: tuple[int, ...]
    class_ids: tuple[int, ...]
    landmarks: F32
    score: float
    score_gap: float


@dataclass(frozen=True)
class FrameSuggestion:
    """A click that would help: its frame and track. The gain is summed over the frames that it would change."""

    frame_index: int
    track_id: int
    suggestion: Suggestion


@dataclass(frozen=True, eq=False, repr=False)
class TrackClosed:
    """How a session ended.

    Attributes:
        summary: counts.
        paths: one a track, when requested.
        suggestions: best first, when requested.
    """

    __repr__ = summarised

    summary: TrackSummary
    paths: tuple[TrackPath, ...]
    suggestions: tuple[FrameSuggestion, ...]

    def to_json(self) -> Json:
        """The end as plain JSON values, under the names of the attributes."""
        return json_form(self)


def settled(events: Iterable[TrackEvent], lag: int) -> Iterator[TrackResult]:
    """Turn events into one final answer a frame, in order: each result with its revisions put in.

    Args:
        events: of one video.
        lag: its smoothing lag; an answer comes so many frames later, and one more.

    Yields:
        Results; ``through_frame`` is the newest frame that each rests on. Where the events end with an error, what was
        answered before it comes first.
    """
    waiting: deque[TrackResult] = deque()
    try:
        for event in events:
            if isinstance(event, TrackResult):
                # Revisions follow the result that causes them: only the next result shows that they are complete.
                if len(waiting) > lag:
                    yield waiting.popleft()
                waiting.append(event)
            elif isinstance(event, TrackRevision):
                for place, result in enumerate(waiting):
                    if result.frame_index == event.frame_index:
                        waiting[place] = _revised(result, event)
            if lag == 0 and waiting:
                yield waiting.popleft()
    except Exception:
        yield from waiting
        raise
    yield from waiting


def _revised(result: TrackResult, revision: TrackRevision) -> TrackResult:
    tracks = {track.track_id: track for track in (*result.tracks, *revision.tracks)}
    ordered = tuple(tracks[number] for number in sorted(tracks))
    return replace(result, tracks=ordered, through_frame=revision.through_frame)


def result_from(
    message: track_pb2.FrameResult,
    *,
    media_time: float | None,
    skipped_frames: tuple[int, ...],
    session: int,
    bundle_id: str,
    durable: bool | None = None,
) -> TrackResult:
    """Read the answer to a frame.

    Args:
        message: as it came.
        media_time: as the caller gave it.
        skipped_frames: those that the message names, and those that were never sent.
        session: counts the sessions.
        bundle_id: the bundle that answered.
        durable: see `TrackResult`.

    Raises:
        InternalServerError: it does not keep to the contract.
    """
    return TrackResult(
        frame_index=message.frame_index,
        media_time=media_time,
        tracks=_tracks(message.tracks, f"result {message.frame_index}"),
        skipped_frames=skipped_frames,
        problems=tuple(Violation(p.field, p.description) for p in message.problems),
        session=session,
        bundle_id=bundle_id,
        through_frame=message.frame_index,
        latency=seconds(message.latency),
        timing=timing_from(message.timing),
        durable=durable,
    )


def revision_from(message: track_pb2.FrameRevision) -> TrackRevision:
    """Read a revision.

    Raises:
        InternalServerError: it does not keep to the contract.
    """
    return TrackRevision(
        frame_index=message.frame_index,
        through_frame=message.through_frame,
        cause=_CAUSES.get(message.cause, RevisionCause.UNKNOWN),
        tracks=_tracks(message.tracks, f"revision of {message.frame_index}"),
    )


def seconds(duration: Duration) -> float:
    """A duration as seconds."""
    return duration.seconds + duration.nanos / 1e9


def _tracks(messages: Iterable[track_pb2.Track], path: str) -> tuple[Track, ...]:
    return tuple(_track(message, f"{path}.tracks[{number}]") for number, message in enumerate(messages))


def _track(message: track_pb2.Track, path: str) -> Track:
    if not message.HasField("face"):
        raise InternalServerError(f"the answer does not keep to the contract: {path}.face is absent")
    return Track(
        track_id=message.track_id,
        state=_STATES.get(message.state, TrackState.UNKNOWN),
        visible_probability=float32_decimal(message.visible_probability),
        lost_probability=float32_decimal(message.lost_probability),
        face=face_from(message.face, f"{path}.face"),
        evidence_outcome=outcome_from(message.evidence_outcome) if message.HasField("evidence_outcome") else None,
        surprise=message.surprise if message.HasField("surprise") else None,
        reacquired_from=message.reacquired_from if message.HasField("reacquired_from") else None,
        reacquired_probability=message.reacquired_probability if message.HasField("reacquired_probability") else None,
    )
