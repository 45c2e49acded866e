"""Giving memory back to the system."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_SMAPS = Path("/proc/self/smaps")
_MAPPING = re.compile(
    r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) r(?P<writable>[w-])[x-]p [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [1-9]\d*\s+"
    r"(?P<path>.*)"
)

#: <sys/mman.h> of Linux.
_MADV_DONTNEED = 4


def give_memory_back() -> None:
    """Give the system what was freed, and what was read of files; where it can, elsewhere nothing.

    Two fifths of what is resident after a start are pages of libraries: code that imported, or compiled. What is still
    needed is mapped again when it is used, from the system's cache of files: of tables what faces need, and little of
    the compiled network, whose weights OpenVINO has brought into another order for itself.
    """
    from exalign_engine.tables.store import cache_folder  # only here: the command imports nothing heavy at first

    with suppress(OSError, AttributeError):  # no glibc
        libc = ctypes.CDLL(None)
        libc.malloc_trim(0)
        tables = None if (cache := cache_folder()) is None else (cache / "tables").resolve()
        for start, length in unwritten_file_mappings(_SMAPS.read_text("utf-8", "replace"), tables):
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _MADV_DONTNEED)


def give_freed_back() -> None:
    """Give the system what was freed since; where it can, elsewhere nothing. Blocks, for a few milliseconds."""
    with suppress(OSError, AttributeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)


def unwritten_file_mappings(smaps: str, unwritten: Path | None = None) -> Iterator[tuple[int, int]]:
    """Mappings of files of which no page was ever written to, and none will be while they are given back.

    Args:
        smaps: as ``/proc/PID/smaps`` says it.
        unwritten: folder of files that nobody writes to although they are mapped so that one could, as tables are; all
            other files that can be written to are left alone.

    Yields:
        Address and length, bytes.
    """
    mapping = None
    for line in smaps.splitlines():
        if line[:1] in "0123456789abcdef" and (head := line.split(maxsplit=1)) and "-" in head[0]:
            mapping = _MAPPING.match(line)
            if mapping is not None and mapping["writable"] == "w":
                inside = unwritten is not None and Path(mapping["path"]).is_relative_to(unwritten)
                mapping = mapping if inside else None
        elif mapping is not None and line.startswith("Anonymous:") and line.split()[1] == "0":
            start = int(mapping["start"], 16)
            yield start, int(mapping["end"], 16) - start
