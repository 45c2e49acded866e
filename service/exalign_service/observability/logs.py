"""Logs as JSON, one object a line, on stderr. Nothing of an image is ever logged."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO


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


def configure(level: str, stream: TextIO | None = None, process: int | None = None) -> None:
    """Send all logs of this process, other packages' and Python's own warnings among them, to one place.

    Args:
        level: least severe level of our own lines, one of `config.LOG_LEVELS`.
        stream: default stderr.
        process: see `JsonFormatter`.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # Where nobody reads the log any more, a line about that would be the next one that cannot be written.
    logging.raiseExceptions = False
    logging.getLogger("exalign_service").setLevel(level.upper())
