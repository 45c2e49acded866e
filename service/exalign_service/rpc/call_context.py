"""The call that is being handled: its id and its deadline, for the code that runs inside it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from exalign_service.observability.spans import CallTrace, Span

#: Metadata key by which a caller may name a call, and by which the name comes back.
REQUEST_ID = "x-request-id"

_ACCEPTED = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True)
class Call:
    """One RPC.

    Attributes:
        request_id: the caller's, or one chosen here.
        deadline: on the event loop's clock (`time.monotonic`), seconds; infinite when there is none.
        method: its name, as in the contract.
        caller: who must not take the service from others: whom its token or certificate names, else the peer of the
            connection, as gRPC writes it. All connections over one Unix socket are one caller.
        owner: whose is what the call makes: the caller where it has a name. Empty: whoever knows the id of a thing
            may use it.
        size: of the request of a unary call as it came, bytes.
        live: whether it is a stream, whose messages are worth less the later they are answered.
        span: of a unary call; None where it is not traced.
        trace: where the spans of a stream's frames belong; None where no call is traced.
    """

    request_id: str
    deadline: float
    method: str = ""
    caller: str = ""
    live: bool = False
    size: int = 0
    owner: str = ""
    span: Span | None = None
    trace: CallTrace | None = None


#: Set by the interceptor for as long as a handler runs.
current_call: ContextVar[Call] = ContextVar("current_call")


def request_id_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The caller's name for the call where it is fit for a log line, otherwise a new one."""
    for key, value in metadata:
        if key == REQUEST_ID and isinstance(value, str) and _ACCEPTED.fullmatch(value):
            return value
    return secrets.token_hex(16)
