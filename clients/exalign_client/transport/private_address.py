"""An address at which nobody but this user can reach a server of ours."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Where no private socket can be made: a free port of this machine.
LOOPBACK = "127.0.0.1:0"

#: Paths that mean the same in a gRPC target: no blank, no % and no #.
_PLAIN = re.compile(r"/[A-Za-z0-9/._~+-]*")

#: Longest path of a directory for a socket, bytes: the system takes sockets of about 100, some systems fewer.
_LONGEST = 70


@contextmanager
def private_address() -> Iterator[str]:
    """A Unix socket in a new directory that only this user can enter, for the length of the block.

    The directory for temporary files is used unless its path is too long for a socket or holds what a gRPC target
    gives another meaning; then those that systems usually have.

    Yields:
        ``unix:/PATH``; `LOOPBACK` where there is no such directory.
    """
    directory = _private_directory()
    if directory is None:
        yield LOOPBACK
        return
    try:
        yield f"unix:{directory / 's'}"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _private_directory() -> Path | None:
    if os.name == "nt":  # gRPC for Python has no Unix sockets there
        return None
    for parent in _parents():
        if _PLAIN.fullmatch(parent) and len(parent) <= _LONGEST:
            try:
                return Path(tempfile.mkdtemp(prefix="exalign-", dir=parent))  # made with mode 0700
            except OSError:
                continue
    return None


def _parents() -> Iterator[str]:
    try:
        yield tempfile.gettempdir()
    except OSError:  # there is none that can be written to
        return
    yield from filter(None, (os.environ.get("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp"))  # noqa: S108  # mkdtemp is safe
