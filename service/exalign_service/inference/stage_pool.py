"""The threads in which stages run: decoding, detection, crops, posteriors, steps of videos.

What waits is served fairly between callers (`fair_queue`). A job whose caller has gone, or whose deadline has passed,
never runs. One thread more than `threads` stands by (`running`): it works for somebody else while one caller has all
others, and for a frame while all others work for calls. So nobody waits for the end of a stranger's long job.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from exalign_service.inference.crew import Crew
from exalign_service.inference.fair_queue import Claim, FairQueue, Spent
from exalign_service.inference.rear import Rear
from exalign_service.inference.running import Running
from exalign_service.inference.workers import error_of
from exalign_service.rpc.call_context import current_call
from exalign_service.rpc.errors import DeadlineExpiredError, NotServingError

T = TypeVar("T")

#: Weight of the newest job in the running mean of what jobs take.
_NEWEST = 0.05


class StageObserver(Protocol):
    """Is told about the jobs. Called from any thread."""

    def stages_changed(self, waiting: int) -> None:
        """So many jobs wait now."""


@dataclass(eq=False)
class _Job:
    claim: Claim
    deadline: float
    work: Callable[[], Any]
    future: Future[Any]
    expected: float = 0.0


class StagePool:
    """Threads for work that blocks.

    Args:
        threads: that work at once; one more stands by.
        live_share: of the threads' time, that the frames of one caller get before all calls.
        observer: is told how many jobs wait; None: nobody.
        clock: seconds, monotonic; deadlines are on it.
        spent: see `FairQueue`.
        rear: bounds the work behind the others, with that of other pools; None: nothing does.
    """

    def __init__(
        self,
        threads: int,
        *,
        live_share: float = 0.5,
        observer: StageObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
        spent: Spent | None = None,
        rear: Rear | None = None,
    ) -> None:
        self._clock, self._observer, self._closed = clock, observer, False
        self._crew = Crew("stage", threads + 1, rear)
        # All below is guarded by the lock of _crew.
        self._queue = FairQueue[_Job](live_share * threads, clock, spent)
        self._running = Running(threads, clock)
        self._mean = 0.0
        #: The job of each thread.
        self._mine = threading.local()
        self._crew.start(self._work)

    @property
    def depth(self) -> int:
        """Jobs that wait now."""
        with self._crew.lock:
            return len(self._queue)

    def oldest_running(self) -> float | None:
        """Seconds since the job began that has been running for longest; None where none runs."""
        with self._crew.lock:
            return self._running.oldest()

    async def run(self, work: Callable[..., T], *args: object, fresh: bool = False) -> T:
        """Run something in a thread, for the call that is being handled. Cancelled before its turn, it never runs.

        Args:
            work: what to run.
            args: of it.
            fresh: it is the first that is done for its call: those that have begun go before it.

        Raises:
            DeadlineExpiredError: the call's deadline passed before its turn.
            NotServingError: the pool is closed.
        """
        call = current_call.get(None)
        claim, deadline = (Claim(), math.inf) if call is None else (Claim.of(call), call.deadline)
        job = _Job(claim, deadline, lambda: work(*args), Future())
        with self._crew.lock:
            if self._closed:
                raise NotServingError("the server is shutting down")
            changed = self._running.seen(claim.caller)
            self._queue.put(claim, job, fresh=fresh)
            self._report()
            if changed:
                self._crew.notify_all()
            else:
                self._crew.notify(behind=self._running.behind(claim.caller))
        try:
            result: T = await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            with self._crew.lock:
                self._queue.drop(lambda waiting: waiting is job)
                self._report()
            raise
        return result

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """While a job waits for what somebody else answers for: it is not this pool's, should that never end."""
        job: _Job | None = getattr(self._mine, "job", None)
        if job is None:  # not in a thread of the pool
            yield
            return
        with self._crew.lock:
            self._running.elsewhere(job)
        try:
            yield
        finally:
            with self._crew.lock:
                self._running.here(job)

    def close(self, timeout: float | None = None) -> bool:
        """Fail what waits, and wait for what runs.

        Args:
            timeout: seconds to wait; None: for ever.

        Returns:
            Whether every thread has ended.
        """
        with self._crew.lock:
            self._closed = True
            waiting = self._queue.drop(lambda job: True)
            self._report()
            self._crew.notify_all()
        for job in waiting:
            _fail(job, NotServingError("the server is shutting down"))
        until = None if timeout is None else time.monotonic() + timeout
        return self._crew.join(lambda: None if until is None else max(until - time.monotonic(), 0.0))

    def _report(self) -> None:
        if self._observer is not None:
            self._observer.stages_changed(len(self._queue))

    def _work(self, behind: bool) -> bool:
        """Wait for a job and do it; False where there will be none."""
        job = self._next(behind)
        if job is None:
            return False
        result, error = None, None
        with self._crew.turn(behind=behind):
            started = time.thread_time()
            self._mine.job = job
            try:
                result = job.work()
            except BaseException as e:  # noqa: BLE001  # whatever it is belongs to the caller, not to this thread
                error = error_of(e)
            self._mine.job = None  # what it holds may be large
            seconds = time.thread_time() - started
        with self._crew.lock:
            changed = self._running.end(job)
            self._mean += _NEWEST * (seconds - self._mean)
            self._queue.charge(job.claim, seconds, job.expected)
            if changed:
                self._crew.notify_all()
            elif self._queue:  # else they would wake for nothing
                for kind in (False, True):
                    self._crew.notify(behind=kind)
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)
        del error  # it refers to this frame, which refers to it
        return True

    def _next(self, behind: bool) -> _Job | None:
        """The next job that somebody waits for, and that may run here; None where the pool is closed."""
        with self._crew.lock:
            while True:
                expected = self._mean
                job = self._queue.take(expected, lambda caller, live: self._running.allows(caller, live, behind=behind))
                if job is None:
                    if self._closed:
                        return None
                    self._crew.wait(behind=behind)
                    continue
                job.expected = expected
                self._report()
                if self._clock() >= job.deadline:
                    _fail(job, DeadlineExpiredError("the deadline passed while waiting for a thread"))
                elif job.future.set_running_or_notify_cancel():  # from here on it cannot be cancelled
                    self._running.begin(job, (job.claim,))
                    return job
                self._queue.charge(job.claim, 0.0, expected)


def _fail(job: _Job, error: Exception) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)
