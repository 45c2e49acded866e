"""Every error that the client raises on purpose.

    ExalignClientError
    ├── InvalidRequestError      something in the request is wrong: ``violations`` names every bad field
    ├── MessageTooLargeError     the request or its answer is above a limit on bytes
    ├── NotFoundError            the posterior id is not (or no longer) known to this server
    ├── PreconditionError        valid in itself, not possible now: ``reason`` names the cause
    ├── ServerBusyError          the server's queue is full: ``retry_after`` is the pause that it requires
    ├── DeadlineError            no answer within the timeout
    ├── UnavailableError         nobody answers there, or the server is starting or shutting down
    ├── UnimplementedError       this server does not have this method
    ├── AccessDeniedError        a proxy or the server refuses this caller
    ├── SessionLostError         a video could not be followed to its end: ``unanswered`` names the frames
    ├── InternalServerError      a fault of the server's, or an answer that cannot be understood
    ├── LocalServerError         a local server could not be started: ``log`` holds its standard error
    └── MissingExtraError        an optional package is needed: the message names the extra to install

A file that cannot be read raises the ``OSError`` of Python itself. Anything else that leaves the client is a
bug of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status


class ExalignClientError(Exception):
    """Base of all errors raised on purpose. ``str(error)`` is one line fit for a terminal."""


@dataclass(frozen=True)
class Violation:
    """One wrong field: its path in the request (``boxes[2].x1``), and what is wrong with its value."""

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}"


class InvalidRequestError(ExalignClientError):
    """Something in the request is wrong, found here before sending or by the server.

    Args:
        violations: every wrong field. Empty only when a server gave no details.
        message: the text where there are no violations.
    """

    def __init__(self, violations: Iterable[Violation], message: str = "the request is invalid") -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(str(v) for v in self.violations) or message)


class Violations:
    """A collector of wrong fields, so that one error can name them all.

    Args:
        path: the field that this collector is about; empty: the whole request.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._found: list[Violation] = []

    def at(self, part: str | int) -> Violations:
        """The collector for a part of this field: its name, or its index in a list. Both collectors fill one list."""
        name = f"[{part}]" if isinstance(part, int) else f".{part}" if self._path else part
        inner = Violations(self._path + name)
        inner._found = self._found
        return inner

    def add(self, description: str) -> None:
        """Record what is wrong with this field."""
        self._found.append(Violation(self._path, description))

    def __len__(self) -> int:
        """Number of violations found so far in the whole request."""
        return len(self._found)

    def raise_if_any(self) -> None:
        """Refuse the request.

        Raises:
            InvalidRequestError: something was added; it names everything, in the order in which it was added.
        """
        if self._found:
            raise InvalidRequestError(self._found)


class MessageTooLargeError(ExalignClientError):
    """A message is above a limit on bytes: ``Model.limits.max_message_bytes`` for requests, 64 MiB for answers."""


class NotFoundError(ExalignClientError):
    """The posterior id is not (or no longer) known to this server: send the image again."""


class PreconditionError(ExalignClientError):
    """The request is valid in itself but not possible now.

    Args:
        message: one sentence.
        reason: ``ErrorInfo.reason`` of the contract, such as ``NO_FACE``; empty when the server gave none.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        self.reason = reason
        super().__init__(message)


class ServerBusyError(ExalignClientError):
    """The server is at its bound.

    Args:
        message: one sentence.
        retry_after: seconds after which the server allows another attempt; None: it named none.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class DeadlineError(ExalignClientError):
    """There was no answer within the timeout, retries included."""


class UnavailableError(ExalignClientError):
    """Nobody answers at this address, or the server is starting or shutting down. Retries did not help."""


class UnimplementedError(ExalignClientError):
    """This server does not have this method: it is older, or not an Exalign server."""


class AccessDeniedError(ExalignClientError):
    """A proxy or the server refuses this caller."""


class SessionLostError(ExalignClientError):
    """A video could not be followed to its end, and what is missing cannot be had by trying again.

    Args:
        message: one sentence that names what is lost.
        unanswered: frames that were given and not answered.
    """

    def __init__(self, message: str, unanswered: tuple[int, ...] = ()) -> None:
        self.unanswered = unanswered
        super().__init__(message)


class InternalServerError(ExalignClientError):
    """A fault of the server's, or an answer that does not keep to the contract."""


class LocalServerError(ExalignClientError):
    """A local server could not be started.

    Args:
        message: one sentence.
        log: the last lines that the server wrote to its standard error.
    """

    def __init__(self, message: str, log: str = "") -> None:
        self.log = log
        super().__init__(message)


class MissingExtraError(ExalignClientError):
    """An optional package is needed and not installed.

    Args:
        purpose: what it is needed for, as the subject of a sentence: "drawing an overlay".
        extra: the extra of this distribution that brings it.
    """

    def __init__(self, purpose: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{purpose} needs the extra {extra!r}: pip install 'exalign[{extra}]'")


def error_from_rpc(error: grpc.RpcError, address: str) -> ExalignClientError:
    """The error of ours for a failed call; the one place where status codes are given a meaning.

    Args:
        error: from a blocking or an asyncio call.
        address: the server, for messages.
    """
    # A failed call, blocking or not, has the methods of grpc.Call; the type of the exception does not show it.
    call = cast(grpc.Call, error)
    code = call.code()
    text = " ".join((call.details() or code.name).split())
    bad_request, info, retry_info = _details(call)
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.OUT_OF_RANGE:
            fields = bad_request.field_violations
            return InvalidRequestError((Violation(f.field, f.description) for f in fields), text)
        case grpc.StatusCode.NOT_FOUND:
            return NotFoundError(text)
        case grpc.StatusCode.FAILED_PRECONDITION | grpc.StatusCode.ALREADY_EXISTS:
            return PreconditionError(text, info.reason)
        case grpc.StatusCode.RESOURCE_EXHAUSTED if retry_info is not None:
            return ServerBusyError(text, max(retry_info.retry_delay.ToTimedelta().total_seconds(), 0.0))
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "larger than max" in text:
            return MessageTooLargeError(f"{text}: {_too_large_advice(text)}")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return ServerBusyError(text)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineError(f"{address}: no answer in time: {text}")
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            # Some proxies report a server that they lost as CANCELLED.
            return UnavailableError(f"{address}: {text}")
        case grpc.StatusCode.UNIMPLEMENTED:
            return UnimplementedError(f"{address}: {text}")
        case grpc.StatusCode.PERMISSION_DENIED | grpc.StatusCode.UNAUTHENTICATED:
            return AccessDeniedError(f"{address}: {text}")
        case _:
            return InternalServerError(f"{address}: {code.name}: {text}")


def _too_large_advice(text: str) -> str:
    """What helps where a message is larger than somebody takes; gRPC's own words begin with who refuses it."""
    if text.startswith("CLIENT:"):
        return "the answer is too large; ask for fewer faces at once, or for fewer landmarks, cells or bins"
    return "send an encoded JPEG or PNG file, or a smaller picture"


def _details(
    call: grpc.Call,
) -> tuple[error_details_pb2.BadRequest, error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo | None]:
    """The google.rpc details attached to a failed call; empty messages and None where there are none."""
    bad_request, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    retry_info: error_details_pb2.RetryInfo | None = None
    try:
        status: status_pb2.Status | None = rpc_status.from_call(call)
    except (ValueError, DecodeError):
        # A proxy on the way rewrote code or message: the status itself is what counts then.
        status = None
    for detail in status.details if status is not None else ():
        detail.Unpack(bad_request)
        detail.Unpack(info)
        if detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry_info = error_details_pb2.RetryInfo()
            detail.Unpack(retry_info)
    return bad_request, info, retry_info
