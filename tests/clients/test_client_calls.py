"""What happens when calls fail: retries, deadlines, and errors by kind. Both clients alike."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckResponse

from both_clients import Call, call_async, call_sync
from exalign_client import (
    AccessDeniedError,
    Client,
    DeadlineError,
    ExalignClientError,
    HealthStatus,
    InternalServerError,
    InvalidRequestError,
    MessageTooLargeError,
    NotFoundError,
    PreconditionError,
    ServerBusyError,
    UnavailableError,
    UnimplementedError,
)
from exalign_client.transport.channel import channel_options
from fake_server import FakeService, abort, retry_info

JPEG = b"\xff\xd8"
UNAVAILABLE = abort(grpc.StatusCode.UNAVAILABLE, "starting")


def test_unavailable_twice_then_well_takes_three_attempts(service: FakeService, call: Call) -> None:
    service.faults = [UNAVAILABLE, UNAVAILABLE]
    assert len(call("predict", service.address, JPEG)) == 1
    assert len(service.requests) == 3


def test_unavailable_for_good_is_given_up_after_four_attempts(service: FakeService, call: Call) -> None:
    service.faults = [UNAVAILABLE] * 9
    with pytest.raises(UnavailableError, match=rf"{service.address}: starting"):
        call("predict", service.address, JPEG)
    assert len(service.requests) == 4


def test_invalid_argument_is_not_repeated_and_names_every_field(service: FakeService, call: Call) -> None:
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field="boxes[0].x1", description="3 is not above 4"),
        error_details_pb2.BadRequest.FieldViolation(field="image", description="is a GIF"),
    ]
    bad_request = error_details_pb2.BadRequest(field_violations=violations)
    service.faults = [abort(grpc.StatusCode.INVALID_ARGUMENT, "2 fields are wrong", bad_request)]
    with pytest.raises(InvalidRequestError) as caught:
        call("predict", service.address, JPEG)
    assert [v.field for v in caught.value.violations] == ["boxes[0].x1", "image"]
    assert str(caught.value) == "boxes[0].x1: 3 is not above 4; image: is a GIF"
    assert len(service.requests) == 1


def test_a_busy_server_is_called_again_after_the_pause_that_it_names(service: FakeService, call: Call) -> None:
    service.faults = [abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full", retry_info(0.3))]
    start = time.monotonic()
    assert len(call("predict", service.address, JPEG)) == 1
    assert len(service.requests) == 2
    assert time.monotonic() - start >= 0.3


def test_a_server_that_stays_busy_is_given_up_after_four_attempts(service: FakeService, call: Call) -> None:
    service.faults = [abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full", retry_info(0.01))] * 9
    with pytest.raises(ServerBusyError, match="queue is full") as caught:
        call("predict", service.address, JPEG)
    assert caught.value.retry_after == pytest.approx(0.01)
    assert len(service.requests) == 4


def test_a_pause_that_would_outlast_the_timeout_is_not_waited_for(service: FakeService, call: Call) -> None:
    service.faults = [abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full", retry_info(60))]
    with pytest.raises(ServerBusyError):
        call("predict", service.address, JPEG, timeout=50.0)
    assert len(service.requests) == 1


def test_exhausted_without_a_hint_is_not_repeated(service: FakeService, call: Call) -> None:
    service.faults = [abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "quota")]
    with pytest.raises(ServerBusyError) as caught:
        call("predict", service.address, JPEG)
    assert caught.value.retry_after is None
    assert len(service.requests) == 1


def test_a_message_above_the_servers_limit_has_its_own_error(service: FakeService, call: Call) -> None:
    with pytest.raises(MessageTooLargeError, match=r"\(5000\d+ vs\. 4194304\)"):  # gRPC's default limit
        call("predict", service.address, bytes(5_000_000))


def test_the_timeout_ends_a_call(service: FakeService, call: Call) -> None:
    service.faults = [service.hang]
    start = time.monotonic()
    with pytest.raises(DeadlineError):
        call("predict", service.address, JPEG, timeout=0.3)
    assert time.monotonic() - start >= 0.25


def test_the_timeout_is_one_for_all_attempts(service: FakeService, call: Call) -> None:
    service.faults = [abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue is full", retry_info(0.5))]
    call("predict", service.address, JPEG, timeout=9.0)
    first, second = service.deadlines
    assert second <= first - 0.4  # gRPC rounds the deadline on its way


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf")])
def test_a_timeout_must_be_a_positive_number(service: FakeService, call: Call, timeout: float) -> None:
    with pytest.raises(InvalidRequestError, match="timeout"):
        call("predict", service.address, JPEG, timeout=timeout)
    assert service.requests == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, NotFoundError),
        (grpc.StatusCode.FAILED_PRECONDITION, PreconditionError),
        (grpc.StatusCode.UNIMPLEMENTED, UnimplementedError),
        (grpc.StatusCode.CANCELLED, UnavailableError),
        (grpc.StatusCode.UNAUTHENTICATED, AccessDeniedError),
        (grpc.StatusCode.PERMISSION_DENIED, AccessDeniedError),
        (grpc.StatusCode.INTERNAL, InternalServerError),
        (grpc.StatusCode.DATA_LOSS, InternalServerError),
        (grpc.StatusCode.UNKNOWN, InternalServerError),
    ],
)
def test_each_status_has_its_error(
    service: FakeService, call: Call, code: grpc.StatusCode, expected: type[ExalignClientError]
) -> None:
    service.faults = [abort(code, "why\nnot")]
    with pytest.raises(ExalignClientError) as caught:
        call("predict", service.address, JPEG)
    assert type(caught.value) is expected
    assert "why not" in str(caught.value)
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_a_precondition_carries_its_reason(service: FakeService, call: Call) -> None:
    info = error_details_pb2.ErrorInfo(reason="NO_FACE", domain="exalign.v1")
    service.faults = [abort(grpc.StatusCode.FAILED_PRECONDITION, "no face", info)]
    with pytest.raises(PreconditionError) as caught:
        call("predict", service.address, JPEG)
    assert caught.value.reason == "NO_FACE"


def test_details_that_disagree_with_the_status_do_not_hide_it(service: FakeService, call: Call) -> None:
    def proxied(context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\x08\x05\x12\x03abc"),))
        context.abort(grpc.StatusCode.INTERNAL, "from a proxy")

    service.faults = [proxied]
    with pytest.raises(InternalServerError, match="from a proxy"):
        call("predict", service.address, JPEG)


def test_nobody_there_is_unavailable(call: Call) -> None:
    with socket.socket() as taken:  # bound, not listening: nobody else can answer there
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=address):
            call("model", address)


def test_both_clients_send_and_answer_the_same(service: FakeService) -> None:
    options = {"max_faces": 3, "groups": ["eyes"], "top_exemplars": 1}
    answers = [call("predict", service.address, JPEG, [(1, 2, 30, 40)], **options) for call in (call_sync, call_async)]
    assert answers[0].to_json() == answers[1].to_json()
    assert service.requests[0] == service.requests[1]


@pytest.mark.parametrize("status", ["SERVING", "NOT_SERVING"])
def test_health_is_the_status_of_the_standard_service(service: FakeService, call: Call, status: str) -> None:
    service.health.set("", HealthCheckResponse.ServingStatus.Value(status))
    assert call("health", service.address) is HealthStatus[status]


def test_wait_ready_waits_until_it_is_serving(service: FakeService, call: Call) -> None:
    service.health.set("", HealthCheckResponse.NOT_SERVING)
    service.health.serves_at = 3
    call("wait_ready", service.address, 30.0)
    assert service.health.checks == 3


def test_a_unix_socket_is_an_address(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError), Client(f"unix:{tmp_path}/s") as client:
        client.health(timeout=5)


def test_only_idempotent_unary_methods_are_repeated() -> None:
    config = json.loads(str(dict(channel_options("host:1"))["grpc.service_config"]))
    methods = {name["method"] for name in config["methodConfig"][0]["name"]}
    assert {"PredictLandmarks", "GetModel", "GetExemplars"} <= methods
    assert "TrackVideo" not in methods
    assert config["methodConfig"][0]["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]


@pytest.mark.parametrize(
    ("address", "direct"),
    [("localhost:1", True), ("[::1]:1", True), ("dns:///127.0.0.1:1", True), ("faces.example:1", False)],
)
def test_a_proxy_of_the_environment_is_not_used_for_this_machine(address: str, direct: bool) -> None:
    assert (("grpc.enable_http_proxy", 0) in channel_options(address)) is direct
