"""The threads of a pool. They go on whatever is raised in them: nobody would miss one that had ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from exalign_service.observability.logs import Seldom

_log = logging.getLogger(__name__)

#: So long a thread rests after a failure, seconds: it may fail again at once.
_REST = 0.05


def start_workers(
    name: str, count: int, step: Callable[[], bool], first: Callable[[], object] | None = None
) -> list[threading.Thread]:
    """Start threads that call ``step`` until it returns False. Daemons: work that never ends must not keep the process.

    Args:
        name: of the threads, before their numbers.
        count: how many.
        step: waits for work and does it. What it raises is logged, at most once a second.
        first: is called in each thread before its work.
    """
    failures = Seldom(1.0)

    def work() -> None:
        if first is not None:
            first()
        while True:
            try:
                if not step():
                    return
            except BaseException as e:  # noqa: BLE001  # SystemExit as well: it would end the thread without a word
                if failures.due():
                    _log.error("a worker failed", exc_info=e, extra={"fields": {"left_out": failures.left_out}})
                time.sleep(_REST)

    threads = [threading.Thread(target=work, name=f"{name}-{i}", daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    return threads


def error_of(raised: BaseException) -> Exception:
    """What to tell who waits for work that raised this: on the event loop, SystemExit would end the server."""
    if isinstance(raised, Exception):
        return raised
    error = RuntimeError(f"a worker was ended by {type(raised).__name__}")
    error.__cause__ = raised
    return error
