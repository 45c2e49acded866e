"""The life of one TrackVideo stream: it is configured, admitted, spoken with, and ended in one of many ways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration

from exalign.v1 import service_pb2, track_pb2
from exalign_service.methods.pipeline import Pipeline
from exalign_service.rpc.errors import GoneAwayError, IdleTimeoutError, PreconditionError
from exalign_service.track.conversation import Conversation, FrameObserver, Line, Writer
from exalign_service.track.record import SessionRecord
from exalign_service.track.registry import SessionRegistry
from exalign_service.track.requests import TrackOptions, read_config

_log = logging.getLogger(__name__)

Request = service_pb2.TrackVideoRequest
Response = service_pb2.TrackVideoResponse


@dataclass(frozen=True)
class TrackMethod:
    """What all streams of a server share.

    Attributes:
        sessions: where they find their sessions.
        pipeline: does the work.
        observer: see `FrameObserver`.
        max_bytes: what one stream may read ahead of acknowledgements, bytes.
    """

    sessions: SessionRegistry
    pipeline: Pipeline
    observer: FrameObserver
    max_bytes: int

    async def answer(self, requests: AsyncIterator[Request], writer: Writer) -> None:
        """TrackVideo; see track.proto."""
        await TrackStream(self, requests, writer).run()


class TrackStream:
    """One stream.

    Args:
        method: what it shares with others.
        requests: what the client says.
        writer: what the client hears.
    """

    def __init__(self, method: TrackMethod, requests: AsyncIterator[Request], writer: Writer) -> None:
        self._method, self._requests, self._line = method, requests, Line(writer)
        self._config = method.sessions.config
        self._loop = asyncio.get_running_loop()
        self._told_end: asyncio.Future[None] = self._loop.create_future()
        self._timers: list[asyncio.TimerHandle] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._going: tuple[track_pb2.GoAwayReason.ValueType, float] | None = None
        self._conversation: Conversation | None = None
        self._closed = False
        self.gone = asyncio.Event()

    async def run(self) -> None:
        """Speak with the client to the end.

        Raises:
            ExalignError: the client's input is wrong.
            ServiceError: as service.proto and track.proto say.
        """
        tasks = (asyncio.create_task(self._speak()), asyncio.create_task(self._watch()))
        try:
            await asyncio.wait((*tasks, self._told_end), return_when=asyncio.FIRST_COMPLETED)
            for over in (*tasks, self._told_end):
                if over.done():
                    over.result()
                    break
        finally:
            for timer in self._timers:
                timer.cancel()
            left = (*tasks, *self._errands, self._told_end)
            for future in left:
                future.cancel()
            try:
                await asyncio.gather(*left, return_exceptions=True)
            finally:
                await self._method.sessions.leave(self, closed=self._closed)
                self._log_end()

    def end(self, error: Exception) -> None:
        """End with this error, now."""
        if not self._told_end.done():
            self._told_end.set_exception(error)

    def go_away(self, reason: track_pb2.GoAwayReason.ValueType, grace: float) -> None:
        """Tell the client to move on, and end the stream when it has not after ``grace`` seconds."""
        self._going = (reason, grace)
        self._method.sessions.told_to_go(self)
        text = f"the stream was told to go away and has not, within {grace:g} s; go on with its resume token"
        self._timers.append(self._loop.call_later(grace, self.end, GoneAwayError(text)))
        if self._conversation is not None:
            errand = asyncio.create_task(self._say_go_away(self._conversation, reason, grace))
            self._errands.add(errand)
            errand.add_done_callback(self._errands.discard)

    async def _speak(self) -> None:
        """From the config to the last word."""
        method, config, line = self._method, self._config, self._line
        options = await self._configured()
        with line.busy():
            admitted = await method.sessions.admit(self, options)
        conversation = Conversation(
            admitted,
            options,
            self._requests,
            line,
            pipeline=method.pipeline,
            store=method.sessions.store,
            observer=method.observer,
            max_unacked=config.max_unacked_frames,
            max_bytes=method.max_bytes,
        )
        await line.write(Response(opened=self._opened(admitted.record)))
        self._conversation = conversation
        if self._going is None:
            aged = track_pb2.GO_AWAY_REASON_MAX_AGE
            wait = self._loop.call_later(config.session_max_age, self.go_away, aged, config.session_grace)
            self._timers.append(wait)
        else:
            await self._say_go_away(conversation, *self._going)
        await conversation.run()
        self._closed = True

    async def _configured(self) -> TrackOptions:
        """The first message."""
        first = await anext(self._requests, None)
        if first is None or first.WhichOneof("message") != "config":
            what = "nothing" if first is None else f"a {first.WhichOneof('message') or 'message that is not set'}"
            raise PreconditionError("CONFIG_MISSING", f"config: must be the first message, {what} came instead")
        self._line.heard()
        return read_config(first.config, self._method.pipeline.request_limits)

    def _opened(self, record: SessionRecord) -> track_pb2.TrackOpened:
        return track_pb2.TrackOpened(
            bundle_id=record.bundle_id,
            session_id=record.name,
            epoch=record.epoch,
            next_frame=record.frame + 1,
            idle_timeout=_duration(self._config.session_idle_timeout),
            max_age=_duration(self._config.session_max_age),
        )

    async def _say_go_away(
        self, conversation: Conversation, reason: track_pb2.GoAwayReason.ValueType, grace: float
    ) -> None:
        token = conversation.record.token()
        message = track_pb2.GoAway(reason=reason, resume_token=token, grace=_duration(grace))
        await self._line.write(Response(go_away=message))

    async def _watch(self) -> None:
        """End a stream whose client has been silent for too long.

        Raises:
            IdleTimeoutError: it has.
        """
        limit = self._config.session_idle_timeout
        while (silence := self._line.silence) < limit:
            await asyncio.sleep(limit - silence)
        text = f"nothing came for {silence:.3g} s, at most {limit:g} s are allowed"
        if self._conversation is not None and self._conversation.stalled:
            text += f"; {self._config.max_unacked_frames} results wait to be acknowledged"
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
