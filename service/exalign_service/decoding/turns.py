"""What waits, by caller: callers take turns, and a caller's own things stay in their order.

Simpler than `exalign_service.inference.fair_queue`, which weighs by time: what waits here is few and dear, nobody works
by it for more than half, and the next one can be looked at without being taken.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Items of several callers. For one thread."""

    def __init__(self) -> None:
        # Callers stand in the order in which they are served next; none without an item.
        self._items: OrderedDict[Hashable, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        """Items of all callers."""
        return sum(len(items) for items in self._items.values())

    def put(self, caller: Hashable, item: T) -> None:
        """Add an item behind its caller's others."""
        self._items.setdefault(caller, deque()).append(item)

    def remove(self, caller: Hashable, item: T) -> None:
        """Take an item out, wherever it stands; nothing happens where it is gone."""
        items = self._items.get(caller, deque())
        if item in items:
            items.remove(item)
            if not items:
                del self._items[caller]

    def first(self, may: Callable[[Hashable, T], bool]) -> tuple[Hashable, T] | None:
        """The next item, of the first caller whose next item may go; it stays.

        Args:
            may: whether a caller's item may go now.
        """
        return next(((caller, items[0]) for caller, items in self._items.items() if may(caller, items[0])), None)

    def take(self, caller: Hashable) -> T:
        """Take a caller's next item out; the caller goes to the end of the line."""
        items = self._items.pop(caller)
        item = items.popleft()
        if items:
            self._items[caller] = items
        return item
