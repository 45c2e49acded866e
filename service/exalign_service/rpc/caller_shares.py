"""Who keeps how much of something bounded, so that what must go is taken from whoever keeps most of it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field


@dataclass
class _Holding:
    """What one caller keeps, least recently used first.

    Attributes:
        entries: size in bytes, and when it was last used, by key.
        size: bytes, of all of them.
    """

    entries: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict)
    size: int = 0


class CallerShares:
    """Keys, each with a caller and a size. For the event loop's thread only.

    Where n callers keep something, one that keeps no more than an n-th of the whole never loses anything to another.
    """

    def __init__(self) -> None:
        self._callers: dict[str, str] = {}
        self._holdings: dict[str, _Holding] = {}
        self._uses = 0
        #: Bytes, of all callers.
        self.size = 0

    def __len__(self) -> int:
        return len(self._callers)

    def __contains__(self, key: str) -> bool:
        return key in self._callers

    def add(self, key: str, caller: str, size: int) -> None:
        """A caller keeps something new, which is its most recently used.

        Args:
            key: not there yet.
            caller: whose it is.
            size: bytes.
        """
        self._callers[key] = caller
        holding = self._holdings.setdefault(caller, _Holding())
        holding.entries[key] = size, self._next_use()
        holding.size += size
        self.size += size

    def touch(self, key: str) -> None:
        """Something becomes the most recently used of its caller, whoever uses it."""
        entries = self._holdings[self._callers[key]].entries
        entries[key] = entries[key][0], self._next_use()
        entries.move_to_end(key)

    def resize(self, key: str, size: int) -> None:
        """Something takes more or fewer bytes than before; when it was last used stays.

        Args:
            key: there.
            size: bytes, from now on.
        """
        holding = self._holdings[self._callers[key]]
        before, used = holding.entries[key]
        holding.entries[key] = size, used
        holding.size += size - before
        self.size += size - before

    def remove(self, key: str) -> None:
        """Something goes; nothing happens where it is not there."""
        caller = self._callers.pop(key, None)
        if caller is None:
            return
        holding = self._holdings[caller]
        size, _ = holding.entries.pop(key)
        holding.size -= size
        self.size -= size
        if not holding.entries:
            del self._holdings[caller]

    def clear(self) -> None:
        """Everything goes."""
        self._callers.clear()
        self._holdings.clear()
        self.size = 0

    def size_of(self, caller: str) -> int:
        """Bytes that a caller keeps."""
        holding = self._holdings.get(caller)
        return 0 if holding is None else holding.size

    def caller_of(self, key: str) -> str:
        """Whose something is that is there."""
        return self._callers[key]

    def oldest_of(self, caller: str) -> str:
        """The least recently used of a caller that keeps something."""
        return next(iter(self._holdings[caller].entries))

    def first_to_go(self, *, by_size: bool) -> str:
        """The least recently used of the caller that keeps most; of several such callers, the least recently used.

        Args:
            by_size: whether most is in bytes; otherwise it is in number.
        """

        def rank(holding: _Holding) -> tuple[int, int]:
            _, used = next(iter(holding.entries.values()))
            return (holding.size if by_size else len(holding.entries)), -used

        return next(iter(max(self._holdings.values(), key=rank).entries))

    def _next_use(self) -> int:
        self._uses += 1
        return self._uses
