"""The TrackVideo half of the fake server: sessions that remember, and streams that break by script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from exalign.v1 import evidence_pb2, face_pb2, service_pb2, track_pb2

Response = service_pb2.TrackVideoResponse


@dataclass(frozen=True)
class Plan:
    """What becomes of one stream.

    Attributes:
        breaks_at: it breaks at this step: 0 is before anything is expected; every frame taken in is a step, and every
            message sent. None: never.
        code: the status that it breaks with.
        forgets: the session is lost with it.
        loses_acks: acknowledgements do not arrive.
        repeats: every result is sent twice.
        skips: live: frames that are named as skipped.
        go_away_after: the server sends GoAway after so many results of its own.
        silent: the stream opens and nothing more is expected.
        refuses: ends the stream at once, in its own way.
    """

    breaks_at: int | None = None
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    forgets: bool = False
    loses_acks: bool = False
    repeats: bool = False
    skips: tuple[int, ...] = ()
    go_away_after: int | None = None
    silent: bool = False
    refuses: Callable[[grpc.ServicerContext], None] | None = None


class _BrokenError(Exception):
    """The stream's time has come."""


class _CancelledError(Exception):
    """The client has given the stream up."""


@dataclass
class Session:
    """What is remembered of one video. ``count`` counts frames: a frame taken twice, or left out, shows in it."""

    config: track_pb2.TrackConfig
    count: int = 0
    newest: int = -1
    acked: int = -1
    frames: list[int] = field(default_factory=list)
    kept: list[tuple[int, list[Response]]] = field(default_factory=list)
    most_kept: int = 0
    skipped: list[int] = field(default_factory=list)
    #: Late evidence: frame, landmarks, and the newest frame when it came.
    late: list[tuple[int, tuple[int, ...], int]] = field(default_factory=list)


@dataclass
class FakeTracking:
    """All sessions of the fake server.

    Attributes:
        plans: for the streams to come, in order; a stream without one goes well.
        face: makes the face in an answer.
        view: adds the views that a config names.
        max_unacked: results kept; then no more frames are taken.
        idle_timeout: seconds that the server allows between two messages; a client sends heartbeats three times as
            often.
        cancel_wait: seconds for which the end of the requests may still turn out to be a cancellation.
        configs: first message of every stream.
        metadata: of every stream.
        frames: every frame message received.
        heartbeats: heartbeats received.
        sessions: those that have not ended.
        ends: how streams ended: "closed", "cancelled", "broken".
    """

    face: Callable[[], face_pb2.Face]
    view: Callable[[track_pb2.TrackConfig, face_pb2.Face], face_pb2.Face]
    plans: list[Plan] = field(default_factory=list)
    max_unacked: int = 64
    idle_timeout: float = 6.0
    cancel_wait: float = 0.01
    configs: list[track_pb2.TrackConfig] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    frames: list[track_pb2.VideoFrame] = field(default_factory=list)
    heartbeats: int = 0
    sessions: dict[str, Session] = field(default_factory=dict)
    all_sessions: list[Session] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def stream(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Response]:
        """One stream."""
        plan = self.plans.pop(0) if self.plans else Plan()
        end = "cancelled"
        try:
            yield from _Stream(self, plan, requests, context).run()
            end = "closed"
        except _CancelledError:
            return
        except _BrokenError:
            end = "broken"
            context.abort(plan.code, "broken by script")
        finally:
            with self.changed:
                self.ends.append(end)
                self.changed.notify_all()

    def wait_for_ends(self, count: int) -> list[str]:
        """How streams ended, once so many have."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.ends) >= count, 120), self.ends
            return list(self.ends)

    def heartbeat(self) -> None:
        """Count a heartbeat."""
        with self.changed:
            self.heartbeats += 1
            self.changed.notify_all()

    def wait_for_heartbeats(self, count: int) -> None:
        """Wait until so many heartbeats have come."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.heartbeats >= count, 120), self.heartbeats

    def session(self, config: track_pb2.TrackConfig, context: grpc.ServicerContext) -> Session:
        """The session that a first message opens or resumes."""
        name = config.session_id
        if not config.resume_token:
            if name in self.sessions:
                context.abort(grpc.StatusCode.ALREADY_EXISTS, f"a live session is called {name}")
            self.sessions[name] = Session(config)
            self.all_sessions.append(self.sessions[name])
        elif name not in self.sessions:
            context.abort(grpc.StatusCode.NOT_FOUND, "the state of the session is gone")
        session = self.sessions[name]
        if config.resume_token:
            owner, _, frame = config.resume_token.decode().partition(":")
            assert owner == name
            assert session.acked <= int(frame) <= session.newest
        return session


class _Stream:
    """One stream of one session, which goes by its plan."""

    def __init__(
        self, tracking: FakeTracking, plan: Plan, requests: Iterator[Any], context: grpc.ServicerContext
    ) -> None:
        self._tracking, self._plan, self._requests, self._context = tracking, plan, requests, context
        self._config: track_pb2.TrackConfig = next(requests).config
        tracking.configs.append(self._config)
        tracking.metadata.append(dict(context.invocation_metadata()))
        self._steps = 0
        self._over = threading.Event()
        if not context.add_callback(self._over.set):
            self._over.set()

    def run(self) -> Iterator[Response]:
        """All messages of the stream."""
        if self._plan.refuses is not None:
            self._plan.refuses(self._context)
        self._step()
        session = self._tracking.session(self._config, self._context)
        opened = track_pb2.TrackOpened(session_id=self._config.session_id, next_frame=session.newest + 1)
        opened.idle_timeout.FromNanoseconds(int(self._tracking.idle_timeout * 1e9))
        yield Response(opened=opened)
        self._step()
        if self._plan.silent:
            for _ in self._requests:
                pass
            raise _CancelledError
        for _, responses in list(session.kept):
            yield from self._steps_of(responses)
        answered = 0
        for request in self._requests:
            yield from self._answer(session, request)
            answered += request.HasField("frame")
            if request.HasField("frame") and answered == self._plan.go_away_after:
                yield Response(go_away=track_pb2.GoAway(reason=track_pb2.GO_AWAY_REASON_DRAIN))
        # For a moment, a stream that is cancelled cannot be distinguished from one that is half-closed.
        if self._over.wait(self._tracking.cancel_wait):
            raise _CancelledError
        yield from self._close(session)

    def _step(self) -> None:
        if self._steps == self._plan.breaks_at:
            if self._plan.forgets:
                self._tracking.sessions.pop(self._config.session_id, None)
            raise _BrokenError
        self._steps += 1

    def _steps_of(self, responses: list[Response]) -> Iterator[Response]:
        """Messages, each of them a step."""
        for response in responses:
            yield response
            self._step()

    def _answer(self, session: Session, request: service_pb2.TrackVideoRequest) -> Iterator[Response]:
        match request.WhichOneof("message"):
            case "frame":
                self._tracking.frames.append(request.frame)
                self._acknowledge(session, request.frame, self._plan)
                assert len(session.kept) < self._tracking.max_unacked, "more frames than acknowledgements allow"
                responses = self._answers(session, request.frame, self._plan)
                self._step()
                for response in responses:
                    yield from self._steps_of([response])
                    if self._plan.repeats and response.HasField("result"):
                        yield response
            case "past_evidence":
                responses = self._take_late(session, request.past_evidence)
                self._step()
                yield from self._steps_of(responses)
            case "ack":
                self._acknowledge(session, request.ack, self._plan)
            case "heartbeat":
                self._tracking.heartbeat()
                yield Response(heartbeat=request.heartbeat)

    def _close(self, session: Session) -> Iterator[Response]:
        config, lag = self._config, self._config.smoothing_lag
        yield from self._steps_of([self._revision(session, index) for index in session.frames[-lag:] if lag])
        closed = track_pb2.TrackClosed(
            summary=track_pb2.TrackSummary(
                frames_received=session.count + len(session.skipped),
                frames_answered=session.count,
                frames_skipped=len(session.skipped),
                tracks_opened=1,
            )
        )
        if config.HasField("suggestion"):
            suggestion = evidence_pb2.Suggestion(landmark=30, error_reduction=2.5, entropy_reduction=1.5)
            closed.suggestions.add(frame_index=session.frames[0], track_id=1, suggestion=suggestion)
        if config.path_frames:
            points = [0.5] * 136 * session.count
            closed.paths.add(track_id=1, frame_indices=session.frames, class_ids=session.frames, points=points)
        self._step()
        self._tracking.sessions.pop(config.session_id)
        yield Response(closed=closed)

    @staticmethod
    def _acknowledge(session: Session, message: track_pb2.VideoFrame | track_pb2.TrackAck, plan: Plan) -> None:
        if message.HasField("acked_frame") and not plan.loses_acks:
            assert message.acked_frame <= session.newest
            session.acked = max(session.acked, message.acked_frame)
            session.kept = [(index, kept) for index, kept in session.kept if index > session.acked]

    def _answers(self, session: Session, frame: track_pb2.VideoFrame, plan: Plan) -> list[Response]:
        """A result, and with a lag the revision of the frame that leaves it."""
        index = frame.frame_index
        if index <= session.newest:
            return [r[0] for kept, r in session.kept if kept == index and r[0].HasField("result")]
        if index in plan.skips:
            session.skipped.append(index)
            session.newest = index
            return []
        session.count += 1
        session.newest = index
        session.frames.append(index)
        result = track_pb2.FrameResult(
            frame_index=index,
            tracks=[self._track(session.count, session.config)],
            resume_token=f"{session.config.session_id}:{index}".encode(),
        )
        if frame.HasField("media_time"):
            result.media_time.CopyFrom(frame.media_time)
        if frame.evidence:
            result.tracks[0].evidence_outcome = evidence_pb2.EVIDENCE_OUTCOME_CONDITIONED
            result.tracks[0].surprise = 0.5
        if frame.occluded:
            result.tracks[0].reacquired_from = 3
            result.tracks[0].reacquired_probability = 0.75
        responses = [Response(result=result)]
        lag = session.config.smoothing_lag
        if lag and len(session.frames) > lag:
            responses.append(self._revision(session, session.frames[-1 - lag]))
        session.kept.append((index, responses))
        session.most_kept = max(session.most_kept, len(session.kept))
        return responses

    def _take_late(self, session: Session, past: track_pb2.PastEvidence) -> list[Response]:
        """Revise one frame. Taking it in again changes nothing, and is answered again."""
        assert past.frame_index in session.frames[-1 - session.config.smoothing_lag :]
        landmarks = tuple(click.landmark for click in past.evidence[0].evidence.clicks)
        if (past.frame_index, landmarks) not in [(frame, clicked) for frame, clicked, _ in session.late]:
            session.late.append((past.frame_index, landmarks, session.newest))
        response = self._revision(session, past.frame_index)
        response.revision.cause = track_pb2.REVISION_CAUSE_EVIDENCE
        response.revision.tracks[0].face.posterior.entropy += 1000 * (1 + landmarks[0])
        session.kept.append((session.newest + 1, [response]))
        return [response]

    def _track(self, count: int, config: track_pb2.TrackConfig) -> track_pb2.Track:
        face = self._tracking.view(config, self._tracking.face())
        face.posterior.entropy = count
        face.box_source = face_pb2.BOX_SOURCE_TRACK
        return track_pb2.Track(
            track_id=1, state=track_pb2.TRACK_STATE_VISIBLE, visible_probability=0.9, lost_probability=0.01, face=face
        )

    def _revision(self, session: Session, index: int) -> Response:
        revision = track_pb2.FrameRevision(
            frame_index=index,
            through_frame=session.newest,
            cause=track_pb2.REVISION_CAUSE_SMOOTHING,
            tracks=[self._track(1000 + session.count, session.config)],
        )
        return Response(revision=revision)
