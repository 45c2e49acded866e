"""One server process as its parent has it: started, read, asked how it is, ended."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import IO

#: The child is asked so, seconds.
_ANSWERS = 5.0

_log = logging.getLogger("exalign_service.processes")


class ServerProcess:
    """A child that serves. It ends with its parent: its standard input is a pipe of the parent's.

    Args:
        command: program and arguments.
        index: which one it is.
        cores: that it may run on; None: all that its parent may.
        forward: takes each line of its log, without its end; called in a thread.
        serving: called once, in a thread, when it has announced where it serves.
    """

    def __init__(
        self,
        command: Sequence[str],
        index: int,
        cores: Collection[int] | None,
        forward: Callable[[bytes], object],
        serving: Callable[[dict[str, str]], object],
    ) -> None:
        self._index, self._forward, self._serving = index, forward, serving
        #: Where it serves, as it announced it; None before.
        self.announced: dict[str, str] | None = None
        #: The last line that was none of its log: why it ended, where it could not start.
        self.last_words = ""
        #: When it was asked to end, on `time.monotonic`; None: it was not.
        self.ending_since: float | None = None
        self._ended = threading.Event()
        if cores is not None:
            os.sched_setaffinity(0, cores)  # of this thread, hence of its child
        # In a group of its own: Ctrl-C reaches the parent, which then ends its children in good order.
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
        )
        self.pid = self._child.pid
        for stream, read in ((self._child.stdout, self._read_announcement), (self._child.stderr, self._read_log)):
            threading.Thread(target=read, args=(stream,), name=f"process {index}", daemon=True).start()
        threading.Thread(target=self._wait, name=f"process {index}", daemon=True).start()

    def wait(self, seconds: float | None) -> int | None:
        """Its exit code, negative for a signal; None where it has not ended within so many seconds."""
        return self._child.returncode if self._ended.wait(seconds) else None

    def terminate(self) -> None:
        """Ask it to end."""
        if self.ending_since is None:
            self.ending_since = time.monotonic()
        if not self._ended.is_set():
            self._child.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        if not self._ended.is_set():
            self._child.kill()

    def trouble(self) -> str | None:
        """Why it is not serving, where it has been and ought to be; None: it serves, or is on its way. Blocks."""
        if self.announced is None:
            return None
        connection = http.client.HTTPConnection(self.announced["metrics_address"], timeout=_ANSWERS)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            state = answer.read().decode("utf-8", "replace").strip()
        except (OSError, http.client.HTTPException) as e:
            return f"it does not answer: {e}"
        finally:
            connection.close()
        return state.removeprefix("not serving: ") if state.startswith("not serving") else None

    def _wait(self) -> None:
        self._child.wait()
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._ended.set()

    def _read_announcement(self, stdout: IO[bytes]) -> None:
        with stdout:
            for line in stdout:
                try:
                    said = json.loads(line)
                except ValueError:
                    continue
                if self.announced is None and isinstance(said, dict) and said.get("event") == "serving":
                    self.announced = {name: said[name] for name in ("address", "metrics_address")}
                    self._serving(self.announced)

    def _read_log(self, stderr: IO[bytes]) -> None:
        with stderr:
            for line in stderr:
                text = line.rstrip(b"\n")
                if text.startswith(b"{") and text.endswith(b"}"):
                    self._forward(text)
                elif text.strip():
                    self.last_words = text.decode("utf-8", "backslashreplace")
                    _log.error("%s", self.last_words, extra={"fields": {"process": self._index}})
