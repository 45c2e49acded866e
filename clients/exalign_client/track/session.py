"""One video on the caller's side, without any I/O: what is sent, what is answered, what to send again.

A frame is kept until its result has come, and late evidence until that of a later frame has, so that whatever breaks,
it can be sent again: evidence that was taken in already changes nothing. A resumed stream begins with
the token of the newest result; the server then repeats what it has kept, of which everything that had come is dropped
here. Results come in order, so all revisions that earlier results caused have come when a result has; only then is
the earlier result acknowledged.

Not thread-safe; `exalign_client.track.sync` and `exalign_client.track.aio` see to that.
"""

from __future__ import annotations

import uuid
from collections import deque

from exalign.v1 import service_pb2, track_pb2
from exalign_client.errors import (
    DeadlineError,
    ExalignClientError,
    InternalServerError,
    NotFoundError,
    PreconditionError,
    ServerBusyError,
    SessionLostError,
    UnavailableError,
)
from exalign_client.track.closing import closed_from
from exalign_client.track.held import HeldFrames, LateEvidence
from exalign_client.track.results import (
    ModelChanged,
    TrackClosed,
    TrackEvent,
    TrackResult,
    TrackRevision,
    result_from,
    revision_from,
    seconds,
)

#: Metadata that names the session, by which a proxy can keep its streams on one server.
SESSION_HEADER = "x-session-id"

#: Metadata that names the bundle of a session that is resumed: where servers differ, a proxy can choose by it.
BUNDLE_HEADER = "x-bundle"

#: Characters of a session's name, and of what is added to one that is taken.
_NAME, _SUFFIX = 64, 8

#: So often in all a stream that takes ours over counts as our own earlier one, which waited in a server that hung.
_TAKEN_OVER = 2

#: Seconds without a frame to send after which a due acknowledgement travels alone.
_ACK_PAUSE = 0.05

#: Seconds of silence after which a heartbeat is sent, or a third of what the server allows where that is less.
_HEARTBEAT_PAUSE = 1.0

#: Seconds for which a server that has sent GoAway is waited for, where it sends nothing more.
GO_AWAY_TIMEOUT = 1.0


class TrackSession:
    """The state of one video.

    Args:
        config: first message of its streams, without a token.
        window: most frames given and not yet answered.
        address: the server, for messages.
    """

    def __init__(self, config: track_pb2.TrackConfig, window: int, address: str) -> None:
        self._config, self._window, self._address = config, window, address
        self._live = config.mode == track_pb2.TRACK_MODE_LIVE
        self._name = config.session_id or uuid.uuid4().hex
        self._session = 1
        self._streams = 0
        #: How often we were told that a later stream has the session, and went on all the same.
        self._taken_over = 0
        #: Whether the server has said that another session has the caller's name.
        self._name_taken = False
        self._finished = False
        self.over = False
        self.closed: TrackClosed | None = None
        #: Whether any stream of this video has been opened.
        self.ever_opened = False
        self._unanswered: dict[int, track_pb2.VideoFrame] = {}
        #: Those of them that were never sent.
        self._unsent: set[int] = set()
        self._held = HeldFrames(window)
        self._late: list[LateEvidence] = []
        self._last_given = -1
        #: Live: frames that newer ones replaced before they were sent.
        self._dropped: list[int] = []
        self._newest = -1
        #: The bundle that answers, and the first frame of the last one that it took over.
        self._bundle_id, self._changed_at = "", -1
        #: Resumes the session; and whether the stream that is open began it.
        self._token, self._from_first = b"", True
        self._revised: set[object] = set()
        self._ackable = self._acked = -1
        self._heartbeats, self._barrier = 0, -1
        #: Whether the server has sent GoAway: it will end the stream.
        self.going_away = False
        self._begin_stream()

    def _begin_stream(self) -> None:
        self._opened = self.going_away = False
        self._to_send: deque[int | LateEvidence] = deque()
        self._sent: set[int] = set()
        self._in_flight = self._window  # frames that may be on their way
        self._heartbeat_pause = _HEARTBEAT_PAUSE
        self._acked, self._ack_wanted = -1, False

    # What the caller gives.

    @property
    def room(self) -> bool:
        """Whether another frame may be added; live there always is, at the cost of those not sent yet."""
        return self._live or len(self._unanswered) < self._window

    def add(self, message: track_pb2.VideoFrame | track_pb2.PastEvidence) -> None:
        """Take a frame, with an index above all before it, or evidence about one of them."""
        if isinstance(message, track_pb2.PastEvidence):
            late = LateEvidence(self._last_given, message)
            self._late.append(late)
            if self._opened:
                self._to_send.append(late)
            return
        index = self._last_given = message.frame_index
        if self._live and self._unsent:
            self._to_send = deque(waiting for waiting in self._to_send if waiting not in self._unsent)
            for stale in self._unsent:
                del self._unanswered[stale]
            self._dropped += self._unsent
            self._unsent.clear()
        self._unanswered[index] = message
        self._unsent.add(index)
        if self._opened:
            self._to_send.append(index)

    def finish(self) -> None:
        """There are no more frames."""
        self._finished = True

    @property
    def unanswered(self) -> tuple[int, ...]:
        """Frames given and not yet answered."""
        return tuple(self._unanswered)

    # What a stream sends.

    def begin(self) -> tuple[service_pb2.TrackVideoRequest, tuple[tuple[str, str], ...]]:
        """First message and metadata of a new stream."""
        self._begin_stream()
        self._streams += 1
        if self._streams > 1 and not self._token:
            # A session of the old name may live on, with nothing to resume it by.
            given = self._config.session_id
            suffix = uuid.uuid4().hex[:_SUFFIX] if self._name_taken else self._streams
            self._name = f"{given[: _NAME - _SUFFIX - 1]}.{suffix}" if given else uuid.uuid4().hex
        config = track_pb2.TrackConfig()
        config.CopyFrom(self._config)
        config.session_id = self._name
        config.resume_token, self._from_first = self._token, not self._token
        metadata = [(SESSION_HEADER, self._name)]
        if self._token:
            metadata.append((BUNDLE_HEADER, self._bundle_id))
            if self._held.durable is not None:
                config.resends_after = self._held.after
        return service_pb2.TrackVideoRequest(config=config), tuple(metadata)

    def next_message(self) -> service_pb2.TrackVideoRequest | None:
        """The next frame or late evidence to send; None: there is none now."""
        if not self._to_send or self.going_away or len(self._sent) >= self._in_flight:
            return None
        item = self._to_send.popleft()
        if isinstance(item, LateEvidence):
            return service_pb2.TrackVideoRequest(past_evidence=item.message)
        index = item
        self._sent.add(index)
        self._unsent.discard(index)
        frame = self._unanswered[index] if index in self._unanswered else self._held.frames[index]
        frame.ClearField("acked_frame")
        if self._ackable >= 0:
            frame.acked_frame = self._acked = self._ackable
            self._ack_wanted = False
        return service_pb2.TrackVideoRequest(frame=frame)

    @property
    def next_keepalive(self) -> float:
        """Seconds to wait for a frame before `keepalive_message`."""
        if not self._opened or self._ackable <= self._acked:
            return self._heartbeat_pause
        return 0.0 if self._ack_wanted else _ACK_PAUSE

    def keepalive_message(self) -> service_pb2.TrackVideoRequest | None:
        """What to send where there was no frame for a while: an acknowledgement or a heartbeat."""
        if not self._opened:
            return None
        if self._ackable > self._acked:
            self._acked, self._ack_wanted = self._ackable, False
            return service_pb2.TrackVideoRequest(ack=track_pb2.TrackAck(acked_frame=self._acked))
        self._heartbeats += 1
        # What was sent before the echo has come before the echo: the newest result with all its revisions.
        self._barrier = self._newest
        return service_pb2.TrackVideoRequest(heartbeat=track_pb2.Heartbeat(sequence=self._heartbeats))

    @property
    def may_half_close(self) -> bool:
        """Whether all is sent and answered. Not earlier: acknowledgements could not follow."""
        return self._opened and self._finished and not self._unanswered and not self._to_send

    @property
    def should_reconnect(self) -> bool:
        """Whether the server has sent GoAway and every frame sent to it is answered."""
        return self.going_away and not self.may_half_close and not self._sent

    # What a stream brings.

    def receive(self, response: service_pb2.TrackVideoResponse) -> TrackEvent | None:
        """Take a message; returns what of it is new to the caller.

        Raises:
            InternalServerError: it does not keep to the contract.
        """
        event = self._received(response)
        if response.HasField("durable_frame"):
            self._held.outlives(response.durable_frame)
            self._late = [late for late in self._late if late.after >= self._held.after]
        return event

    def _received(self, response: service_pb2.TrackVideoResponse) -> TrackEvent | None:
        match response.WhichOneof("message"):
            case "opened":
                self._open(response.opened)
            case "result":
                durable = response.durable_frame >= response.result.frame_index
                return self._result(response.result, durable if response.HasField("durable_frame") else None)
            case "revision":
                return self._revision(response.revision)
            case "model_changed":
                return self._change_model(response.model_changed)
            case "heartbeat":
                if response.heartbeat.sequence == self._heartbeats:
                    self._ackable = max(self._ackable, self._barrier)
            case "go_away":
                # Its token may be newer than the newest result that has come; that result's own is used instead.
                self.going_away = True
            case "must_acknowledge":
                # What a frame's result caused was sent before this: the newest has come with all its revisions.
                self._ackable = max(self._ackable, min(response.must_acknowledge.newest_frame, self._newest))
                self._ack_wanted = True
            case "closed":
                self.closed = closed_from(response.closed)
                self.over = True
        return None

    def _open(self, opened: track_pb2.TrackOpened) -> None:
        self._opened = self.ever_opened = True
        if self._from_first and self._held.frames and opened.bundle_id != self._bundle_id:
            self._session += 1  # it is answered again, and not alike
        self._bundle_id = opened.bundle_id
        # A server that waits for acknowledgements reads so many messages, and no further: they must not stand behind.
        self._in_flight = min(self._window, opened.max_unacked_frames or self._window)
        # The server has seen the frames below next_frame; where resumed, their results follow by themselves.
        first = opened.next_frame if self._token else 0
        # What came after a frame was taken in before the next one. Whether the last of it was, is not known.
        again: list[tuple[int, int, int | LateEvidence]]
        again = [(index, 0, index) for index in (*self._held.frames, *self._unanswered) if index >= first]
        again += [(late.after, 1, late) for late in self._late if late.after >= first - 1]
        self._to_send.extend(item for _, _, item in sorted(again, key=lambda a: a[:2]))
        self._sent.update(index for index in self._unanswered if index < first)
        allowed = seconds(opened.idle_timeout)
        if allowed > 0:
            self._heartbeat_pause = min(_HEARTBEAT_PAUSE, allowed / 3)

    def _change_model(self, message: track_pb2.ModelChanged) -> ModelChanged | None:
        self._bundle_id = message.bundle_id
        if message.frame_index <= max(self._newest, self._changed_at):
            return None  # repeated after a break
        self._changed_at = message.frame_index
        return ModelChanged(message.frame_index, message.bundle_id)

    def _result(self, message: track_pb2.FrameResult, durable: bool | None) -> TrackResult | None:
        index = message.frame_index
        if index <= self._newest:
            self._sent.discard(index)
            if self._from_first:
                self._token = message.resume_token
            return None  # repeated after a break
        if index not in self._unanswered:
            raise self._broken_contract(f"a result for frame {index}, which was not sent")
        passed = [waiting for waiting in self._unanswered if waiting < index]
        if passed and not self._live:
            raise self._broken_contract(f"a result for frame {index} before that of frame {passed[0]}")
        media_time = seconds(message.media_time) if message.HasField("media_time") else None
        # Those dropped here have indices between frames that were sent, or above all that were.
        dropped = [gone for gone in self._dropped if gone < index]
        self._dropped = [gone for gone in self._dropped if gone > index]
        skipped = tuple(sorted({*passed, *dropped}))
        result = result_from(
            message,
            media_time=media_time,
            skipped_frames=skipped,
            session=self._session,
            bundle_id=self._bundle_id,
            durable=durable,
        )
        for answered in (*passed, index):
            self._held.add(answered, self._unanswered.pop(answered))
            self._sent.discard(answered)
        if passed:
            self._to_send = deque(
                waiting for waiting in self._to_send if isinstance(waiting, LateEvidence) or waiting > index
            )
        self._ackable = self._newest if self._config.smoothing_lag else index
        self._newest, self._token = index, message.resume_token
        self._revised.clear()
        self._late = [late for late in self._late if late.after >= self._held.after]
        return result

    def _revision(self, message: track_pb2.FrameRevision) -> TrackRevision | None:
        key: object = (message.frame_index, message.cause, *(track.track_id for track in message.tracks))
        if message.cause == track_pb2.REVISION_CAUSE_EVIDENCE:
            # A frame may get several revisions before the next result.
            key = message.SerializeToString(deterministic=True)
        if message.through_frame < self._newest or key in self._revised:
            return None  # repeated after a break
        self._revised.add(key)
        return revision_from(message)

    def _broken_contract(self, what: str) -> InternalServerError:
        return InternalServerError(f"{self._address}: the answer does not keep to the contract: {what}")

    # What to do when a stream has broken.

    def start_again(self, error: ExalignClientError) -> bool:
        """After a stream has ended with an error: begin a new session where the server has lost the one before.

        So it is where the caller's name is taken: by a session of a run of before, which is kept for a while, and
        whose token is gone. The new one has another name.

        Returns:
            Whether that was the matter, and is settled.

        Raises:
            SessionLostError: it was, and something would be missing.
        """
        reason = error.reason if isinstance(error, PreconditionError) else ""
        if reason == "SESSION_EXISTS" and not self._token and not self._name_taken:
            self._name_taken = True
            return True
        if reason == "SESSION_TAKEN_OVER" and self._streams > 1 and self._taken_over < _TAKEN_OVER:
            self._taken_over += 1
            return True
        too_old = reason == "TOKEN_TOO_OLD" or (reason == "TOKEN_OTHER_STATE" and self._held.durable is not None)
        if not self._token or self._opened or not (too_old or isinstance(error, NotFoundError)):
            return False
        if self._held.all_there:
            # From the first frame on: what is answered again is answered alike, and dropped.
            self._held.durable, self._token, self._ackable, self._barrier = -1, b"", -1, -1
            return True
        missing = self._lost_with_session()
        if missing:
            raise self.lost(f"the server has lost the session; {' and '.join(missing)} cannot be had any more", error)
        if self._finished and not self._unanswered:
            self.over = True  # all is answered; only the counts of the summary are lost
            return True
        self._session += 1
        self._token = b""
        self._ackable = self._barrier = -1
        self._held = HeldFrames(self._window)
        return True

    def _lost_with_session(self) -> list[str]:
        """What only the lost session could have answered."""
        missing = []
        if self._config.smoothing_lag:
            missing.append(f"revisions of the last {self._config.smoothing_lag} frames up to {self._newest}")
        if self._config.path_frames or self._config.HasField("suggestion"):
            missing.append(f"the path and suggestions for the frames up to {self._newest}")
        return missing

    def given_up(self, error: ExalignClientError) -> ExalignClientError:
        """The error to end with when a stream is not opened again."""
        resumable = (UnavailableError, InternalServerError, DeadlineError, ServerBusyError)
        if not self.ever_opened or not isinstance(error, resumable):
            return error
        return self.lost("the connection broke and could not be made again", error)

    def lost(self, what: str, cause: ExalignClientError) -> SessionLostError:
        """The error to end with; it names the frames without an answer."""
        left = self.unanswered
        if left:
            frames = f"frame {left[0]}" if len(left) == 1 else f"frames {left[0]} to {left[-1]}"
            what += f"; given and not answered: {frames}"
        error = SessionLostError(f"{what} ({cause})", left)
        error.__cause__ = cause
        return error
