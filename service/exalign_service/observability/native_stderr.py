"""What libraries write to stderr themselves becomes lines of the log: OpenCV, gRPC and OpenVINO know no logging.

The process's stderr is a pipe for that long, and a thread reads it; the log goes to where stderr went before. A
process that crashes takes the last lines in the pipe with it: `faulthandler` says in the log where it was.
"""

from __future__ import annotations

import atexit
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_STDERR = 2

#: Longest time to wait at the end for what is still in the pipe, seconds: a child may hold it open.
_LAST_LINES = 0.5

_log = logging.getLogger("stderr")


@contextmanager
def captured_stderr() -> Iterator[TextIO]:
    """Turn lines on stderr into warnings of the logger ``stderr``: to the end of the process, so that what libraries
    write when they are unloaded is none but JSON. Where the block ends with an error, to the end of the block.

    Yields:
        Where stderr went before, for the log's handler. It stays open.
    """
    # Never closed: the log's handler outlives the block.
    before = os.fdopen(os.dup(_STDERR), "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    reading, writing = os.pipe()
    os.dup2(writing, _STDERR)
    os.close(writing)
    faulthandler.enable(before)
    reader = threading.Thread(target=_read, args=(reading,), name="stderr", daemon=True)
    reader.start()

    def end(descriptor: int) -> None:
        sys.stderr.flush()
        faulthandler.disable()
        os.dup2(descriptor, _STDERR)
        reader.join(_LAST_LINES)

    # What is registered first is done last: after all libraries, which are imported later.
    at_exit = atexit.register(lambda: end(os.open(os.devnull, os.O_WRONLY)))
    try:
        yield before
    except BaseException:
        atexit.unregister(at_exit)
        end(before.fileno())
        raise


def _read(descriptor: int) -> None:
    with os.fdopen(descriptor, encoding="utf-8", errors="backslashreplace") as lines:
        for line in lines:
            if line.strip():
                _log.warning("%s", line.rstrip())
