"""Writes recordings, in a thread of its own. Whatever becomes of a recording, its session is not disturbed.

Files can be read by their owner alone, and are never read, changed or removed here once they are written.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from prometheus_client import CollectorRegistry

from exalign_service.config.recording import FEATURES, RecordingConfig
from exalign_service.observability.recording_metrics import RecordingMetrics
from exalign_service.recording.session_file import MAGIC, PART, SUFFIX, Header, block

_log = logging.getLogger(__name__)

#: Bytes that may wait to be written; a disk that is slower than that loses the recording, not the session.
MOST_WAITING = 64 * 2**20

#: After so many bytes the directory is looked at again: other processes write there too.
_LOOKED_AFTER = 64 * 2**20

#: So long the end waits for what is still to be written, seconds.
_WRITTEN = 2.0

#: Why a recording ends before its session.
BOUND, DISK, SLOW, FAULT, BUNDLE = REASONS = ("bound", "disk", "slow", "fault", "bundle")


class RecordingObserver(Protocol):
    """Counts what is written. From any thread."""

    def recorded(self, size: int) -> None:
        """So many bytes were written."""

    def recording_stopped(self, reason: str) -> None:
        """A recording ended before its session, or was not begun: one of `REASONS`."""


class Recording:
    """One session's, for one of its streams; made by `Recorder`. From any thread."""

    def __init__(self, recorder: Recorder, name: str) -> None:
        self._recorder, self.name = recorder, name
        #: Whether nothing more is taken; and, for the writer's thread, whether nothing more is written.
        self.stopped = self.ended = False

    def append(self, make: Callable[[], bytes], size: int, *, last: bool = False) -> None:
        """Have a block written.

        Args:
            make: makes it, in the writer's thread.
            size: about what is held until then, bytes.
            last: nothing comes after it.
        """
        if not self.stopped:
            self._recorder.put(self, make, size, last=last)

    def stop(self, reason: str) -> None:
        """End it before its session, for one of `REASONS`, after what waits to be written."""
        if not self.stopped:
            self._recorder.stop(self, reason)


class Recorder:
    """All recordings of a server.

    Args:
        config: where, and how much; there is a directory.
        observer: see `RecordingObserver`.
        write: writes bytes to a descriptor, see `os.write`.
    """

    def __init__(
        self,
        config: RecordingConfig,
        observer: RecordingObserver,
        write: Callable[[int, memoryview], int] = os.write,
    ) -> None:
        assert config.record_sessions is not None  # noqa: S101  # its caller has looked
        self.pictures, self.what = config.pictures, config.record or FEATURES
        self._directory, self._max_bytes = config.record_sessions, config.max_bytes
        self._observer, self._write = observer, write
        self._lock, self._sizes = threading.Lock(), threading.Lock()
        #: Bytes that wait to be written. Guarded by _lock.
        self._waiting = 0
        #: Bytes in the directory when it was looked at, and written since. Guarded by _sizes.
        self._found, self._since = 0, _LOOKED_AFTER
        self._jobs = SimpleQueue[Callable[[], object] | None]()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def begin(self, header: Header) -> str:
        """Begin a recording. Blocks.

        Returns:
            Its name, for `stream`; empty where it cannot be recorded: the log says why.
        """
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        start, path = MAGIC + block(header.encode()), self._directory / f"{name}{PART}"
        try:
            if not self._has_room(len(start)):
                self._stopped(name, BOUND)
                return ""
            with _opened(path, os.O_CREAT | os.O_EXCL) as descriptor:
                self._write_all(descriptor, start)
        except OSError as e:
            self._stopped(name, DISK, e)
            with suppress(OSError):
                path.unlink()
            return ""
        _log.info("recording", extra={"fields": {"session": header.session, "file": path.name, "record": self.what}})
        return name

    def stream(self, name: str) -> Recording | None:
        """The recording of this name, for a stream of its session; None where there is no name."""
        return Recording(self, name) if name else None

    def put(self, recording: Recording, make: Callable[[], bytes], size: int, *, last: bool) -> None:
        """See `Recording.append`."""
        with self._lock:
            full = self._waiting + size > MOST_WAITING and self._waiting > 0
            if not full:
                self._waiting += size
        if full:
            self.stop(recording, SLOW)
        else:
            self._jobs.put(lambda: self._append(recording, make, size, last=last))

    def stop(self, recording: Recording, reason: str) -> None:
        """See `Recording.stop`."""
        recording.stopped = True
        self._jobs.put(lambda: self._end(recording, reason))

    def close(self, timeout: float = _WRITTEN) -> None:
        """Write what waits, and stop. Blocks, for so many seconds at most."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _append(self, recording: Recording, make: Callable[[], bytes], size: int, *, last: bool) -> None:
        """In the writer's thread."""
        try:
            if recording.ended:
                return
            data = block(make())
            if not self._has_room(len(data)):
                self._end(recording, BOUND)
                return
            with _opened(self._path(recording)) as descriptor:
                before = os.fstat(descriptor).st_size
                try:
                    self._write_all(descriptor, data)
                except OSError:
                    os.ftruncate(descriptor, before)
                    raise
            if last:
                self._finish(recording)
        except OSError as e:
            if self._path(recording).with_suffix("").exists():
                recording.stopped = recording.ended = True  # in another stream of the session
                return
            self._end(recording, DISK, e)
        except Exception:  # noqa: BLE001  # a fault of ours costs this recording, and no other
            _log.exception("recording failed")
            self._end(recording, FAULT)
        finally:
            with self._lock:
                self._waiting -= size

    def _end(self, recording: Recording, reason: str, error: OSError | None = None) -> None:
        """End a recording before its session ends."""
        self._finish(recording)
        self._stopped(recording.name, reason, error)

    def _finish(self, recording: Recording) -> None:
        recording.stopped = recording.ended = True
        path = self._path(recording)
        try:
            path.rename(path.with_suffix(""))
        except OSError as e:
            _log.warning("recording not renamed", extra={"fields": {"file": path.name, "error": e.strerror}})

    def _stopped(self, name: str, reason: str, error: OSError | None = None) -> None:
        fields = {"file": f"{name}{SUFFIX}", "reason": reason}
        if error is not None:
            fields["error"] = error.strerror or str(error)
        _log.warning("recording stopped", extra={"fields": fields})
        self._observer.recording_stopped(reason)

    def _path(self, recording: Recording) -> Path:
        return self._directory / f"{recording.name}{PART}"

    def _has_room(self, size: int) -> bool:
        """Whether so many bytes more are within the bound."""
        with self._sizes:
            if self._since >= _LOOKED_AFTER:
                with os.scandir(self._directory) as entries:
                    self._found, self._since = sum(map(_size, entries)), 0
            return self._found + self._since + size <= self._max_bytes

    def _write_all(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._write(descriptor, rest) :]
        with self._sizes:
            self._since += len(data)
        self._observer.recorded(len(data))


def open_recorder(config: RecordingConfig, registry: CollectorRegistry) -> Recorder | None:
    """What records the sessions of a server; None where nothing is recorded."""
    if config.record_sessions is None:
        return None
    return Recorder(config, RecordingMetrics(registry, REASONS, config.max_bytes))


def _size(entry: os.DirEntry[str]) -> int:
    if not entry.name.endswith((SUFFIX, PART)):
        return 0
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # renamed, or removed, since it was listed
        return 0


@contextmanager
def _opened(path: Path, more: int = 0) -> Iterator[int]:
    """A file to append to, as a descriptor; for its owner alone, and never through a link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | more, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
