"""Logs as JSON, one object a line, on stderr. Nothing of an image is ever logged."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import TextIO

_ours = logging.getLogger("exalign_service")

#: Where `write_now` writes: stderr until `configure` names a stream that is a file.
_descriptor = 2


class JsonFormatter(logging.Formatter):
    """``ts``, ``level`` and ``event``, then the fields given as ``extra={"fields": {...}}``.

    Lines of other packages have their message as the event and their logger's name as ``logger``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        if not record.name.startswith("exalign"):
            line["logger"] = record.name
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send all logs of this process, other packages' and Python's own warnings among them, to one place.

    Args:
        level: least severe level of our own lines, one of `config.LOG_LEVELS`.
        stream: default stderr.
    """
    global _descriptor
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    _ours.setLevel(level.upper())
    if stream is not None:
        _descriptor = stream.fileno()


def write_now(event: str, **fields: object) -> None:
    """An informative line of ours, from a handler of a signal: it interrupts whatever writes just now.

    It is left out where `configure` has asked for more severe lines only.
    """
    if _ours.level != logging.NOTSET and not _ours.isEnabledFor(logging.INFO):
        return
    record = _ours.makeRecord(_ours.name, logging.INFO, "", 0, event, (), None, extra={"fields": fields})
    os.write(_descriptor, f"{JsonFormatter().format(record)}\n".encode())
