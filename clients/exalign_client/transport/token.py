"""The bearer token that every call brings."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.transport.this_machine import is_this_machine

#: A token, or what gives the newest one; it may be asynchronous for `AsyncClient`.
Token = str | Callable[[], str] | Callable[[], Awaitable[str]]

Headers = tuple[tuple[str, str], ...]


class BearerToken:
    """A token and where it may go.

    Args:
        token: None: none is sent.
        address: of the server.
        encrypted: whether the connection is.

    Raises:
        InvalidRequestError: whoever is on the way to the server would read it.
    """

    def __init__(self, token: Token | None, address: str, *, encrypted: bool) -> None:
        if token is not None and not encrypted and not address.startswith("unix:") and not is_this_machine(address):
            text = "is not sent to another machine without TLS, where others can read it: set tls"
            raise InvalidRequestError([Violation("token", text)])
        self._token = token
        #: Those of the last `prepare`.
        self.latest: Headers = ()

    def headers(self) -> Headers:
        """Metadata of the next call; asks for the token."""
        if self._token is None:
            return ()
        return _headers(self._token if isinstance(self._token, str) else self._token())

    async def prepare(self) -> Headers:
        """`headers`, where the token may be asynchronous; one that is not is asked for in a thread."""
        if self._token is not None:
            token: object = self._token
            if inspect.iscoroutinefunction(token):
                token = await token()
            elif callable(token):
                token = await asyncio.to_thread(token)
                token = await token if inspect.isawaitable(token) else token
            self.latest = _headers(token)
        return self.latest


def _headers(token: object) -> Headers:
    """Metadata with a token.

    Raises:
        InvalidRequestError: it is no text that a header can hold. The error does not show it.
    """
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidRequestError([Violation("token", "must be a text of printable ASCII without blanks")])
    return (("authorization", f"Bearer {token}"),)
