"""What long work calls as it goes on, so that whoever waits for it can stop it.

A `Check` is handed down to every loop that may take long, and called between parts of it that take at most a few
hundredths of a second. It returns, or raises what the work is to end with: then nothing that was asked for is answered,
and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: Returns where the work is to go on, and raises where it is not.
Check = Callable[[], object]


def unchecked() -> None:
    """The `Check` of work that nobody stops."""


def checked(parts: Sequence[T], check: Check) -> Iterator[T]:
    """The parts, with a check before each."""
    for part in parts:
        check()
        yield part
