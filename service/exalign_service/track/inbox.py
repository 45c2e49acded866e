"""What a stream has received and not yet answered: bounded, in order; LIVE drops a frame for a newer one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from exalign_service.methods.stage_clock import StageClock
from exalign_service.track.requests import RequestedFrame, RequestedPastEvidence

#: Messages read ahead of the one that is worked on.
READ_AHEAD = 4


@dataclass(frozen=True)
class ReceivedFrame:
    """A frame, and how it came.

    Attributes:
        requested: the frame.
        fresh: newer than all before it; otherwise it was, or should have been, sent before.
        clock: started when it arrived.
        skipped: indices of frames that it replaces.
    """

    requested: RequestedFrame
    fresh: bool
    clock: StageClock = field(default_factory=StageClock)
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True)
class HalfClosed:
    """The client has half-closed the stream."""


@dataclass(frozen=True)
class Failed:
    """The stream must end with this error once what came before it is answered."""

    error: Exception


Item = ReceivedFrame | RequestedPastEvidence | HalfClosed | Failed


class Inbox:
    """The queue between the task that reads and the task that answers. For the event loop's thread only.

    Args:
        live: a fresh frame takes the place of one that waits.
        stalled: whether fresh frames must wait for acknowledgements.
        most_frames: messages held while stalled: acknowledgements may stand behind so many frames.
        most_bytes: what they may take then, bytes.
    """

    def __init__(self, live: bool, stalled: Callable[[], bool], most_frames: int, most_bytes: int) -> None:
        self._live, self._stalled = live, stalled
        self._most_frames, self._most_bytes = most_frames, most_bytes
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._filled, self._freed = asyncio.Event(), asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether something can be taken now."""
        return bool(self._items) and not self._must_wait(self._items[0])

    @property
    def full(self) -> bool:
        """Whether nothing more should be read from the client."""
        if len(self._items) < READ_AHEAD:
            return False
        # What would end the stall may be behind more frames.
        return not (self._stalled() and len(self._items) < self._most_frames and self._bytes < self._most_bytes)

    def put(self, item: Item) -> None:
        """Add what was received."""
        if self._live and isinstance(item, ReceivedFrame) and item.fresh:
            rest: deque[Item] = deque()
            for old in self._items:
                if isinstance(old, ReceivedFrame) and old.fresh:
                    self._bytes -= old.requested.size_bytes
                    item = replace(item, skipped=(*old.skipped, old.requested.index))
                else:
                    rest.append(old)
            self._items = rest
        self._items.append(item)
        self._bytes += _size(item)
        self.notify()

    async def wait_for_room(self) -> None:
        """Wait until something more may be read."""
        while self.full:
            self._freed.clear()
            await self._freed.wait()

    async def take(self) -> Item:
        """The next item; waits for it, and for acknowledgements where it needs them."""
        while not self.ready:
            self._filled.clear()
            await self._filled.wait()
        item = self._items.popleft()
        self._bytes -= _size(item)
        self._freed.set()
        return item

    def notify(self) -> None:
        """Wake the tasks that wait: there is an item, or an acknowledgement."""
        self._filled.set()
        self._freed.set()

    def _must_wait(self, item: Item) -> bool:
        return isinstance(item, ReceivedFrame) and item.fresh and self._stalled()


def _size(item: Item) -> int:
    if isinstance(item, ReceivedFrame):
        return item.requested.size_bytes
    return item.size_bytes if isinstance(item, RequestedPastEvidence) else 0
