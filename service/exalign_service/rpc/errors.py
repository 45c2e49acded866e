"""The one table from exceptions to what a caller sees: status code, message and google.rpc details.

    ServiceError
    ├── QueueFullError            too much is waiting already
    ├── OverloadedError           it would be answered too late
    ├── QuotaExceededError        a caller has used what it may for now
    ├── DeadlineExpiredError      no time is left
    ├── NotServingError           starting or shutting down
    ├── DecoderUnavailableError   no process that decodes pictures can be started
    ├── AccessError               the caller may not call this
    │   ├── UnauthenticatedError  it has not shown who it is
    │   └── PermissionDeniedError what it has shown does not allow the method
    ├── UnknownMethodError        there is no such method
    ├── MalformedMessageError     the bytes are not the message that the method takes
    ├── MessageTooLargeError      the bytes are more than the server takes
    ├── PosteriorNotFoundError    the posterior id is not, or no longer, known here
    ├── ModelNotFoundError        another model, or version, than the one that answers
    ├── BundlesFullError          as many bundles in memory as there may be
    ├── PreconditionError         right in itself, not possible now
    ├── SessionsFullError         as many video sessions as there may be
    ├── CallerSessionsFullError   as many of them as one caller may have
    ├── SessionExistsError        a session has this name, live or to be resumed
    ├── SessionNotFoundError      the session is not, or no longer, known here
    ├── StoreUnavailableError     the store of sessions does not answer
    ├── IdleTimeoutError          a stream has sent nothing for too long
    └── GoneAwayError             a stream was sent GoAway, and has not ended in time

The engine's own errors (`exalign_engine.errors`) are in the table too, and `MemoryError`. Any other exception is a bug:
INTERNAL, with a request id and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import EncodeError, Message
from google.rpc import error_details_pb2, status_pb2

from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.runtime.tensorrt.errors import DeviceLostError, DeviceMemoryError

DOMAIN = "exalign.v1"

_Code = grpc.StatusCode

#: Status details and message travel in trailing metadata, which many clients limit to 8 KiB, base64 included.
_MAX_DETAIL_BYTES = 4096
_MAX_MESSAGE_CHARS = 600


#: What too little memory is called. protobuf has its own word; it writes our messages, which lack no field, otherwise.
NO_MEMORY = (MemoryError, EncodeError)


class ServiceError(Exception):
    """Base of what the service itself raises on purpose."""


class QueueFullError(ServiceError):
    """Too much is waiting already.

    Args:
        what: what is waiting, such as "faces".
        waiting: how many of them now.
        bound: how many may.
        retry_after: when to try again, seconds.
    """

    def __init__(self, what: str, waiting: int, bound: int, retry_after: float) -> None:
        self.waiting, self.bound, self.retry_after = waiting, bound, retry_after
        super().__init__(f"{waiting} {what} are waiting, at most {bound} may; try again in {retry_after:.2f} s")


class OverloadedError(ServiceError):
    """A call would be answered too late.

    Args:
        expected: when it would be answered, seconds from now.
        allowed: when it must be.
        limit: what says so, for people.
        retry_after: when to try again, seconds.
    """

    def __init__(self, expected: float, allowed: float, limit: str, retry_after: float) -> None:
        self.retry_after = retry_after
        text = f"the call would take {expected:.2f} s, at most {max(allowed, 0.0):.2f} s {limit} are planned for"
        super().__init__(f"{text}; try again in {retry_after:.2f} s")


class QuotaExceededError(ServiceError):
    """A caller has used what it may for now.

    Args:
        quota: of what, as metrics call it.
        rate: how much it may use in a second.
        retry_after: when to try again, seconds.
    """

    def __init__(self, quota: str, rate: float, retry_after: float) -> None:
        self.retry_after = retry_after
        text = f"this caller has used its quota of {quota}, {rate:g} a second"
        super().__init__(f"{text}; try again in {retry_after:.2f} s")


class DeadlineExpiredError(ServiceError):
    """No time is left for this call."""


class NotServingError(ServiceError):
    """The server is starting or shutting down."""


class DecoderUnavailableError(ServiceError):
    """No process that decodes pictures can be started now."""


class AccessError(ServiceError):
    """A call is denied. The caller is not told which part of what it showed was wrong.

    Args:
        reason: for metric and log.
        caller: who it is, as far as that is known.
    """

    text = "denied"

    def __init__(self, reason: str, caller: str = "") -> None:
        self.reason, self.caller = reason, caller
        super().__init__(self.text)


class UnauthenticatedError(AccessError):
    """There is no token, or not a good one."""

    text = "this call needs a token that is good here: metadata authorization, Bearer TOKEN"


class PermissionDeniedError(AccessError):
    """The caller may not call this method."""

    text = "this caller may not call this method"


class UnknownMethodError(ServiceError):
    """There is no method of this name."""


class MessageTooLargeError(ServiceError):
    """A request message is above the limit.

    Args:
        size: of the message, bytes.
        bound: the limit, bytes.
    """

    def __init__(self, size: int, bound: int) -> None:
        super().__init__(f"message: its {size:,} bytes are larger than max_message_bytes = {bound:,}")


class MalformedMessageError(ServiceError):
    """The bytes received are not the message that the method takes."""


class PosteriorNotFoundError(ServiceError):
    """A posterior id is not, or no longer, known to this process."""


class ModelNotFoundError(ServiceError):
    """Another model, or another version of it, than the one that answers here."""


class BundlesFullError(ServiceError):
    """There are as many bundles in memory as there may be.

    Args:
        text: why.
        retry_after: when to try again, seconds.
    """

    def __init__(self, text: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"{text}; try again in {retry_after:.2f} s")


class PreconditionError(ServiceError):
    """A request that is right in itself and cannot be met now.

    Args:
        reason: ErrorInfo.reason, in capitals.
        text: one sentence.
        bundle_id: of the bundle that could, for ErrorInfo.metadata; empty: it is about none.
    """

    def __init__(self, reason: str, text: str, bundle_id: str = "") -> None:
        self.reason, self.bundle_id = reason, bundle_id
        super().__init__(text)


class SessionsFullError(ServiceError):
    """As many video sessions are open as there may be.

    Args:
        bound: how many there may be.
        retry_after: when to try again, seconds.
    """

    def __init__(self, bound: int, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"{bound} sessions are open, at most {bound} may be; try again in {retry_after:.2f} s")


class CallerSessionsFullError(ServiceError):
    """One caller has as many video sessions as it may.

    Args:
        share: how many it may have.
        bound: how many there may be of all callers.
        retry_after: when to try again, seconds.
    """

    def __init__(self, share: int, bound: int, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(
            f"this caller has {share} sessions open, its share of {bound} (max_sessions × caller_share);"
            f" close one, or try again in {retry_after:.2f} s"
        )


class SessionExistsError(ServiceError):
    """A session has this name: a live one, or one that can still be resumed."""


class SessionNotFoundError(ServiceError):
    """The state of a session is not, or no longer, kept here."""


class StoreUnavailableError(ServiceError):
    """The store that may have the session does not answer."""


class IdleTimeoutError(ServiceError):
    """A stream has sent nothing for too long."""


class GoneAwayError(ServiceError):
    """A stream was sent `GoAway` and has outlasted the grace."""


@dataclass(frozen=True)
class ErrorStatus:
    """What a caller sees of an error.

    Attributes:
        code: status code.
        message: one line.
        details: google.rpc messages.
    """

    code: grpc.StatusCode
    message: str
    details: tuple[Message, ...] = ()

    def serialized(self) -> bytes:
        """The google.rpc.Status for the trailing metadata "grpc-status-details-bin"."""
        number: int = self.code.value[0]
        status = status_pb2.Status(code=number, message=self.message)
        for detail in self.details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        serialized: bytes = status.SerializeToString()
        return serialized


def status_of(error: BaseException, request_id: str) -> ErrorStatus:
    """Look an exception up.

    Args:
        error: what a handler raised.
        request_id: named in the answer to an unknown exception, and in the log beside its traceback.
    """
    for kind in type(error).__mro__:
        if kind in _TABLE:
            return _TABLE[kind](error)
    return ErrorStatus(
        grpc.StatusCode.INTERNAL,
        f"internal error; the server's log has more under request id {request_id}",
        (
            _info("INTERNAL"),
            error_details_pb2.RequestInfo(request_id=request_id),
        ),
    )


def check_memory(size: int) -> None:
    """Find out whether there is memory.

    Raises:
        MemoryError: so many bytes are not to be had.
    """
    bytearray(size)


def is_known(error: BaseException) -> bool:
    """Whether the table has an entry for an exception; otherwise it is a fault of ours."""
    return any(kind in _TABLE for kind in type(error).__mro__)


def _info(reason: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)


def _retry(seconds: float) -> error_details_pb2.RetryInfo:
    result = error_details_pb2.RetryInfo()
    result.retry_delay.FromNanoseconds(int(seconds * 1e9))
    return result


def _invalid(error: InvalidInputError) -> ErrorStatus:
    return _bad_request(error.violations)


def _malformed(error: MalformedMessageError) -> ErrorStatus:
    return _bad_request([Violation("", str(error))])


def _bad_request(violations: Iterable[Violation]) -> ErrorStatus:
    """INVALID_ARGUMENT with a BadRequest that holds as many violations as trailing metadata can carry."""
    rest = list(violations)
    message = "; ".join(str(v) if v.field else v.description for v in rest)
    if len(message) > _MAX_MESSAGE_CHARS:
        message = f"{message[:_MAX_MESSAGE_CHARS]}… ({len(rest)} fields are wrong)"
    bad, size = error_details_pb2.BadRequest(), 0
    while rest:
        entry = error_details_pb2.BadRequest.FieldViolation(field=rest[0].field, description=rest[0].description)
        size += entry.ByteSize() + 4
        if size > _MAX_DETAIL_BYTES and bad.field_violations:
            bad.field_violations.add(description=f"and {len(rest)} more fields that are wrong")
            break
        bad.field_violations.append(entry)
        rest.pop(0)
    return ErrorStatus(grpc.StatusCode.INVALID_ARGUMENT, message, (bad, _info("INVALID_REQUEST")))


def _plain(code: grpc.StatusCode, reason: str, retry: float | None = None) -> Callable[[Exception], ErrorStatus]:
    """The exception's own words under one code and reason; where there is ``retry``, to be tried again after it."""
    details = (_info(reason),) if retry is None else (_info(reason), _retry(retry))
    return lambda error: ErrorStatus(code, str(error), details)


def _later(reason: str) -> Callable[[Any], ErrorStatus]:
    """RESOURCE_EXHAUSTED; the exception knows when to try again."""
    return lambda error: ErrorStatus(_Code.RESOURCE_EXHAUSTED, str(error), (_retry(error.retry_after), _info(reason)))


def _precondition(error: PreconditionError) -> ErrorStatus:
    info = _info(error.reason)
    if error.bundle_id:
        info.metadata["bundle_id"] = error.bundle_id
    return ErrorStatus(grpc.StatusCode.FAILED_PRECONDITION, str(error), (info,))


def _no_memory(error: Exception) -> ErrorStatus:
    text = "the server has too little memory for this call now"
    return ErrorStatus(grpc.StatusCode.RESOURCE_EXHAUSTED, text, (_info("OUT_OF_MEMORY"), _retry(1.0)))


#: The table. A subclass without an entry of its own takes its base's.
_TABLE: dict[type[BaseException], Callable[..., ErrorStatus]] = {
    InvalidInputError: _invalid,
    UnauthenticatedError: _plain(_Code.UNAUTHENTICATED, "UNAUTHENTICATED"),
    PermissionDeniedError: _plain(_Code.PERMISSION_DENIED, "PERMISSION_DENIED"),
    UnknownMethodError: _plain(_Code.UNIMPLEMENTED, "METHOD_UNKNOWN"),
    MalformedMessageError: _malformed,
    MessageTooLargeError: _plain(_Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"),
    QueueFullError: _later("QUEUE_FULL"),
    OverloadedError: _later("OVERLOADED"),
    QuotaExceededError: _later("QUOTA_EXCEEDED"),
    DeadlineExpiredError: _plain(_Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    NotServingError: _plain(_Code.UNAVAILABLE, "NOT_SERVING", 1.0),
    DecoderUnavailableError: _plain(_Code.UNAVAILABLE, "DECODER_UNAVAILABLE", 1.0),
    PosteriorNotFoundError: _plain(_Code.NOT_FOUND, "POSTERIOR_NOT_FOUND"),
    ModelNotFoundError: _plain(_Code.NOT_FOUND, "MODEL_NOT_FOUND"),
    BundlesFullError: _later("BUNDLES_FULL"),
    PreconditionError: _precondition,
    SessionsFullError: _later("SESSIONS_FULL"),
    CallerSessionsFullError: _later("CALLER_SESSIONS_FULL"),
    SessionExistsError: _plain(_Code.ALREADY_EXISTS, "SESSION_EXISTS"),
    SessionNotFoundError: _plain(_Code.NOT_FOUND, "SESSION_NOT_FOUND"),
    StoreUnavailableError: _plain(_Code.UNAVAILABLE, "STORE_UNAVAILABLE", 0.5),
    IdleTimeoutError: _plain(_Code.DEADLINE_EXCEEDED, "IDLE_TIMEOUT"),
    GoneAwayError: _plain(_Code.UNAVAILABLE, "GO_AWAY", 0.0),
    DeviceLostError: _plain(_Code.UNAVAILABLE, "DEVICE_LOST", 1.0),
    DeviceMemoryError: _plain(_Code.RESOURCE_EXHAUSTED, "DEVICE_MEMORY", 1.0),
    **dict.fromkeys(NO_MEMORY, _no_memory),
}
