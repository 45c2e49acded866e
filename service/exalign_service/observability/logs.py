"""Logs as JSON, one object a line, on stderr. Nothing of an image is ever logged."""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

#: What Python itself reports that nobody catches.
_python = logging.getLogger("python")


class JsonFormatter(logging.Formatter):
    """``ts``, ``level`` and ``event``, then the fields given as ``extra={"fields": {...}}``.

    Lines of other packages have their message as the event and their logger's name as ``logger``.

    Args:
        process: which of several it is, as the field of that name; None: the only one.
    """

    def __init__(self, process: int | None = None) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if self._process is not None:
            line["process"] = self._process
        if not record.name.startswith("exalign"):
            line["logger"] = record.name
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines; those that cannot be written are counted, and cost nobody his call."""

    #: Of this process.
    lost = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's own name
        """See `logging.Handler`. Nothing is written about it: that would be the next line that cannot be."""
        LineHandler.lost += 1


def lines_lost() -> int:
    """Lines of this process that could not be written."""
    return LineHandler.lost


class Seldom:
    """Lets one line pass in a while, of those that would come by the thousand. From any thread.

    Args:
        seconds: between two lines.
        clock: seconds, monotonic.

    Attributes:
        left_out: lines that did not pass before the last that did.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock, self._lock = seconds, clock, threading.Lock()
        self._next, self._waiting = -math.inf, 0
        self.left_out = 0

    def due(self) -> bool:
        """Whether a line may pass now; otherwise it is counted."""
        with self._lock:
            now = self._clock()
            if now < self._next:
                self._waiting += 1
                return False
            self._next = now + self._seconds
            self.left_out, self._waiting = self._waiting, 0
            return True


def configure(level: str, stream: TextIO | None = None, process: int | None = None) -> None:
    """Send all logs of this process, other packages' and Python's own warnings among them, to one place.

    Args:
        level: least severe level of our own lines, one of `config.LOG_LEVELS`.
        stream: default stderr.
        process: see `JsonFormatter`.
    """
    handler = LineHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # Where nobody reads the log any more, a line about that would be the next one that cannot be written.
    logging.raiseExceptions = False
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_of_thread
    logging.getLogger("exalign_service").setLevel(level.upper())


def _log_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    error = unraisable.exc_value
    _python.error("%s", unraisable.err_msg or "exception ignored", exc_info=error, extra=_about(unraisable.object))


def _log_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:
        _python.error("a thread failed", exc_info=args.exc_value, extra=_about(args.thread and args.thread.name))


def _about(subject: object) -> dict[str, dict[str, str]]:
    return {"fields": {"about": str(subject)}}
