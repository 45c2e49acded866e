"""What the streams of one caller keep for want of acknowledgements, all together.

Each stream has a bound of its own. With many streams, each with one large result, a caller would hold a multiple of it.
"""

from __future__ import annotations

from collections.abc import Callable


class UnackedBudget:
    """The streams of each caller. For the event loop's thread only.

    Args:
        bound: most bytes of one caller, where more than one of its streams keeps any.
    """

    def __init__(self, bound: int) -> None:
        self.bound = bound
        #: Streams that have joined and not left, by caller.
        self.streams: dict[str, set[UnackedShare]] = {}

    def share(self, caller: str, changed: Callable[[], object]) -> UnackedShare:
        """What a stream keeps.

        Args:
            caller: whose stream it is.
            changed: called when another stream of the caller has given something up.
        """
        return UnackedShare(self, caller, changed)


class UnackedShare:
    """What one stream keeps; made by `UnackedBudget.share`. It counts between `join` and `leave`."""

    def __init__(self, budget: UnackedBudget, caller: str, changed: Callable[[], object]) -> None:
        self._budget, self._caller, self.changed = budget, caller, changed
        #: Bytes, those of an answer that is being made included.
        self.size = 0

    def join(self) -> None:
        """From now on what it keeps counts."""
        self._budget.streams.setdefault(self._caller, set()).add(self)

    def leave(self) -> None:
        """The stream has ended."""
        self.hold(0)
        streams = self._budget.streams.get(self._caller, set())
        streams.discard(self)
        if not streams:
            self._budget.streams.pop(self._caller, None)

    def full(self, expected: int) -> bool:
        """Whether there is no room for so many bytes more. There always is where no other stream keeps anything."""
        others = sum(share.size for share in self._others)
        return others > 0 and others + self.size + expected > self._budget.bound

    def hold(self, size: int) -> None:
        """The stream keeps so many bytes now."""
        less = size < self.size
        self.size = size
        if less:
            for share in self._others:
                share.changed()

    @property
    def _others(self) -> list[UnackedShare]:
        return [share for share in self._budget.streams.get(self._caller, ()) if share is not self]
