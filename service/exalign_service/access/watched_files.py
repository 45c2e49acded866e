"""Files that are read again when they change, and never replaced by ones that are wrong."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from exalign_service.config.start_checks import StartError

_log = logging.getLogger(__name__)

T = TypeVar("T")

#: What a file is now: times of its data and of its entry, size, number. Another file under its name has another.
_Signature = tuple[tuple[int, int, int, int] | None, ...]


class ReloadObserver(Protocol):
    """Counts files that were read again. Called from any thread."""

    def file_reloaded(self, what: str, *, good: bool) -> None:
        """A changed file was read: it is in use now, or it was wrong and the one before stays."""


class WatchedFiles(Generic[T]):
    """What is made of some files. From any thread.

    Args:
        what: the files in a word, for log and metric.
        paths: the files.
        load: reads them.
        observer: see `ReloadObserver`.
        interval: they are looked at so often, seconds; 0: each time.
        clock: seconds, monotonic.

    Raises:
        StartError: from ``load``: they are wrong.
    """

    def __init__(
        self,
        what: str,
        paths: Sequence[Path],
        load: Callable[[], T],
        observer: ReloadObserver,
        interval: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._paths, self._load, self._observer = what, tuple(paths), load, observer
        self._interval, self._clock, self._lock = interval, clock, threading.Lock()
        self._seen = _signature(self._paths)
        self._value, self._looked = load(), clock()

    def current(self) -> T:
        """What the newest good version of the files says."""
        if self._interval and self._clock() - self._looked < self._interval:
            return self._value
        with self._lock:
            self._looked = self._clock()
            seen = _signature(self._paths)
            if seen != self._seen:
                self._reload(seen)
            return self._value

    def _reload(self, seen: _Signature) -> None:
        try:
            value = self._load()
        except StartError as e:
            self._seen = seen  # what is wrong is said once
            self._observer.file_reloaded(self._what, good=False)
            _log.error("not reloaded", extra={"fields": {"what": self._what, "error": str(e)}})
            return
        if _signature(self._paths) != seen:
            return  # it was changed while it was read: next time
        self._seen, self._value = seen, value
        self._observer.file_reloaded(self._what, good=True)
        _log.info("reloaded", extra={"fields": {"what": self._what}})


def read_file(setting: str, path: Path) -> bytes:
    """The bytes of a file that a setting names.

    Raises:
        StartError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as e:
        raise StartError(f"{setting} is {str(path)!r}, cannot be read: {e.strerror or e}") from e


def _signature(paths: Sequence[Path]) -> _Signature:
    found: list[tuple[int, int, int, int] | None] = []
    for path in paths:
        try:
            s = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((s.st_mtime_ns, s.st_ctime_ns, s.st_size, s.st_ino))
    return tuple(found)
