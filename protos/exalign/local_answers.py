"""How a client is answered in its own process, by whatever is installed beside it. Standard library only.

The client looks for an entry point of the group `GROUP` and imports nothing of who registered it. The service registers
`exalign_service.in_process`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

#: Group of entry points (``importlib.metadata``); each names an `Answerer`.
GROUP = "exalign.local_predictor"


class CannotAnswerError(Exception):
    """Nothing can be answered in this process; the message is one line that says why."""


class Answerer(Protocol):
    """Answers the contract in this process for the length of a ``with`` block."""

    def __call__(self, address: str, say: Callable[[str], None]) -> AbstractContextManager[str]:
        """Begin to answer.

        Args:
            address: where to listen: ``unix:/PATH`` in a directory of the caller's own, or ``127.0.0.1:0``.
            say: told in a few words what is being done, from any thread.

        Returns:
            A context manager that gives the address to connect to. On entering it raises `CannotAnswerError`.
        """
