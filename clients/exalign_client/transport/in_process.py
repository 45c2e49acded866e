"""Answers in this process, by what is installed beside the client: see `exalign.local_answers`.

Nothing of it is imported by name, so that a process that only calls stays free of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points

from exalign.local_answers import GROUP, Answerer, CannotAnswerError
from exalign_client.errors import LocalServerError
from exalign_client.transport.local_server import local_server, require_server
from exalign_client.transport.private_address import private_address


@contextmanager
def answered_here(say: Callable[[str], None]) -> Iterator[str]:
    """Have calls answered without a server that somebody else started, for the length of a ``with`` block.

    By an entry point in this process. Where none is registered, as in a folder of sources that was never installed, by
    a process of its own.

    Args:
        say: told in a few words what is being done, from any thread.

    Yields:
        The address to connect to.

    Raises:
        MissingExtraError: the server's packages are not installed here.
        LocalServerError: it cannot answer.
    """
    require_server("answering without a server")
    registered = next(iter(entry_points(group=GROUP)), None)
    if registered is None:
        say("starting a server for this command")
        with local_server() as server:
            yield server.address
        return
    answer: Answerer = registered.load()
    try:
        with private_address() as address, answer(address, say) as connected:
            yield connected
    except CannotAnswerError as error:
        raise LocalServerError(f"cannot answer in this process: {error}") from error
