"""What is said between `opened` and `closed`: frames, evidence, acknowledgements, results.

Two tasks share it. One reads: it checks what comes, takes acknowledgements and heartbeats at once, and puts the
rest into the inbox; while that is full it does not read, and flow control slows the client down. The other answers
what is in the inbox, in order. What the reader finds wrong goes through the inbox too, so that all that came before
it is answered first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from exalign.v1 import service_pb2, track_pb2
from exalign_engine.errors import InvalidInputError
from exalign_service.methods.pipeline import Pipeline, StageClock
from exalign_service.rpc.errors import PreconditionError
from exalign_service.track.frame_step import Revised, SessionWork
from exalign_service.track.inbox import Failed, HalfClosed, Inbox, ReceivedFrame
from exalign_service.track.registry import Admitted
from exalign_service.track.requests import RequestedPastEvidence, TrackOptions, read_frame, read_past_evidence
from exalign_service.track.resume_token import NO_FRAME
from exalign_service.track.store import FencedError, SessionStore

Request = service_pb2.TrackVideoRequest
Response = service_pb2.TrackVideoResponse


class Writer(Protocol):
    """Where answers go."""

    async def write(self, message: Any) -> None:
        """Send a message; waits for the client's flow control."""


class FrameObserver(Protocol):
    """Hears of every frame."""

    def frame_answered(self, seconds: float) -> None:
        """A frame was answered so long after it had arrived."""


class Line:
    """The way to one client, and when it was last used.

    Args:
        writer: where answers go; one at a time.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer, self._lock = writer, asyncio.Lock()
        self._last, self._busy = time.monotonic(), False

    async def write(self, *messages: Response) -> None:
        """Send messages, with nothing between them."""
        async with self._lock:
            for message in messages:
                await self._writer.write(message)
                self.heard()

    def heard(self) -> None:
        """The client has sent, or taken, something."""
        self._last = time.monotonic()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Meanwhile the client waits for us."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            self.heard()

    @property
    def silence(self) -> float:
        """For how long we have waited for the client, seconds."""
        return 0.0 if self._busy else time.monotonic() - self._last


class Conversation:
    """A session and the client that has it.

    Args:
        admitted: the session.
        options: how it works.
        requests: what the client says.
        line: what it hears.
        pipeline: does the work.
        store: keeps the record before anything is sent.
        observer: see `FrameObserver`.
        max_unacked: results kept before no more frames are taken.
        max_bytes: what may be read ahead of acknowledgements, bytes.
    """

    def __init__(
        self,
        admitted: Admitted,
        options: TrackOptions,
        requests: AsyncIterator[Request],
        line: Line,
        *,
        pipeline: Pipeline,
        store: SessionStore,
        observer: FrameObserver,
        max_unacked: int,
        max_bytes: int,
    ) -> None:
        self.record = admitted.record
        self._options, self._requests, self._line = options, requests, line
        self._pipeline, self._store, self._observer = pipeline, store, observer
        self._max_unacked = max_unacked
        self._work = SessionWork(pipeline, admitted.session, options, admitted.record.name)
        self._inbox = Inbox(options.live, lambda: self.stalled, max_unacked, max_bytes)
        self._saving = asyncio.Lock()
        #: Newest frame received, and newest that the client says it has the result of.
        self._newest, self._acked = self.record.frame, NO_FRAME

    @property
    def stalled(self) -> bool:
        """Whether frames wait for acknowledgements."""
        return self.record.unacked >= self._max_unacked

    async def run(self) -> None:
        """Until `closed` is sent.

        Raises:
            InvalidInputError: the client has said something wrong.
            PreconditionError: it has said it at the wrong time.
        """
        for kept in self.record.kept:
            for message in kept.messages:
                await self._line.write(Response.FromString(message))
        reading = asyncio.create_task(self._read())
        try:
            await self._answer()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    # What comes in.

    async def _read(self) -> None:
        try:
            await self._inbox.room()
            async for message in self._requests:
                self._line.heard()
                await self._receive(message)
                await self._inbox.room()
        except Exception as e:  # noqa: BLE001  # whatever it is, it ends the stream in its turn: see _answer
            self._inbox.put(Failed(e))
        else:
            self._inbox.put(HalfClosed())

    async def _receive(self, message: Request) -> None:
        which = message.WhichOneof("message")
        if which == "frame":
            frame = message.frame
            asked = read_frame(frame, self._pipeline.request_limits, self._options)
            if frame.HasField("acked_frame"):
                await self._acknowledge(frame.acked_frame)
            fresh = asked.index > self._newest
            self._newest = max(self._newest, asked.index)
            self._inbox.put(ReceivedFrame(asked, fresh))
        elif which == "ack":
            if message.ack.HasField("acked_frame"):
                await self._acknowledge(message.ack.acked_frame)
        elif which == "heartbeat":
            await self._line.write(Response(heartbeat=message.heartbeat))
        elif which == "past_evidence":
            self._inbox.put(read_past_evidence(message.past_evidence, self._options))
        elif which == "config":
            raise PreconditionError("CONFIG_TWICE", "config: was sent a second time, must be the first message only")
        else:
            raise InvalidInputError.of("message", "is not set, must hold a frame or another message")

    async def _acknowledge(self, frame: int) -> None:
        self._acked = max(self._acked, frame)
        before = self.record
        self.record = before.acknowledged(self._acked)
        if self.record is not before:
            self._inbox.wake()
            await self._save()

    # What goes out.

    async def _answer(self) -> None:
        while True:
            item = await self._inbox.take()
            if isinstance(item, ReceivedFrame):
                await (self._fresh(item) if item.fresh else self._repeated(item.asked.index))
            elif isinstance(item, RequestedPastEvidence):
                await self._late(item)
            elif isinstance(item, Failed):
                raise item.error
            else:
                await self._close()
                return

    async def _fresh(self, received: ReceivedFrame) -> None:
        asked, clock = received.asked, received.clock
        with self._line.busy():
            moved = await self._work.frame(asked, self.record, clock)
            old, skipped = self.record, received.skipped  # acknowledgements may have come in the meantime
            newer = replace(
                old,
                state=moved.state,
                state_hash=moved.state_hash,
                frame=asked.index,
                size=moved.size,
                boxes=moved.boxes,
                counts=old.counts.with_frame(moved.answer, skipped=len(skipped), with_problems=bool(moved.problems)),
            )
            result = track_pb2.FrameResult(
                frame_index=asked.index,
                media_time=asked.media_time,
                tracks=moved.tracks,
                skipped_frames=skipped,
                resume_token=newer.token(),
                problems=moved.problems,
                timing=clock.message(),
            )
            result.latency.FromNanoseconds(round(clock.elapsed * 1e9))
            answers = [Response(result=result), *_revisions(moved)]
            self.record = old.answered(newer, [a.SerializeToString(deterministic=True) for a in answers])
            self._inbox.wake()  # this may have been the last result before a stall, which has rules of its own
            await self._save()
            self._pipeline.observe(clock)
            self._observer.frame_answered(clock.elapsed)
        await self._line.write(*answers)
        await self._acknowledge(self._acked)  # it may have been told in advance

    async def _repeated(self, index: int) -> None:
        message = self.record.result_of(index)
        if message is None and index <= self.record.acked:
            text = (
                f"frame.frame_index: is {index}, results up to {self.record.acked} were acknowledged and are not kept"
            )
            raise PreconditionError("RESULT_NOT_KEPT", text)
        if message is None:
            text = f"frame.frame_index: is {index}, which was not sent in its turn: the newest is {self.record.frame}"
            raise PreconditionError("FRAME_OUT_OF_ORDER", text)
        await self._line.write(Response.FromString(message))

    async def _late(self, asked: RequestedPastEvidence) -> None:
        clock = StageClock()
        with self._line.busy():
            moved = await self._work.past(asked, self.record, clock)
            answers = _revisions(moved)
            about = [(r.frame_index, *(t.track_id for t in r.tracks)) for r in moved.revisions]
            messages = [a.SerializeToString(deterministic=True) for a in answers]
            pairs = list(zip(about, messages, strict=True))
            self.record = self.record.revised(moved.state, moved.state_hash, pairs)
            await self._save()
            self._pipeline.observe(clock)
        await self._line.write(*answers)

    async def _close(self) -> None:
        clock = StageClock()
        with self._line.busy():
            moved, closed = await self._work.close(clock)
            closed.summary.CopyFrom(self.record.counts.message())
            self._pipeline.observe(clock)
        await self._line.write(*(Response(revision=r) for r in moved), Response(closed=closed))

    async def _save(self) -> None:
        """Store the newest record there is; what is stored is never older than what is sent.

        Raises:
            PreconditionError: the session goes on in another stream.
        """
        async with self._saving:
            try:
                await self._store.put(self.record)
            except FencedError as e:
                raise PreconditionError("SESSION_TAKEN_OVER", str(e)) from e


def _revisions(moved: Revised) -> list[Response]:
    return [Response(revision=r) for r in moved.revisions]
