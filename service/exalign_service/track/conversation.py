"""The messages between `opened` and `closed`: frames, evidence, acknowledgements, results.

Two tasks share the work. One reads: it checks messages, handles acknowledgements and heartbeats at once, and puts the
rest into the inbox. While the inbox is full it does not read, and flow control slows the client down. The other task
answers what is in the inbox, in order. An error of the reader goes through the inbox too: what came before it is
answered first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from exalign.v1 import service_pb2, track_pb2
from exalign_engine.errors import InvalidInputError
from exalign_engine.tracking import StateReason
from exalign_service.methods.stage_clock import StageClock
from exalign_service.models.live_model import LiveModel
from exalign_service.requests.answer_size import answer_size
from exalign_service.responses.wire import LARGE, field_parts, message_parts, serialized
from exalign_service.rpc.errors import PreconditionError
from exalign_service.track.frame_step import FrameStepResult
from exalign_service.track.inbox import Failed, HalfClosed, Inbox, ReceivedFrame
from exalign_service.track.pace import MessagePace
from exalign_service.track.recorded import TrackRecording
from exalign_service.track.registry import AdmittedSession, SessionRegistry
from exalign_service.track.requests import (
    RequestedFrame,
    RequestedPastEvidence,
    TrackOptions,
    read_frame,
    read_past_evidence,
)
from exalign_service.track.response_writer import ResponseWriter
from exalign_service.track.resume_token import NO_FRAME
from exalign_service.track.store import FencedError

#: The client is reminded where half of the bound waits to be acknowledged, if that is so many results: with a smaller
#: bound there would be no time.
_LEAST_REMINDED = 8

Request = service_pb2.TrackVideoRequest
Response = service_pb2.TrackVideoResponse


class Conversation:
    """A session and the client that has it.

    Args:
        sessions: all sessions of the server: their limits, their store, their models.
        admitted: the session.
        options: how it works.
        requests: what the client sends.
        writer: sends the responses.
    """

    def __init__(
        self,
        sessions: SessionRegistry,
        admitted: AdmittedSession,
        options: TrackOptions,
        requests: AsyncIterator[Request],
        writer: ResponseWriter,
    ) -> None:
        self.record, self._must_move = admitted.record, admitted.must_move
        self._options, self._requests, self._writer, self._keys = options, requests, writer, sessions.keys
        self._quotas, self._caller = sessions.quotas, admitted.caller
        self._models, self._pipeline = sessions.models, admitted.model.pipeline
        self._store, self._observer = sessions.store, sessions.observer
        kept = sessions.config
        self._max_unacked, self._max_unacked_bytes = kept.max_unacked_frames, kept.max_unacked_bytes
        bound = self._pipeline.request_limits.config.max_answer_bytes
        per_face = answer_size(options.views, bound, at_worst=True).face
        #: Bytes of an answer, at most; revisions aside.
        self._expected = per_face * options.session.max_faces
        self._large = self._expected >= LARGE
        self._steps = sessions.make_steps(self._pipeline, admitted.session, options)
        self._recording = TrackRecording.of(sessions.recorder, self.record)
        self._steps.noting = self._recording is not None and not self._recording.pictures
        self._inbox = Inbox(options.live, lambda: self.stalled, self._max_unacked, sessions.max_read_ahead_bytes)
        self._share = sessions.unacked.share(admitted.caller, self._inbox.notify)
        self._pace = MessagePace(kept.max_message_rate, kept.message_burst, sessions.clock)
        self._saving = asyncio.Lock()
        #: Newest frame received, and newest that the client has acknowledged.
        self._newest, self._acked = self.record.frame, NO_FRAME
        #: Whether the client has been reminded to acknowledge what waits now.
        self._reminded = False
        #: Whether a frame is being answered.
        self._answering = False
        self._share.hold(self._unacked_bytes)

    @property
    def stalled(self) -> bool:
        """Whether frames wait for acknowledgements: of this stream's results, or of the caller's other streams'.

        Never where nothing could end it: where no result waits.
        """
        waiting = self.record.unacked
        own = waiting >= self._max_unacked or self._unacked_bytes >= self._max_unacked_bytes
        return own or self._share.full(self._expected)

    @property
    def _unacked_bytes(self) -> int:
        """Bytes that an acknowledgement would free; 0 where only revisions are kept, for a frame to come."""
        return self.record.retained_bytes if self.record.unacked else 0

    async def run(self) -> None:
        """Answer the client until it half-closes, then send `TrackClosed`.

        Raises:
            InvalidInputError: the client has sent something wrong.
            PreconditionError: it has sent something at the wrong time.
        """
        self._share.join()
        try:
            await self._converse()
        finally:
            self._share.leave()

    async def _converse(self) -> None:
        for retained in self.record.retained:
            await self._writer.write(*retained.messages)
        await self._remind()
        reading = asyncio.create_task(self._read())
        try:
            while not isinstance(item := await self._inbox.take(), HalfClosed):
                await self._answer(item)
            await self._close()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    # What comes in.

    async def _read(self) -> None:
        try:
            await self._inbox.wait_for_room()
            async for message in self._requests:
                self._writer.touch()
                await self._receive(message)
                await self._inbox.wait_for_room()
                await self._pace.wait()
        except Exception as e:  # noqa: BLE001  # whatever it is, it ends the stream in its turn: see _answer
            self._inbox.put(Failed(e))
        else:
            self._inbox.put(HalfClosed())

    async def _receive(self, message: Request) -> None:
        which = message.WhichOneof("message")
        if which == "frame":
            frame = message.frame
            requested = read_frame(frame, self._pipeline.request_limits, self._options)
            if frame.HasField("acked_frame"):
                await self._acknowledge(frame.acked_frame)
            fresh = requested.index > self._newest
            self._newest = max(self._newest, requested.index)
            self._inbox.put(ReceivedFrame(requested, fresh))
        elif which == "ack":
            if message.ack.HasField("acked_frame"):
                await self._acknowledge(message.ack.acked_frame)
        elif which == "heartbeat":
            await self._writer.write(Response(heartbeat=message.heartbeat))
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
            self._reminded = self._reminded and self._reminder_due
            if not self._answering:
                self._share.hold(self._unacked_bytes)
            self._inbox.notify()
            await self._save()

    # What goes out.

    async def _answer(self, item: ReceivedFrame | RequestedPastEvidence | Failed) -> None:
        if isinstance(item, Failed):
            raise item.error
        if isinstance(item, RequestedPastEvidence):
            await self._revise(item)
        elif item.fresh:
            await self._answer_frame(item)
        else:
            await self._resend(item.requested.index)

    async def _answer_frame(self, received: ReceivedFrame) -> None:
        requested, clock = received.requested, received.clock
        if self._quotas is not None:
            self._quotas.frame(self._caller)
        span = clock.frame(self.record.name, requested.index)
        with self._writer.active(), self._reserved(), span, self._models.lease() as newest:
            before = await self._move(newest, requested, clock)
            step = await self._steps.frame(requested, self.record, clock)
            changes: dict[str, Any] = {
                **(_moved(newest, requested.index) if before else {}),
                "state": step.state,
                "state_hash": step.state_hash,
                "frame": requested.index,
                "size": step.size,
                "boxes": step.boxes,
                "counts": self.record.counts.with_frame(
                    step.answer, skipped=len(received.skipped), with_problems=bool(step.problems)
                ),
            }
            result = track_pb2.FrameResult(
                frame_index=requested.index,
                media_time=requested.media_time,
                skipped_frames=received.skipped,
                resume_token=replace(self.record, **changes).token(self._keys),
                problems=step.problems,
                timing=clock.message(),
            )
            result.latency.FromNanoseconds(round(clock.elapsed * 1e9))
            answers = await self._serialize(clock, _frame_answers, result, step)
            # Not before: acknowledgements may have come in the meantime.
            self.record = self.record.answered(replace(self.record, **changes), answers, before)
            self._inbox.notify()  # this may have been the last result before a stall, which has rules of its own
            # A client that was told of a move must never come back to before it.
            await self._save(wait=bool(before))
            self._record(requested, step, answers, moved=bool(before))
            self._pipeline.observe(clock)
            self._observer.frame_answered(
                clock.elapsed,
                problem=bool(step.problems),
                skipped=len(received.skipped),
                exemplar=clock.exemplar,
            )
            self._pipeline.answered(clock, [track.face for track in step.tracks])
        await self._writer.write(*before, *answers)
        await self._acknowledge(self._acked)  # it may have been acknowledged in advance
        await self._remind()

    def _record(
        self, requested: RequestedFrame, step: FrameStepResult, answers: Sequence[bytes], *, moved: bool
    ) -> None:
        """Record a frame, where the session is recorded; a recording is of one bundle."""
        if self._recording is not None and moved:
            self._recording.moved()
            self._recording = None
        elif self._recording is not None:
            self._recording.frame(requested.message, step.seen, answers)

    async def _move(self, newest: LiveModel, requested: RequestedFrame, clock: StageClock) -> list[bytes]:
        """Go on with the newest model where the frame allows it, and where it knows the session's detector.

        Where the frame then fails, the stream ends, and its record is as it was before.

        Returns:
            What its client is told before the frame's result: nothing where the session stays.

        Raises:
            PreconditionError: it must move, and this frame does not allow it.
        """
        current = newest.bundle_id == self.record.bundle_id and not self._must_move
        knows = self._options.detection.detector in newest.pipeline.request_limits.detectors
        if current or not requested.may_change_model or not knows:
            self._check_stays()
            return []
        self._steps, revisions = await self._steps.moved_to(newest, clock)
        self._must_move = False
        self._pipeline = newest.pipeline
        changed = track_pb2.ModelChanged(bundle_id=newest.bundle_id, frame_index=requested.index)
        last = await self._serialize(clock, _revisions, revisions)
        return [*last, Response(model_changed=changed).SerializeToString()]

    def _check_stays(self) -> None:
        """The session goes on as it is.

        Raises:
            PreconditionError: its state is of other settings, so it would not go on bit for bit.
        """
        if self._must_move:
            text = "the session's state is of a version with other settings: its next frame must say may_change_model"
            raise PreconditionError(f"STATE_{StateReason.OTHER_SETTINGS.name}", text)

    @contextmanager
    def _reserved(self) -> Iterator[None]:
        """Count the answer that is being made, as large as it may become, before other streams begin theirs."""
        self._answering = True
        self._share.hold(self._unacked_bytes + self._expected)
        try:
            yield
        finally:
            self._answering = False
            self._share.hold(self._unacked_bytes)

    async def _serialize(self, clock: StageClock, work: Callable[..., list[bytes]], *args: object) -> list[bytes]:
        """Write messages; in a thread where they may be large."""
        if self._large:
            return await self._pipeline.run_stage(clock, "encode", work, *args)
        return work(*args)

    @property
    def _reminder_due(self) -> bool:
        """Whether half of a bound waits to be acknowledged."""
        waiting, half = self.record.unacked, self._max_unacked // 2
        by_bytes = waiting > 0 and (
            self._unacked_bytes >= self._max_unacked_bytes / 2 or self._share.full(2 * self._expected)
        )
        return by_bytes or waiting >= half >= _LEAST_REMINDED

    async def _remind(self) -> None:
        """Say that results must be acknowledged, before no more frames are answered; once for what waits."""
        due = self._reminder_due
        if due and not self._reminded:
            record = self.record
            message = track_pb2.MustAcknowledge(
                unacked_frames=record.unacked,
                max_unacked_frames=self._max_unacked,
                newest_frame=record.frame,
                unacked_bytes=record.retained_bytes,
                max_unacked_bytes=self._max_unacked_bytes,
            )
            await self._writer.write(Response(must_acknowledge=message))
        self._reminded = due

    async def _resend(self, index: int) -> None:
        message = self.record.result_of(index)
        if message is None and index <= self.record.acked:
            text = (
                f"frame.frame_index: is {index}, results up to {self.record.acked} were acknowledged and are not kept"
            )
            raise PreconditionError("RESULT_NOT_KEPT", text)
        if message is None:
            text = f"frame.frame_index: is {index}, which was not sent in its turn: the newest is {self.record.frame}"
            raise PreconditionError("FRAME_OUT_OF_ORDER", text)
        await self._writer.write(message)

    async def _revise(self, requested: RequestedPastEvidence) -> None:
        self._check_stays()
        clock = StageClock()
        with self._writer.active():
            step = await self._steps.revise(requested, self.record, clock)
            about = [(r.frame_index, *(t.track_id for t in r.tracks)) for r in step.revisions]
            answers = await self._serialize(clock, _revisions, step.revisions)
            pairs = list(zip(about, answers, strict=True))
            self.record = self.record.revised(step.state, step.state_hash, pairs)
            await self._save()
            if self._recording is not None:
                self._recording.evidence(requested.message, answers)
            self._pipeline.observe(clock)
        await self._writer.write(*answers)

    async def _close(self) -> None:
        self._check_stays()
        clock = StageClock()
        with self._writer.active():
            revisions, closed = await self._steps.close(clock)
            closed.summary.CopyFrom(self.record.counts.message())
            self._pipeline.observe(clock)
            last = await self._serialize(clock, _revisions, revisions)
        last.append(serialized(Response(closed=closed)))
        await self._writer.write(*last)
        if self._recording is not None:
            self._recording.closed(last)

    async def _save(self, *, wait: bool = False) -> None:
        """Store the newest record there is; what is stored here is never older than what is sent.

        Args:
            wait: until it outlives this process, where that is possible.

        Raises:
            PreconditionError: the session goes on in another stream.
        """
        async with self._saving:
            try:
                await self._store.put(self.record, wait=wait)
            except FencedError as e:
                raise PreconditionError("SESSION_TAKEN_OVER", str(e)) from e


def _moved(newest: LiveModel, index: int) -> dict[str, Any]:
    """What changes in a record with the first frame that another bundle answers."""
    return {"bundle_id": newest.bundle_id, "first_of_bundle": index, "recording": ""}


def _frame_answers(result: track_pb2.FrameResult, step: FrameStepResult) -> list[bytes]:
    """The result of a frame, then the revisions that it causes, serialized."""
    parts = [serialized(result)]
    for track in step.tracks:
        parts += field_parts(track_pb2.FrameResult, "tracks", [serialized(track)])
    return [b"".join(field_parts(Response, "result", parts)), *_revisions(step.revisions)]


def _revisions(revisions: Sequence[track_pb2.FrameRevision]) -> list[bytes]:
    """Revisions, serialized; they are empty after that."""
    return [b"".join(field_parts(Response, "revision", message_parts(r, "tracks"))) for r in revisions]
