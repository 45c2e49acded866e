"""TensorRT's log, kept instead of printed.

TensorRT uses the first logger that a process gives it for good, so there is one for each module, emptied per build.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

_log = logging.getLogger(__name__)

#: Rows kept; an engine of a small network writes a few thousand.
_KEPT = 20_000

_lock = threading.Lock()
_logs: dict[str, EngineLog] = {}


@dataclass
class EngineLog:
    """What TensorRT said since the last `clear`.

    Attributes:
        handler: the ``ILogger`` to be handed to TensorRT.
        rows: (severity's name, text), oldest first.
    """

    handler: Any = None
    rows: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def clear(self) -> None:
        """Forget everything."""
        self.rows.clear()

    def first_error(self) -> str:
        """The first error in one line: later ones mostly follow from it. Empty if there was none."""
        for severity, text in list(self.rows):
            # "Thread context has not been set" is written at that severity by every RTX build that goes well.
            if severity == "ERROR" or (severity == "INTERNAL_ERROR" and "Thread context" not in text):
                return one_line(text)
        return ""


def engine_log(api: Any) -> EngineLog:
    """The log of a TensorRT module, the same one at every call.

    Args:
        api: the module.
    """
    with _lock:
        if api.__name__ not in _logs:
            log = EngineLog()

            class Handler(api.ILogger):  # type: ignore[misc]  # the module is a parameter
                """Keeps every row; warnings and worse go to Python's log at level debug too."""

                def __init__(self) -> None:
                    api.ILogger.__init__(self)

                def log(self, severity: Any, message: str) -> None:
                    log.rows.append((severity.name, message))
                    if severity.name in ("INTERNAL_ERROR", "ERROR", "WARNING"):
                        _log.debug("%s: %s", severity.name, message)

            log.handler = Handler()
            _logs[api.__name__] = log
        return _logs[api.__name__]


def one_line(text: str) -> str:
    """TensorRT's words without line breaks and without the places in its own source."""
    lines = [line.strip() for line in text.strip().splitlines()]
    kept = [line for line in lines if line and not line.startswith("[checkMacros.cpp")]
    return re.sub(r"\.? In \S+ at /_src/[^)\s]*", "", " ".join(kept or lines))
