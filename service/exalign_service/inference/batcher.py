"""The one bounded dynamic batcher in front of the network.

Worker threads take what is queued, up to a batch, and never wait for more: under load batches fill by
themselves, without load nothing is delayed. The queue is shared fairly between callers, and among the calls and
streams of a caller one crop at a time (`fair_queue`), so that nobody waits for somebody else's backlog. Crops whose
caller has gone or whose deadline has passed are dropped before the network sees them.

One worker more than ``workers`` stands by, as in `stage_pool`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from exalign_engine.arrays import U8
from exalign_engine.network.outputs import FaceOutputs, Outputs
from exalign_service.inference.crew import Crew
from exalign_service.inference.fair_queue import Claim, FairQueue, Spent
from exalign_service.inference.network import each_row
from exalign_service.inference.rear import Rear
from exalign_service.inference.running import Running
from exalign_service.inference.workers import error_of
from exalign_service.rpc.errors import DeadlineExpiredError, NotServingError, QueueFullError

#: What a crop is assumed to cost before the first batch has been timed, seconds.
_FIRST_GUESS = 0.01

#: Weight of the newest batch in the running mean of a crop's cost.
_NEWEST = 0.1

#: Bounds of the retry hint, seconds.
_RETRY_BOUNDS = (0.01, 5.0)


@dataclass(frozen=True)
class Row:
    """The network's answer about one crop.

    Attributes:
        outputs: the network's.
        started: when its batch was launched, on the batcher's clock, seconds.
        finished: when its batch came back.
        cost: its share of the batch's time, seconds.
    """

    outputs: FaceOutputs
    started: float
    finished: float
    cost: float = 0.0


class BatchObserver(Protocol):
    """Counts batches and waiting crops. Called from worker threads and from the callers' thread."""

    def batch_launched(self, size: int) -> None:
        """A batch of ``size`` crops goes to the network."""

    def queue_changed(self, depth: int) -> None:
        """So many crops are waiting now."""


@dataclass(eq=False)
class _Item:
    crop: U8
    claim: Claim
    deadline: float
    future: Future[Row]
    expected: float = 0.0


class Batcher:
    """Feeds the network from a bounded queue.

    Args:
        infer: (B, S, S, 3) uint8 → outputs of B rows. Called from ``workers`` + 1 threads at once.
        workers: threads that work at once; one more stands by.
        live_share: see `StagePool`.
        max_batch: most crops in one call of ``infer``.
        max_queue: most crops that may wait.
        observer: counts batches and the queue's depth; None: nobody.
        clock: seconds, monotonic; deadlines are on it.
        spent: see `FairQueue`.
        rear: see `StagePool`.
    """

    def __init__(
        self,
        infer: Callable[[U8], Outputs],
        *,
        workers: int,
        max_batch: int,
        max_queue: int,
        live_share: float = 0.5,
        observer: BatchObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
        spent: Spent | None = None,
        rear: Rear | None = None,
    ) -> None:
        self._infer, self._clock, self._observer = infer, clock, observer
        self._workers, self._max_batch, self._max_queue = workers, max_batch, max_queue
        self._crew = Crew("batcher", workers + 1, rear)
        # All below is guarded by the lock of _crew.
        self._queue = FairQueue[_Item](live_share * workers, clock, spent)
        self._running = Running(workers, clock)
        self._cost = _FIRST_GUESS
        self._closed = False
        self._crew.start(self._work)

    @property
    def depth(self) -> int:
        """Crops that wait now."""
        with self._crew.lock:
            return len(self._queue)

    def oldest_running(self) -> float | None:
        """Seconds since the batch was launched that has been running for longest; None where none runs."""
        with self._crew.lock:
            return self._running.oldest()

    @property
    def closed(self) -> bool:
        """Whether it accepts no more crops."""
        with self._crew.lock:
            return self._closed

    async def infer(self, crops: Sequence[U8], *, claim: Claim | None = None, deadline: float = math.inf) -> list[Row]:
        """Put the crops of one call through the network: all of them, or an error.

        Cancelling takes the crops that are still waiting out of the queue.

        Args:
            crops: each (S, S, 3) uint8.
            claim: whose crops they are; those of one key are served in order. None: somebody's who is alone.
            deadline: on the batcher's clock; crops still waiting then are dropped.

        Returns:
            One row a crop, in order.

        Raises:
            QueueFullError: there is no room for all of them.
            DeadlineExpiredError: the deadline passed before a crop was launched.
            NotServingError: the batcher is closed.
        """
        futures = self._submit(crops, Claim(key=object()) if claim is None else claim, deadline)
        try:
            return list(await asyncio.gather(*(asyncio.wrap_future(f) for f in futures)))
        finally:
            for future in futures:
                future.cancel()

    def infer_here(self, crops: Sequence[U8], *, claim: Claim, deadline: float = math.inf) -> list[Row] | None:
        """Put the crops of one call through the network in this thread, where a worker would begin with them at once.

        Blocks. It counts as a worker's batch.

        Args:
            crops: see `infer`.
            claim: see `infer`.
            deadline: see `infer`.

        Returns:
            See `infer`; None where they must wait, or be more than one batch: nothing was done.

        Raises:
            Exception: whatever the network raises, and as `infer`.
        """
        items = [_Item(crop, claim, deadline, Future()) for crop in crops]
        with self._crew.lock:
            busy = self._closed or self._queue or len(items) > self._max_batch
            if busy or not self._running.allows(claim.caller, live=False):
                return None
            if self._running.seen(claim.caller):
                self._crew.notify_all()
            for item in items:
                self._queue.put(claim, item)
            batch, expired = self._take(behind=False)
            if batch:
                self._running.begin(batch[0], [claim] * len(batch))
        _expire(expired)
        if batch:
            self._work_off(batch)
        return [item.future.result() for item in items]

    def close(self, *, drain: bool = True) -> None:
        """Stop, and wait for the workers.

        Args:
            drain: answer what is waiting first; otherwise it fails with `NotServingError`.
        """
        with self._crew.lock:
            self._closed = True
            dropped = [] if drain else self._queue.drop(lambda item: True)
            self._report()
            self._crew.notify_all()
        for item in dropped:
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(NotServingError("the server is shutting down"))
        self._crew.join(lambda: None)

    def _submit(self, crops: Sequence[U8], claim: Claim, deadline: float) -> list[Future[Row]]:
        items = [_Item(crop, claim, deadline, Future()) for crop in crops]
        expired: list[_Item] = []
        try:
            with self._crew.lock:
                if self._closed:
                    raise NotServingError("the server is shutting down")
                if not self._has_room(claim.caller, len(items)):
                    expired = self._sweep()
                    if not self._has_room(claim.caller, len(items)):
                        raise QueueFullError("faces", len(self._queue), self._max_queue, self._retry_after())
                changed = self._running.seen(claim.caller)
                for item in items:
                    self._queue.put(claim, item)
                self._report()
                if changed:
                    self._crew.notify_all()
                else:
                    batches = math.ceil(len(items) / self._max_batch)
                    self._crew.notify(behind=self._running.behind(claim.caller), count=batches)
        finally:
            _expire(expired)
        return [item.future for item in items]

    def _has_room(self, caller: str, more: int) -> bool:
        """Whether so many may wait; a full queue has room for a caller that has less in it than its share."""
        if len(self._queue) + more <= self._max_queue:
            return True
        mine = self._queue.waiting(caller)
        others = self._queue.callers - bool(mine)
        return bool(others) and mine + more <= self._max_queue // (others + 1)

    def _sweep(self) -> list[_Item]:
        """Take what nobody waits for any more out of the queue; returns what has expired."""
        now = self._clock()
        gone = self._queue.drop(lambda item: item.future.cancelled() or item.deadline <= now)
        self._report()
        return [item for item in gone if not item.future.cancelled()]

    def _retry_after(self) -> float:
        """When the queue will have been worked off, by what crops cost so far."""
        low, high = _RETRY_BOUNDS
        return min(max(len(self._queue) * self._cost / self._workers, low), high)

    def _report(self) -> None:
        if self._observer is not None:
            self._observer.queue_changed(len(self._queue))

    def _work(self, behind: bool) -> bool:
        """Wait for a batch and answer it; False where there will be none."""
        with self._crew.lock:
            batch, expired = self._take(behind)
            while not batch and not expired:
                if self._closed and not self._queue:
                    return False
                self._crew.wait(behind=behind)
                batch, expired = self._take(behind)
            if batch:
                self._running.begin(batch[0], [item.claim for item in batch])
        _expire(expired)
        if batch:
            with self._crew.turn(behind=behind):
                self._work_off(batch)
        return True

    def _work_off(self, batch: list[_Item]) -> None:
        """Answer a batch that has begun, and count it."""
        seconds = self._answer(batch)
        with self._crew.lock:
            changed = self._running.end(batch[0])
            for item in batch:
                self._queue.charge(item.claim, seconds / len(batch), item.expected)
            if self._queue or self._closed or changed:  # else they would wake for nothing
                self._crew.notify_all()

    def _answer(self, batch: list[_Item]) -> float:
        """`_launch`; whatever it raises is answered too, or its callers would wait for ever."""
        try:
            return self._launch(batch)
        except BaseException as e:  # noqa: BLE001
            for item in batch:
                if not item.future.done():
                    item.future.set_exception(error_of(e))
            return 0.0

    def _take(self, behind: bool) -> tuple[list[_Item], list[_Item]]:
        """Up to a batch of items, fairly; and the expired ones met on the way."""
        now, batch, expired = self._clock(), list[_Item](), list[_Item]()
        while len(batch) < self._max_batch:
            item = self._queue.take(self._cost, lambda caller, live: self._running.allows(caller, live, behind=behind))
            if item is None:
                break
            item.expected = self._cost
            if item.deadline <= now:
                expired.append(item)
            elif item.future.set_running_or_notify_cancel():  # from here on it cannot be cancelled
                batch.append(item)
                continue
            self._queue.charge(item.claim, 0.0, item.expected)
        self._report()
        return batch, expired

    def _launch(self, batch: list[_Item]) -> float:
        """Run the network on a batch and answer its items; returns the seconds that it took."""
        if self._observer is not None:
            self._observer.batch_launched(len(batch))
        started = self._clock()
        rows = each_row(self._infer, [item.crop for item in batch])
        finished = self._clock()
        if not all(isinstance(row, Exception) for row in rows):  # what fails at once costs nothing
            with self._crew.lock:
                self._cost += _NEWEST * ((finished - started) / len(batch) - self._cost)
        for item, row in zip(batch, rows, strict=True):
            if isinstance(row, Exception):
                item.future.set_exception(row)
            else:
                item.future.set_result(Row(row, started, finished, (finished - started) / len(batch)))
        return finished - started


def _expire(items: list[_Item]) -> None:
    for item in items:
        if item.future.set_running_or_notify_cancel():
            item.future.set_exception(DeadlineExpiredError("the deadline passed while waiting for the network"))
