"""Failures as Connect has them: a status, and JSON with a code, a message and details."""

from __future__ import annotations

import base64
import math
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from starlette.responses import JSONResponse

#: Connect's code -> HTTP status. https://connectrpc.com/docs/protocol#error-codes
STATUS = {
    "canceled": 499, "unknown": 500, "invalid_argument": 400, "deadline_exceeded": 504, "not_found": 404,
    "already_exists": 409, "permission_denied": 403, "resource_exhausted": 429, "failed_precondition": 400,
    "aborted": 409, "out_of_range": 400, "unimplemented": 501, "internal": 500, "unavailable": 503,
    "data_loss": 500, "unauthenticated": 401,
}  # fmt: skip

#: Types of details that callers can see as JSON too.
_KNOWN: tuple[type[Message], ...] = (
    error_details_pb2.BadRequest,
    error_details_pb2.ErrorInfo,
    error_details_pb2.RetryInfo,
    error_details_pb2.QuotaFailure,
)


def failure(
    code: str,
    message: str,
    details: list[dict[str, Any]] | None = None,
    *,
    status: int | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A failure; ``status`` is that of the code where none is named."""
    body: dict[str, Any] = {"code": code, "message": message}
    if details:
        body["details"] = details
    return JSONResponse(body, STATUS[code] if status is None else status, headers)


def failure_of(error: grpc.aio.AioRpcError) -> JSONResponse:
    """The failure of a call, with the server's details."""
    code = error.code().name.lower().replace("cancelled", "canceled")
    details, headers = [], {}
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has what grpc.Call has
    except (ValueError, DecodeError):
        status = None  # a proxy on the way rewrote it: the code counts
    for packed in status.details if status is not None else ():
        name = packed.TypeName()
        detail = {"type": name, "value": base64.b64encode(packed.value).decode().rstrip("=")}
        for known in _KNOWN:
            message = known()
            if packed.Unpack(message):
                detail["debug"] = json_format.MessageToDict(message)
                if isinstance(message, error_details_pb2.RetryInfo):
                    seconds = message.retry_delay.ToTimedelta().total_seconds()
                    headers["Retry-After"] = str(max(math.ceil(seconds), 0))
        details.append(detail)
    if code == "unauthenticated":
        headers["WWW-Authenticate"] = "Bearer"
    return failure(code, error.details() or code, details, headers=headers)
