"""Bodies read as JSON, and failures answered in the gateway's form."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from exalign.cli_support import describe
from exalign_annotator.project.folder import ConflictError
from exalign_client.errors import (
    DeadlineError,
    ExalignClientError,
    InvalidRequestError,
    MessageTooLargeError,
    NotFoundError,
    PreconditionError,
    ServerBusyError,
    UnavailableError,
    Violation,
)
from exalign_gateway.bodies import Bodies, RefusedError
from exalign_gateway.errors import failure

Endpoint = Callable[[Request], Awaitable[Response]]

#: Connect's code for each error; what is none of these is "internal".
_CODES: tuple[tuple[type[ExalignClientError], str], ...] = (
    (InvalidRequestError, "invalid_argument"),
    (NotFoundError, "not_found"),
    (PreconditionError, "failed_precondition"),
    (MessageTooLargeError, "resource_exhausted"),
    (ServerBusyError, "resource_exhausted"),
    (DeadlineError, "deadline_exceeded"),
    (UnavailableError, "unavailable"),
)

#: Longest names that windows of browsers give themselves.
_LONGEST_HOLDER = 64


class MissingError(ExalignClientError):
    """There is no such item, face or frame."""


def answered(endpoint: Endpoint) -> Endpoint:
    """The endpoint, its errors turned into answers."""

    async def safe(request: Request) -> Response:
        try:
            return await endpoint(request)
        except RefusedError as refused:
            return refused.response
        except ConflictError as error:
            return conflict(error)
        except MissingError as error:
            return failure("not_found", str(error))
        except ExalignClientError as error:
            code = next((code for kind, code in _CODES if isinstance(error, kind)), "internal")
            busy = isinstance(error, ServerBusyError) and error.retry_after is not None
            headers = {"Retry-After": str(math.ceil(error.retry_after))} if busy else None  # type: ignore[attr-defined]
            return failure(code, str(error), headers=headers)
        except OSError as error:
            return failure("internal", describe(error))

    return safe


def conflict(error: ConflictError) -> Response:
    """Somebody else works on the item, or has changed it."""
    owner = None if error.lease is None else {"owner": error.lease.owner, "since": error.lease.since}
    body = {"code": "aborted", "message": str(error), "lease": owner, "revision": error.revision}
    return JSONResponse(body, status_code=409)


def file_answer(request: Request, path: Path) -> Response:
    """A file, or that it is as the browser has it: it is asked for again each time, for it may be another by now."""
    found = path.stat()
    tag = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
    headers = {"Cache-Control": "no-cache", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return FileResponse(path, headers=headers)


async def json_body(request: Request, bodies: Bodies) -> dict[str, Any]:
    """The body of a request as a JSON object.

    Raises:
        InvalidRequestError: it is none.
        RefusedError: it is too large or too slow.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise InvalidRequestError([Violation("content-type", "must be application/json")])
    async with bodies.of(request) as data:
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            raise InvalidRequestError([Violation("body", "is no JSON")]) from None
    if not isinstance(body, dict):
        raise InvalidRequestError([Violation("body", "must be an object")])
    return body


def holder_of(body: dict[str, Any]) -> str:
    """The name that a window of a browser gave itself.

    Raises:
        InvalidRequestError: there is none.
    """
    holder = body.get("holder")
    if not (isinstance(holder, str) and 8 <= len(holder) <= _LONGEST_HOLDER and holder.isascii() and holder.isalnum()):
        raise InvalidRequestError([Violation("holder", f"must be 8 to {_LONGEST_HOLDER} letters and digits")])
    return holder
