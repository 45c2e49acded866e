"""Several server processes and their parent, which starts them, replaces those that die or are stuck, and ends them.

Each child has ports, and where the system knows of affinities cores, of its own. The parent imports nothing heavy.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from queue import SimpleQueue
from typing import BinaryIO

from exalign_service.config.ports import address_of
from exalign_service.config.schema import ServerConfig
from exalign_service.rpc.lifecycle import GONE_AFTER
from exalign_service.startup.server_process import ServerProcess

_log = logging.getLogger("exalign_service.processes")

#: A process is asked so often how it is, seconds.
_ASKED_EVERY = 1.0

#: A process that has died is started again after the first of these, and after twice as long each time that it dies
#: again, up to the second; one that has lived for the third begins anew. Seconds.
_FIRST_PAUSE, _LONGEST_PAUSE, _HEALTHY = 1.0, 30.0, 60.0

#: Time beyond the bound of its own end after which a process is killed, seconds.
_KILLED_AFTER = 0.3


class ProcessFailedError(Exception):
    """A process could not start; one line says why."""


class Supervisor:
    """The parent of all server processes.

    Args:
        config: of the server; `processes` is at least 2.
        command: the program as it was called, with all of its arguments.
        log: where the lines of the children's logs go.
    """

    def __init__(self, config: ServerConfig, command: Sequence[str], log: BinaryIO) -> None:
        self._log, self._log_lock = log, threading.Lock()
        #: What has happened: an exception where a process could not start, None where one serves for the first time,
        #: or the reason to stop.
        self._events = SimpleQueue[Exception | str | None]()
        groups = core_groups(config.processes)
        self._keepers = [
            _Keeper(config, command, index, None if groups is None else groups[index], self._forward, self._events.put)
            for index in range(config.processes)
        ]

    def stop(self, reason: str) -> None:
        """End all processes; a second time, cut short what they still finish. From any thread."""
        for keeper in self._keepers:
            keeper.stop()
        self._events.put(reason)

    def run(self) -> bool:
        """Serve until `stop`.

        Returns:
            Whether every process has ended in good order.

        Raises:
            ProcessFailedError: one could not start; the others have been ended.
        """
        for keeper in self._keepers:
            keeper.start()
        try:
            self._serve()
        finally:
            for keeper in self._keepers:
                keeper.stop_once()
            for keeper in self._keepers:
                keeper.join()
        _log.info("stopped")
        return all(keeper.code == 0 for keeper in self._keepers)

    def still_running(self) -> list[str]:
        """The processes that have not ended."""
        return [f"process {keeper.index}" for keeper in self._keepers if keeper.is_alive()]

    def _serve(self) -> None:
        waiting = len(self._keepers)
        while True:
            event = self._events.get()
            if isinstance(event, Exception):
                _log.error("cannot start", extra={"fields": {"error": str(event)}})
                raise event
            if event is not None:
                _log.info("stopping", extra={"fields": {"reason": event}})
                return
            waiting -= 1
            if waiting == 0:
                said = [{"index": keeper.index, **keeper.addresses} for keeper in self._keepers]
                _log.info("serving", extra={"fields": {"processes": said}})
                print(json.dumps({"event": "serving", "processes": said}), flush=True)

    def _forward(self, line: bytes) -> None:
        with self._log_lock:
            self._log.write(line + b"\n")
            self._log.flush()


class _Keeper(threading.Thread):
    """Keeps one process alive."""

    def __init__(
        self,
        config: ServerConfig,
        command: Sequence[str],
        index: int,
        cores: Collection[int] | None,
        forward: Callable[[bytes], object],
        report: Callable[[Exception | None], object],
    ) -> None:
        super().__init__(name=f"keeper {index}", daemon=True)
        self.index, self._command, self._cores = index, command, cores
        self._forward, self._report = forward, report
        self._grace, self._restart_after = config.shutdown_grace, config.watching.restart_after
        #: Where it serves: as configured, and as announced once it has served. The ports stay when it is replaced.
        self.addresses = {name: address_of(getattr(config, name), index) for name in ("address", "metrics_address")}
        self.code: int | None = 0
        self._served, self._starts = False, 0
        self._lock = threading.Lock()
        # Guarded by _lock.
        self._process: ServerProcess | None = None
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End the process, and start no other."""
        with self._lock:
            self._stopping.set()
            if self._process is not None:
                self._process.terminate()

    def stop_once(self) -> None:
        """`stop`, unless that has been done."""
        if not self._stopping.is_set():
            self.stop()

    def run(self) -> None:
        """Until `stop`."""
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            reason = self._once()
            if self._stopping.is_set():
                return
            if not self._served:
                self._report(ProcessFailedError(f"process {self.index}: {reason.removeprefix('exalign-server: ')}"))
                return
            if time.monotonic() - began >= _HEALTHY:
                pause = _FIRST_PAUSE
            fields = {"process": self.index, "reason": reason, "again_in_seconds": pause}
            _log.error("process ended", extra={"fields": fields})
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _once(self) -> str:
        """From the start of a process to its end: why it ended."""
        try:
            process = self._start()
        except OSError as e:
            self.code = None
            return f"it cannot be started: {e}"
        if process is None:
            return "it is not wanted"
        self.code = self._watch(process)
        return process.last_words or f"it ended with {self.code}"

    def _start(self) -> ServerProcess | None:
        flags = {"--processes": "1", "--process-index": str(self.index), "--process-restarts": str(self._starts)}
        flags |= {f"--{name.replace('_', '-')}": value for name, value in self.addresses.items()}
        words = (word for pair in flags.items() for word in pair)
        with self._lock:
            if self._stopping.is_set():
                return None
            self._process = ServerProcess(
                [*self._command, *words, "--exit-with-stdin"], self.index, self._cores, self._forward, self._is_serving
            )
            self._starts += 1
            fields = {"process": self.index, "pid": self._process.pid, "cores": sorted(self._cores or ())}
            _log.info("process started", extra={"fields": fields})
            return self._process

    def _is_serving(self, announced: dict[str, str]) -> None:
        self.addresses = announced
        if not self._served:
            self._served = True
            self._report(None)

    def _watch(self, process: ServerProcess) -> int:
        """Until it has ended, by itself or because it must: its exit code."""
        troubled_since: float | None = None
        while (code := process.wait(_ASKED_EVERY)) is None:
            if self._stopping.is_set():
                return self._end(process)
            reason = process.trouble()
            now, fields = time.monotonic(), {"process": self.index, "reason": reason}
            if reason is None:
                troubled_since = None
                continue
            if troubled_since is None:
                troubled_since = now
                _log.error("process not serving", extra={"fields": fields})
            if now - troubled_since >= self._restart_after:
                _log.error("process replaced", extra={"fields": fields})
                process.terminate()
                return self._end(process)
        return code

    def _end(self, process: ServerProcess) -> int:
        """Wait for a process that was told to end; kill it where it does not."""
        now = time.monotonic()
        since = now if process.ending_since is None else process.ending_since
        code = process.wait(max(since + self._grace + GONE_AFTER + _KILLED_AFTER - now, 0.0))
        if code is None:
            _log.error("process killed", extra={"fields": {"process": self.index, "pid": process.pid}})
            process.kill()
            code = process.wait(None)
        assert code is not None  # noqa: S101  # it was waited for
        return code


def core_groups(processes: int) -> list[list[int]] | None:
    """The cores that this process may run on, dealt to several in groups; None where the system does not say.

    With fewer cores than processes some share one.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    count = len(cores)
    if count < processes:
        return [[cores[index % count]] for index in range(processes)]
    return [cores[index * count // processes : (index + 1) * count // processes] for index in range(processes)]


def command_of(argv: Sequence[str] | None) -> list[str]:
    """The program as it was called.

    Args:
        argv: arguments after the program's name; None: those of this process.
    """
    if argv is None:
        return [sys.executable, *sys.orig_argv[1:]]
    return [sys.executable, "-m", f"{__name__.partition('.')[0]}.cli", *argv]
