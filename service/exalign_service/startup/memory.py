"""Too little memory has many faces: each library fails in its own words. Here they become one."""

from __future__ import annotations

import resource
from pathlib import Path

#: Share of the limit on address space from which on it counts as used up: libraries give back what they could not use.
_USED_UP = 0.8

#: The libraries alone take so much address space, bytes; with less, some of them abort the process without a word.
_LEAST_ADDRESS_SPACE = 1_000_000_000

#: How the dynamic linker and Python say it.
_WORDS = ("failed to map segment", "allocate memory", "bad_alloc", "can't start new thread")

#: Characters shown of a library's own words.
_SHOWN = 160


def lack_of_memory(error: BaseException) -> str | None:
    """One line where an error comes of too little memory; otherwise None.

    Args:
        error: what ended the start. Where the process has come near its limit on address space (``ulimit -v``), any
            error counts.
    """
    text = next(iter(str(error).strip().splitlines()), "")[:_SHOWN]
    if isinstance(error, MemoryError) or any(words in str(error) for words in _WORDS) or _used_up():
        return f"there is too little memory{f': {text}' if text else ''}"
    return None


def hopeless_limit() -> str | None:
    """One line where the limit on address space is so low that no server has ever started; otherwise None."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or limit >= _LEAST_ADDRESS_SPACE:
        return None
    return f"there is too little memory: {limit:,} bytes of address space, at least {_LEAST_ADDRESS_SPACE:,} are needed"


def _used_up() -> bool:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return False
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:  # no Linux
        return False
    peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmPeak:")), 0)
    return peak * 1024 > _USED_UP * limit
