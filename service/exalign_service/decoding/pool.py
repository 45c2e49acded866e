"""Decoders for pictures that take long: a few processes, started when they are needed.

A picture may take as much CPU time as the limit says, then its decoder is ended, and it alone is refused. What waits
costs its file. Callers take turns, and one has at most half of the processes. What nobody waits for any more, because
its deadline passed or its call was cancelled, is taken out, or its decoder is ended.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Literal, Protocol

from exalign_engine.arrays import U8
from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.image import DecodePlan
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_service.decoding.decoder_process import DecoderDiedError, DecoderProcess, JobNotTakenError
from exalign_service.decoding.turns import Turns
from exalign_service.decoding.wire import Job
from exalign_service.rpc.clock import Clock, LoopClock, Timer
from exalign_service.rpc.errors import DeadlineExpiredError, DecoderUnavailableError, NotServingError

#: Pictures that are estimated to take longer go to a decoder, milliseconds of CPU time: a photograph of 12 megapixels
#: is at the border. A small JPEG took 13 ms by a decoder that was there, and 3 to 5 in a thread (beside other work).
DEAR_MS = 100.0

#: So long a decoder without a job is kept, seconds.
_IDLE_SECONDS = 30.0

#: A decoder may take so many times its CPU time by the clock: it has little priority.
_PATIENCE = 30.0

FailureReason = Literal["cpu_time", "died", "not_started"]

_log = logging.getLogger(__name__)


def is_dear(plan: DecodePlan) -> bool:
    """Whether a picture belongs to a decoder: it takes long, or its structure does not say how long."""
    return plan.cpu_ms > DEAR_MS or not plan.bounded


class DecoderObserver(Protocol):
    """Sees the pool's work. Called from the event loop."""

    def decoders_changed(self, processes: int) -> None:
        """So many processes are there now."""

    def decode_jobs_changed(self, waiting: int, running: int) -> None:
        """So many pictures wait now, and so many are being decoded."""

    def decoder_failed(self, reason: FailureReason) -> None:
        """A decoder was ended for its CPU time, died, or could not be started."""


@dataclass(eq=False)
class _Waiting:
    """A picture that somebody waits for."""

    job: Job
    data: bytes
    caller: Hashable
    deadline: float
    image: asyncio.Future[U8]
    task: asyncio.Task[None] | None = None


class DecoderPool:
    """The decoders of one server. For the event loop's thread.

    Args:
        processes: most decoders.
        cpu_seconds: CPU time that a picture may take.
        start: starts a decoder.
        idle_seconds: how long one without a job is kept.
        observer: sees the work; None: nobody.
        clock: of deadlines and of idle decoders.
    """

    def __init__(
        self,
        processes: int,
        cpu_seconds: float,
        *,
        start: Callable[[], Awaitable[DecoderProcess]] = DecoderProcess.start,
        idle_seconds: float = _IDLE_SECONDS,
        observer: DecoderObserver | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._most, self._share, self._cpu_seconds = processes, max(processes // 2, 1), cpu_seconds
        self._start, self._idle_seconds, self._observer = start, idle_seconds, observer
        self._clock = LoopClock() if clock is None else clock
        self._queue: Turns[_Waiting] = Turns()
        self._running: Counter[Hashable] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: dict[DecoderProcess, Timer] = {}
        self._ending: dict[DecoderProcess, asyncio.Task[None]] = {}
        self._closed = False

    async def decode(
        self,
        data: bytes,
        plan: DecodePlan,
        limits: ImageLimits,
        *,
        field: str = "image.encoded",
        caller: Hashable = None,
        deadline: float = math.inf,
    ) -> U8:
        """Decode a picture in a decoder.

        Args:
            data: the file.
            plan: of it, by `exalign_engine.geometry.image.examine`.
            limits: what it was examined against.
            field: named in errors.
            caller: whose it is.
            deadline: on the clock.

        Returns:
            (H, W, 3) uint8 RGB, upright.

        Raises:
            InvalidInputError: it cannot be decoded, or not within its CPU time; or it ended its decoder.
            DeadlineExpiredError: the deadline passed before it was decoded.
            DecoderUnavailableError: no decoder can be started.
            NotServingError: the pool is closed.
        """
        if self._closed:
            raise NotServingError("the server is shutting down")
        job = Job(len(data), plan.decoded_bytes, plan.peak_bytes, self._cpu_seconds, field, limits)
        waiting = _Waiting(job, data, caller, deadline, asyncio.get_running_loop().create_future())
        self._queue.put(caller, waiting)
        self._dispatch()
        timer = None
        if deadline < math.inf:
            timer = self._clock.call_later(max(deadline - self._clock.now(), 0.0), _expire, waiting)
        try:
            return await waiting.image
        finally:
            if timer is not None:
                timer.cancel()
            self._abandon(waiting)

    async def close(self) -> None:
        """End all decoders; what waits fails with `NotServingError`."""
        self._closed = True
        while found := self._queue.first(lambda *_: True):
            waiting = self._queue.take(found[0])
            if not waiting.image.done():
                waiting.image.set_exception(NotServingError("the server is shutting down"))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for decoder in list(self._idle):
            self._retire(decoder)
        await asyncio.gather(*self._ending.values())

    def _dispatch(self) -> None:
        """Give waiting pictures to decoders as long as there may be more of them."""
        while self._running.total() < self._most:
            found = self._queue.first(lambda caller, _: self._running[caller] < self._share)
            if found is None:
                break
            waiting = self._queue.take(found[0])
            if waiting.deadline <= self._clock.now():
                _expire(waiting)
            if waiting.image.done():
                continue
            self._running[waiting.caller] += 1
            waiting.task = asyncio.create_task(self._run(waiting))
            self._tasks.add(waiting.task)
            waiting.task.add_done_callback(self._finished(waiting))
        self._report_jobs()

    def _finished(self, waiting: _Waiting) -> Callable[[asyncio.Task[None]], None]:
        def finish(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._running[waiting.caller] -= 1
            if not self._running[waiting.caller]:
                del self._running[waiting.caller]
            if not waiting.image.done():  # only where the pool is closed, or a fault of ours
                error = None if task.cancelled() else task.exception()
                waiting.image.set_exception(error or NotServingError("the server is shutting down"))
            elif not task.cancelled():
                task.exception()  # nobody waits for it
            self._dispatch()

        return finish

    def _abandon(self, waiting: _Waiting) -> None:
        """Nobody waits for a picture any more."""
        if waiting.task is None:
            self._queue.remove(waiting.caller, waiting)
            self._report_jobs()
        elif not waiting.image.done() or waiting.image.cancelled() or waiting.image.exception() is not None:
            waiting.task.cancel()

    async def _run(self, waiting: _Waiting) -> None:
        """Decode one picture; its future has the outcome."""
        timer = self._clock.call_later(_PATIENCE * waiting.job.cpu_seconds, _expire, waiting)
        try:
            image = await self._decoded(waiting)
        except DecoderDiedError as e:
            self._failed("cpu_time" if e.out_of_time else "died", str(e.how))
            _answer(waiting, _refusal(waiting.job, e))
        except DecoderUnavailableError as e:
            self._failed("not_started", str(e))
            _answer(waiting, e)
        except InvalidInputError as e:
            _answer(waiting, e)
        else:
            if not waiting.image.done():
                waiting.image.set_result(image)
        finally:
            timer.cancel()

    async def _decoded(self, waiting: _Waiting) -> U8:
        """Decode by an idle decoder, or a new one where the idle one turns out to be gone."""
        while self._idle:
            decoder = self._wake()
            try:
                return await self._by(decoder, waiting)
            except JobNotTakenError:
                continue
        decoder = await self._start()
        self._ending[decoder] = asyncio.create_task(self._reap(decoder))
        self._report_decoders()
        try:
            return await self._by(decoder, waiting)
        except JobNotTakenError:
            raise DecoderUnavailableError("a new decoder ended before it had read its job") from None

    async def _by(self, decoder: DecoderProcess, waiting: _Waiting) -> U8:
        """Decode by one decoder, which is idle again afterwards, or gone."""
        try:
            image = await decoder.decode(waiting.job, waiting.data)
        except InvalidInputError:
            self._rest(decoder)
            raise
        except BaseException:
            decoder.kill()
            raise
        self._rest(decoder)
        return image

    def _rest(self, decoder: DecoderProcess) -> None:
        if self._closed:
            decoder.close()
        else:
            self._idle[decoder] = self._clock.call_later(self._idle_seconds, self._retire, decoder)

    def _wake(self) -> DecoderProcess:
        """The decoder that has worked last."""
        decoder, timer = self._idle.popitem()
        timer.cancel()
        return decoder

    def _retire(self, decoder: DecoderProcess) -> None:
        self._idle.pop(decoder).cancel()
        decoder.close()

    async def _reap(self, decoder: DecoderProcess) -> None:
        """Wait for a decoder's end, whatever brings it about."""
        await decoder.ended()
        if decoder in self._idle:
            self._retire(decoder)
        del self._ending[decoder]
        self._report_decoders()

    def _failed(self, reason: FailureReason, how: str) -> None:
        _log.warning("a decoder failed", extra={"fields": {"reason": reason, "how": how}})
        if self._observer is not None:
            self._observer.decoder_failed(reason)

    def _report_jobs(self) -> None:
        if self._observer is not None:
            self._observer.decode_jobs_changed(len(self._queue), self._running.total())

    def _report_decoders(self) -> None:
        if self._observer is not None:
            self._observer.decoders_changed(len(self._ending))


def _answer(waiting: _Waiting, error: Exception) -> None:
    if not waiting.image.done():
        waiting.image.set_exception(error)


def _expire(waiting: _Waiting) -> None:
    _answer(waiting, DeadlineExpiredError("the deadline passed before the picture was decoded"))


def _refusal(job: Job, error: DecoderDiedError) -> InvalidInputError:
    """A file that ends its decoder is at fault."""
    if error.out_of_time:
        return InvalidInputError.of(job.field, f"was not decoded within {job.cpu_seconds:g} s of CPU time")
    return InvalidInputError.of(job.field, f"could not be decoded: it ended its decoder ({error.how})")
