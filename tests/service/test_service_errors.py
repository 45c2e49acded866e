"""The table from exceptions to statuses."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.message import EncodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from exalign_engine.errors import InvalidInputError, Violation
from exalign_service.rpc.errors import (
    BundlesFullError,
    DeadlineExpiredError,
    DecoderUnavailableError,
    MalformedMessageError,
    NotServingError,
    QueueFullError,
    is_known,
    status_of,
)


class DerivedError(NotServingError):
    """A subclass that the table does not name."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInputError.of("a", "is wrong"), grpc.StatusCode.INVALID_ARGUMENT),
        (MalformedMessageError("x"), grpc.StatusCode.INVALID_ARGUMENT),
        (QueueFullError("faces", 1, 1, 0.5), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (BundlesFullError("full", 0.5), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (DeadlineExpiredError("x"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (NotServingError("x"), grpc.StatusCode.UNAVAILABLE),
        (DecoderUnavailableError("x"), grpc.StatusCode.UNAVAILABLE),
        (DerivedError("x"), grpc.StatusCode.UNAVAILABLE),
        (MemoryError("x"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (EncodeError("of protobuf"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (RuntimeError("x"), grpc.StatusCode.INTERNAL),
        (TimeoutError("of something inside"), grpc.StatusCode.INTERNAL),
    ],
)
def test_every_exception_has_one_code(error: Exception, code: grpc.StatusCode) -> None:
    answer = status_of(error, "id")
    assert answer.code == code
    assert is_known(error) == (code != grpc.StatusCode.INTERNAL)
    status = status_pb2.Status.FromString(answer.serialized())
    assert status.code == getattr(code_pb2, code.name)
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.domain == "exalign.v1"


def test_the_retry_hint_is_what_the_queue_says() -> None:
    retry, _ = status_of(QueueFullError("faces", 1, 1, 0.25), "id").details
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 250


@pytest.mark.parametrize("count", [1, 40, 300, 5000])
def test_details_fit_into_trailing_metadata_however_much_is_wrong(count: int) -> None:
    answer = status_of(
        InvalidInputError(Violation(f"boxes[{i}].x0", "is nan, must be finite") for i in range(count)), "id"
    )
    # 8 KiB is gRPC's limit; base64 takes 4/3, the message is there twice.
    assert 4 / 3 * len(answer.serialized()) + len(answer.message.encode()) < 7000
    bad = answer.details[0]
    assert isinstance(bad, error_details_pb2.BadRequest)
    *named, last = bad.field_violations
    if count <= 40:
        assert len(named) + 1 == count
    else:
        assert last.description == f"and {count - len(named)} more fields that are wrong"


def test_one_enormous_violation_is_still_told() -> None:
    bad = status_of(InvalidInputError.of("a", "x" * 20_000), "id").details[0]
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert bad.field_violations[0].field == "a"
