"""The one bounded dynamic batcher in front of the network.

Worker threads take what is queued, up to a batch, and never wait for more: under load batches fill by
themselves, without load nothing is delayed. Between callers (a unary call, a video session) the queue is
served round robin, one crop at a time, so that nobody waits for somebody else's backlog. Crops whose caller
has gone or whose deadline has passed are dropped before the network sees them.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from exalign_engine.arrays import U8
from exalign_engine.network.outputs import FaceOutputs, Outputs
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
    """

    outputs: FaceOutputs
    started: float
    finished: float


class BatchObserver(Protocol):
    """Counts batches and waiting crops. Called from worker threads and from the callers' thread."""

    def batch_launched(self, size: int) -> None:
        """A batch of ``size`` crops goes to the network."""

    def queue_changed(self, depth: int) -> None:
        """So many crops are waiting now."""


@dataclass(eq=False)
class _Item:
    crop: U8
    key: Hashable
    deadline: float
    future: Future[Row]


class Batcher:
    """Feeds the network from a bounded queue.

    Args:
        infer: (B, S, S, 3) uint8 → outputs of B rows. Called from ``workers`` threads at once.
        workers: threads.
        max_batch: most crops in one call of ``infer``.
        max_queue: most crops that may wait.
        observer: counts batches and the queue's depth; None: nobody.
        clock: seconds, monotonic; deadlines are on it.
    """

    def __init__(
        self,
        infer: Callable[[U8], Outputs],
        *,
        workers: int,
        max_batch: int,
        max_queue: int,
        observer: BatchObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._infer, self._clock, self._observer = infer, clock, observer
        self._workers, self._max_batch, self._max_queue = workers, max_batch, max_queue
        self._changed = threading.Condition()
        # All below is guarded by _changed. Keys stand in the order in which they are served next.
        self._waiting: OrderedDict[Hashable, deque[_Item]] = OrderedDict()
        self._depth = 0
        self._cost = _FIRST_GUESS
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"batcher-{i}", daemon=True) for i in range(workers)]
        for thread in self._threads:
            thread.start()

    @property
    def depth(self) -> int:
        """Crops that wait now."""
        with self._changed:
            return self._depth

    @property
    def closed(self) -> bool:
        """Whether it accepts no more crops."""
        with self._changed:
            return self._closed

    async def infer(self, crops: Sequence[U8], *, key: Hashable = None, deadline: float = math.inf) -> list[Row]:
        """Put the crops of one caller through the network: all of them, or an error.

        Cancelling takes the crops that are still waiting out of the queue.

        Args:
            crops: each (S, S, 3) uint8.
            key: whose crops they are; crops of one key are served in order. None: this call is its own key.
            deadline: on the batcher's clock; crops still waiting then are dropped.

        Returns:
            One row a crop, in order.

        Raises:
            QueueFullError: there is no room for all of them.
            DeadlineExpiredError: the deadline passed before a crop was launched.
            NotServingError: the batcher is closed.
        """
        futures = self._submit(crops, object() if key is None else key, deadline)
        try:
            return list(await asyncio.gather(*(asyncio.wrap_future(f) for f in futures)))
        finally:
            for future in futures:
                future.cancel()

    def close(self, *, drain: bool = True) -> None:
        """Stop, and wait for the workers.

        Args:
            drain: answer what is waiting first; otherwise it fails with `NotServingError`.
        """
        with self._changed:
            self._closed = True
            dropped = [] if drain else [item for items in self._waiting.values() for item in items]
            if dropped:
                self._waiting.clear()
                self._set_depth(0)
            self._changed.notify_all()
        for item in dropped:
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(NotServingError("the server is shutting down"))
        for thread in self._threads:
            thread.join()

    def _submit(self, crops: Sequence[U8], key: Hashable, deadline: float) -> list[Future[Row]]:
        items = [_Item(crop, key, deadline, Future()) for crop in crops]
        expired: list[_Item] = []
        try:
            with self._changed:
                if self._closed:
                    raise NotServingError("the server is shutting down")
                if self._depth + len(items) > self._max_queue:
                    expired = self._sweep()
                if self._depth + len(items) > self._max_queue:
                    raise QueueFullError("faces", self._depth, self._max_queue, self._retry_after())
                if items:
                    self._waiting.setdefault(key, deque()).extend(items)
                    self._set_depth(self._depth + len(items))
                    self._changed.notify(math.ceil(len(items) / self._max_batch))
        finally:
            _expire(expired)
        return [item.future for item in items]

    def _sweep(self) -> list[_Item]:
        """Take what nobody waits for any more out of the queue; returns what has expired."""
        now, expired = self._clock(), list[_Item]()
        for key, items in list(self._waiting.items()):
            alive: deque[_Item] = deque()
            for item in items:
                if item.future.cancelled():
                    continue
                (alive if item.deadline > now else expired).append(item)
            if alive:
                self._waiting[key] = alive
            else:
                del self._waiting[key]
        self._set_depth(sum(len(items) for items in self._waiting.values()))
        return expired

    def _retry_after(self) -> float:
        """When the queue will have been worked off, by what crops cost so far."""
        low, high = _RETRY_BOUNDS
        return min(max(self._depth * self._cost / self._workers, low), high)

    def _set_depth(self, depth: int) -> None:
        self._depth = depth
        if self._observer is not None:
            self._observer.queue_changed(depth)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if not self._waiting:
                    return
                batch, expired = self._take()
            _expire(expired)
            if batch:
                self._launch(batch)

    def _take(self) -> tuple[list[_Item], list[_Item]]:
        """Up to a batch of items, one of each key in turn; and the expired ones met on the way."""
        now, batch, expired = self._clock(), list[_Item](), list[_Item]()
        depth = self._depth
        while self._waiting and len(batch) < self._max_batch:
            key, items = self._waiting.popitem(last=False)
            item = items.popleft()
            depth -= 1
            if items:
                self._waiting[key] = items  # to the end of the line
            if item.deadline <= now:
                expired.append(item)
            elif item.future.set_running_or_notify_cancel():  # from here on it cannot be cancelled
                batch.append(item)
        self._set_depth(depth)
        return batch, expired

    def _launch(self, batch: list[_Item]) -> None:
        """Run the network on a batch and answer its items."""
        if self._observer is not None:
            self._observer.batch_launched(len(batch))
        started = self._clock()
        try:
            out = self._infer(np.stack([item.crop for item in batch]))
            if len(out.scores) != len(batch):
                raise RuntimeError(f"the runtime answered {len(out.scores)} rows to {len(batch)} crops")
        except Exception as e:  # noqa: BLE001  # whatever it is belongs to the callers, not to this thread
            for item in batch:
                item.future.set_exception(e)
            return
        finished = self._clock()
        with self._changed:
            self._cost += _NEWEST * ((finished - started) / len(batch) - self._cost)
        for i, item in enumerate(batch):
            item.future.set_result(Row(out.row(i), started, finished))


def _expire(items: list[_Item]) -> None:
    for item in items:
        if item.future.set_running_or_notify_cancel():
            item.future.set_exception(DeadlineExpiredError("the deadline passed while waiting for the network"))
