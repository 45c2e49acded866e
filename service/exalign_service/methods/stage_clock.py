"""The time that each stage of a call took, and whether its work is to go on."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import grpc

from exalign.v1 import timing_pb2
from exalign_service.inference.admission import Ticket
from exalign_service.inference.batcher import Row
from exalign_service.inference.stage_pool import StagePool
from exalign_service.observability.spans import Span
from exalign_service.rpc.call_context import Call, current_call
from exalign_service.rpc.errors import DeadlineExpiredError

T = TypeVar("T")

#: Where there is no call: in a test of a part.
_NO_CALL = Call("", math.inf)


class StageClock:
    """Seconds of one call by stage, and whether anybody waits for it. Made where the call is handled.

    Threads may add to it and ask it at once.

    Args:
        ticket: of a unary call.
    """

    def __init__(self, ticket: Ticket | None = None) -> None:
        self.ticket = ticket
        self.seconds: dict[str, float] = {}
        #: Thread time by stage; of the network, the share of each batch.
        self.cost: dict[str, float] = {}
        self._call = call = current_call.get(_NO_CALL)
        self.method = call.method
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._deadline, self._stopped = call.deadline, False
        #: Gets every stage; None where the call, or the frame, is not traced.
        self._span: Span | None = call.span

    def stop(self) -> None:
        """Nobody waits for the call any more: what still runs for it in threads ends at its next `check`."""
        self._stopped = True

    def check(self) -> None:
        """What long work calls as it goes on (`exalign_engine.posterior.checks`).

        Raises:
            DeadlineExpiredError: the call's deadline has passed, or nobody waits for it any more.
        """
        if self._stopped or time.monotonic() >= self._deadline:
            raise DeadlineExpiredError("the deadline passed, or the caller left, during the work")

    @property
    def exemplar(self) -> dict[str, str] | None:
        """Leads from a histogram to the span of the call, or of the frame; None where there is none."""
        return None if self._span is None else self._span.exemplar

    @contextmanager
    def frame(self, session: str, index: int) -> Iterator[None]:
        """A span of its own for a frame of a stream, from its arrival to the end of the block.

        Args:
            session: its name.
            index: of the frame.
        """
        trace, code = self._call.trace, None
        self._span = span = None if trace is None else trace.frame(self._started, session, index)
        if span is not None:
            span.stage("inbox", self._started, time.monotonic())  # it waited for the frames before it
        try:
            yield
            code = grpc.StatusCode.OK
        finally:
            if span is not None:
                span.end(code)

    def add(self, stage: str, start: float, end: float, cost: float = 0.0) -> None:
        """Count time for a stage, one of `metrics.STAGES`, and thread time.

        Args:
            stage: its name.
            start: when it began, on `time.monotonic`, seconds.
            end: when it ended.
            cost: thread time, seconds.
        """
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + (end - start)
            self.cost[stage] = self.cost.get(stage, 0.0) + cost
        if self._span is not None and end > start:
            self._span.stage(stage, start, end)

    def run(self, stage: str, work: Callable[..., T], *args: object) -> T:
        """Do something and count its time, whether it succeeds or not.

        Raises:
            DeadlineExpiredError: see `check`; it is not begun.
        """
        self.check()
        start, thread_start = time.monotonic(), time.thread_time()
        try:
            return work(*args)
        finally:
            self.add(stage, start, time.monotonic(), time.thread_time() - thread_start)

    def add_rows(self, submitted: float, rows: Sequence[Row]) -> None:
        """Count the time from ``submitted`` to the last row: with the network at work, or waiting for it."""
        until = submitted
        for row in sorted(rows, key=lambda row: row.started):
            # Of several rows in one batch, the first has all of its time.
            started = max(row.started, until)
            self.add("queue", until, started)
            until = max(row.finished, started)
            self.add("infer", started, until, row.cost)

    @property
    def elapsed(self) -> float:
        """Seconds up to now."""
        return time.monotonic() - self._started

    def message(self) -> timing_pb2.StageTiming:
        """For the answer; its total reaches up to now."""
        seconds = self.seconds
        return timing_pb2.StageTiming(
            decode_seconds=seconds.get("decode", 0.0),
            detect_seconds=seconds.get("detect", 0.0),
            queue_seconds=seconds.get("queue", 0.0),
            infer_seconds=seconds.get("infer", 0.0),
            posterior_seconds=seconds.get("posterior", 0.0),
            hmm_seconds=seconds.get("hmm", 0.0),
            total_seconds=self.elapsed,
        )


async def in_thread(
    stages: StagePool, clock: StageClock, work: Callable[..., T], *args: object, fresh: bool = False
) -> T:
    """`StagePool.run`; where this is cancelled, the call's work in threads ends at its next check."""
    try:
        return await stages.run(work, *args, fresh=fresh)
    except asyncio.CancelledError:
        clock.stop()
        raise
