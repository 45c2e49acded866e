"""Giving memory back to the system."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_SMAPS = Path("/proc/self/smaps")
_MAPPING = re.compile(r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) r-[x-]p [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [1-9]")

#: <sys/mman.h> of Linux.
_MADV_DONTNEED = 4


def give_memory_back() -> None:
    """Give the system what was freed, and what was read of files; where it can, elsewhere nothing.

    Two fifths of what is resident after a start are pages of libraries: code that imported, or compiled. What is still
    needed is mapped again when it is used, from the system's cache of files.
    """
    with suppress(OSError, AttributeError):  # no glibc
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        for start, length in unwritten_file_mappings(_SMAPS.read_text("ascii", "replace")):
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _MADV_DONTNEED)


def unwritten_file_mappings(smaps: str) -> Iterator[tuple[int, int]]:
    """Mappings of files that cannot be written to, and of which no page was ever.

    Args:
        smaps: as ``/proc/PID/smaps`` says it.

    Yields:
        Address and length, bytes.
    """
    mapping = None
    for line in smaps.splitlines():
        if line[:1] in "0123456789abcdef" and (head := line.split(maxsplit=1)) and "-" in head[0]:
            mapping = _MAPPING.match(line)
        elif mapping is not None and line.startswith("Anonymous:") and line.split()[1] == "0":
            start = int(mapping["start"], 16)
            yield start, int(mapping["end"], 16) - start
