"""One TrackVideo stream: its config, its session, its conversation, and every way in which it can end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.duration_pb2 import Duration

from exalign.v1 import service_pb2, track_pb2
from exalign_service.rpc.call_context import current_call
from exalign_service.rpc.clock import Timer
from exalign_service.rpc.errors import GoneAwayError, IdleTimeoutError, PreconditionError
from exalign_service.track.conversation import Conversation
from exalign_service.track.record import SessionRecord
from exalign_service.track.registry import SessionRegistry
from exalign_service.track.requests import read_config, readable_token
from exalign_service.track.response_writer import ResponseSink, ResponseWriter

_log = logging.getLogger(__name__)

Request = service_pb2.TrackVideoRequest
Response = service_pb2.TrackVideoResponse


class TrackStream:
    """One stream.

    Args:
        sessions: all sessions of the server.
        requests: what the client sends.
        sink: where responses go.
    """

    def __init__(self, sessions: SessionRegistry, requests: AsyncIterator[Request], sink: ResponseSink) -> None:
        self._sessions, self._config, self._clock = sessions, sessions.config, sessions.clock
        self._requests, self._writer = requests, ResponseWriter(sink, sessions.clock)
        #: Fails when the stream must end before its client ends it.
        self._cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timers: list[Timer] = []
        self._go_away_tasks: set[asyncio.Task[None]] = set()
        self._going_away: tuple[track_pb2.GoAwayReason.ValueType, float] | None = None
        self._conversation: Conversation | None = None
        self._bundle_id = ""
        self._closed = self._ending = False
        self.finished = asyncio.Event()

    async def run(self) -> None:
        """Serve the client until the stream ends.

        Raises:
            ExalignError: the client's input is wrong.
            ServiceError: as service.proto and track.proto say.
        """
        tasks = (asyncio.create_task(self._serve()), asyncio.create_task(self._enforce_idle_timeout()))
        try:
            await asyncio.wait((*tasks, self._cut), return_when=asyncio.FIRST_COMPLETED)
            for done in (*tasks, self._cut):
                if done.done():
                    done.result()
                    break
        finally:
            self._ending = True
            for timer in self._timers:
                timer.cancel()
            rest = (*tasks, *self._go_away_tasks, self._cut)
            for future in rest:
                future.cancel()
            try:
                await asyncio.gather(*rest, return_exceptions=True)
            finally:
                await self._sessions.leave(self, closed=self._closed)
                self._log_end()

    @property
    def busy_seconds(self) -> float:
        """For how long the client has waited for the server; 0 while the server waits for the client."""
        return self._writer.busy_seconds

    def end(self, error: Exception) -> None:
        """End with this error, now."""
        if not self._cut.done():
            self._cut.set_exception(error)

    def go_away(self, reason: track_pb2.GoAwayReason.ValueType, grace: float) -> None:
        """Send `GoAway`, and end the stream where it has not ended after ``grace`` seconds; not where it is ending."""
        if self._ending:
            return
        self._going_away = (reason, grace)
        self._sessions.mark_draining(self)
        text = f"the stream was told to go away and has not, within {grace:g} s; go on with its resume token"
        self._timers.append(self._clock.call_later(grace, self.end, GoneAwayError(text)))
        if self._conversation is not None:
            # Kept to the end, where its error is taken: of a client that has left, say.
            self._go_away_tasks.add(asyncio.create_task(self._send_go_away(self._conversation, reason, grace)))

    async def _serve(self) -> None:
        """From the config to `TrackClosed`."""
        config, writer = self._config, self._writer
        conversation = await self._open()
        writer.durable = lambda: self._sessions.store.durable_frame(conversation.record)
        await writer.write(Response(opened=self._opened(conversation.record)))
        self._conversation = conversation
        if self._going_away is None:
            reason = track_pb2.GO_AWAY_REASON_MAX_AGE
            timer = self._clock.call_later(config.session_max_age, self.go_away, reason, config.session_grace)
            self._timers.append(timer)
        else:
            await self._send_go_away(conversation, *self._going_away)
        await conversation.run()
        self._closed = True

    async def _open(self) -> Conversation:
        """Read the config, and have its session."""
        call, asked = current_call.get(), await self._read_config()
        token = readable_token(asked)
        bundle_id = "" if token is None else await self._sessions.bundle_of(token, call.owner)
        with self._writer.active(), self._sessions.models.lease(bundle_id) as model:
            options = read_config(asked, model.pipeline.request_limits)
            admitted = await self._sessions.admit(self, options, model, call.caller, call.owner)
            # What is sent again may be from before the session moved: then its move is sent again too.
            self._bundle_id = admitted.record.bundle_id if token is None else token.bundle_id
            return Conversation(self._sessions, admitted, options, self._requests, self._writer)

    async def _read_config(self) -> track_pb2.TrackConfig:
        """The first message."""
        first = await anext(self._requests, None)
        if first is None or first.WhichOneof("message") != "config":
            what = "nothing" if first is None else f"a {first.WhichOneof('message') or 'message that is not set'}"
            raise PreconditionError("CONFIG_MISSING", f"config: must be the first message, {what} came instead")
        self._writer.touch()
        return first.config

    def _opened(self, record: SessionRecord) -> track_pb2.TrackOpened:
        return track_pb2.TrackOpened(
            bundle_id=self._bundle_id,
            session_id=record.name,
            epoch=record.epoch,
            next_frame=record.frame + 1,
            idle_timeout=_duration(self._config.session_idle_timeout),
            max_age=_duration(self._config.session_max_age),
            max_unacked_frames=self._config.max_unacked_frames,
            max_unacked_bytes=self._config.max_unacked_bytes,
        )

    async def _send_go_away(
        self, conversation: Conversation, reason: track_pb2.GoAwayReason.ValueType, grace: float
    ) -> None:
        token = conversation.record.token(self._sessions.keys)
        message = track_pb2.GoAway(reason=reason, resume_token=token, grace=_duration(grace))
        await self._writer.write(Response(go_away=message))

    async def _enforce_idle_timeout(self) -> None:
        """End a stream whose client has been idle for too long.

        Raises:
            IdleTimeoutError: it has.
        """
        limit = self._config.session_idle_timeout
        while (idle := self._writer.idle_seconds) < limit:
            await self._clock.sleep(limit - idle)
        text = f"nothing came for {idle:.3g} s, at most {limit:g} s are allowed"
        if self._conversation is not None and self._conversation.stalled and self._conversation.record.unacked:
            text += f"; {self._conversation.record.unacked} results wait to be acknowledged"
        raise IdleTimeoutError(text)

    def _log_end(self) -> None:
        if self._conversation is None:
            return
        record = self._conversation.record
        fields: dict[str, Any] = {
            "session": record.name,
            "epoch": record.epoch,
            "frames": record.counts.answered,
            "closed": self._closed,
        }
        _log.info("session", extra={"fields": fields})


def _duration(seconds: float) -> Duration:
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message
