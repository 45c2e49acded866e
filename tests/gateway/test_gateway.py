"""HTTP and JSON in front of a real server: what it answers, how it fails, what it passes on, and what it bounds."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf import json_format
from google.rpc import error_details_pb2

from exalign.v1 import service_pb2
from exalign_client.transport.channel import Tls
from exalign_gateway import Bounds, gateway
from exalign_gateway.calls import METHODS, path_of
from exalign_gateway.command import main
from exalign_gateway.errors import STATUS, failure_of
from listening_gateway import listening
from service_fakes import GOOD_BOX, Running, config, encoded, request, running, until

ROOT = Path(__file__).parents[2]
PREDICT = "/exalign.v1.FaceAlignmentService/PredictLandmarks"
MODEL = "/exalign.v1.FaceAlignmentService/GetModel"


@pytest_asyncio.fixture
async def live(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as it:
        yield it


@pytest_asyncio.fixture
async def http(live: Running) -> AsyncIterator[Any]:
    async with listening(gateway(live.server.address)) as client:
        yield client


def body(**more: Any) -> dict[str, Any]:
    """A request about one face, as JSON."""
    x0, y0, x1, y1 = GOOD_BOX
    image = {"encoded": base64.b64encode(encoded()).decode()}
    return {"image": image, "boxes": [{"x0": x0, "y0": y0, "x1": x1, "y1": y1}], **more}


def without_time(message: Any) -> Any:
    message.ClearField("timing")
    for face in message.faces:
        face.ClearField("posterior_id")
    return message


async def test_json_is_what_grpc_answers(live: Running, http: Any) -> None:
    answer = await http.post(PREDICT, json=body())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    ours = json_format.Parse(answer.content, service_pb2.PredictLandmarksResponse())
    theirs = await live.stub.PredictLandmarks(request(GOOD_BOX, data=encoded()))
    assert len(ours.faces) == 1
    assert without_time(ours) == without_time(theirs)


async def test_connects_binary_form_is_spoken_too(live: Running, http: Any) -> None:
    asked = request(GOOD_BOX).SerializeToString()
    answer = await http.post(PREDICT, content=asked, headers={"content-type": "application/proto"})
    assert answer.headers["content-type"] == "application/proto"
    assert len(service_pb2.PredictLandmarksResponse.FromString(answer.content).faces) == 1


async def test_every_unary_method_has_a_path_and_no_other_has(http: Any) -> None:
    named = {path_of(method) for method in METHODS}
    assert set((await http.get("/openapi.json")).json()["paths"]) == named
    for path in named:
        assert (await http.post(path, json={})).status_code in (200, 400)
    for absent in ("/exalign.v1.FaceAlignmentService/TrackVideo", "/exalign.v1.ModelAdminService/SwapModel", "/"):
        answer = await http.post(absent, json={})
        assert (answer.status_code, answer.json()["code"]) == (404, "unimplemented")
    answer = await http.get(MODEL)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_every_wrong_field_is_named(http: Any) -> None:
    answer = await http.post(PREDICT, json={"boxes": [{"x0": 5, "x1": 1}]})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    (detail,) = (one for one in answer.json()["details"] if one["type"] == "google.rpc.BadRequest")
    named = {one["field"] for one in detail["debug"]["fieldViolations"]}
    assert {"image"} < named
    raw = error_details_pb2.BadRequest.FromString(base64.b64decode(detail["value"] + "=="))
    assert {one.field for one in raw.field_violations} == named


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b"null", b'"x"', b"\xff", b"{}{}", b'{"image": 3}', b'{"imagee": {}}', b'{"boxes": {}}',
     b'{"boxes": [{"x0": 1e999}]}', b'{"boxes": [{"x0": "a"}]}', b'{"image": {"encoded": "*"}}', b"[" * 200_000,
     b'{"boxes": [null]}', b'{"stopAfter": "NO"}', b'{"boxes": [1, {"x0": {}}]}', b'{"image": {"image": {}}}'],
)  # fmt: skip
async def test_what_is_no_request_is_refused(http: Any, content: bytes) -> None:
    answer = await http.post(PREDICT, content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument"), answer.text
    answer = await http.post(PREDICT, content=b"\xff" + content, headers={"content-type": "application/proto"})
    assert answer.status_code == 400


async def test_other_kinds_of_bodies_are_refused(http: Any) -> None:
    for headers in ({"content-type": "text/plain"}, {}, {"content-type": "application/json", "content-encoding": "br"}):
        answer = await http.post(MODEL, content=b"{}", headers=headers)
        assert answer.status_code == 415, headers
    answer = await http.post(MODEL, content=b"{}", headers={"content-type": "application/JSON; charset=utf-8"})
    assert answer.status_code == 200


@pytest.mark.parametrize("timeout", ["", "x", "-1", "12345678901", "²"])
async def test_a_timeout_that_is_none_is_refused(http: Any, timeout: str) -> None:
    answer = await http.post(MODEL, json={}, headers={"connect-timeout-ms": timeout.encode()})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")


async def test_the_callers_time_is_the_calls(live: Running, http: Any) -> None:
    live.runtime.gate.clear()
    answer = await http.post(PREDICT, json=body(), headers={"connect-timeout-ms": "300"})
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


async def test_who_hangs_up_ends_the_call(live: Running, http: Any) -> None:
    live.runtime.gate.clear()
    asked = asyncio.ensure_future(http.post(PREDICT, json=body()))
    await until(lambda: live.runtime.held > 0)
    asked.cancel()
    labels = {"grpc_type": "unary", "grpc_service": "exalign.v1.FaceAlignmentService"}
    labels |= {"grpc_method": "PredictLandmarks", "grpc_code": "Canceled"}
    await until(lambda: live.sample("grpc_server_handled_total", **labels) == 1)


async def test_bodies_are_bounded(live: Running) -> None:
    bounds = Bounds(body_bytes=4000, all_bytes=6000, body_seconds=1.0)
    async with listening(gateway(live.server.address, bounds=bounds)) as http:
        answer = await http.post(MODEL, content=b" " * 4001, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "resource_exhausted")
        reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
        head = f"POST {MODEL} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 3999\r\n\r\n"
        writer.write(head.encode() + b" " * 3900)  # and no more
        slow = asyncio.ensure_future(reader.readline())
        codes = set()
        while not slow.done():  # as long as it is held there is no room for another of its size
            answer = await http.post(MODEL, content=b"{}" + b" " * 3900, headers={"content-type": "application/json"})
            codes.add(answer.status_code)
        assert b" 408 " in await slow
        assert 429 in codes
        writer.close()
        answer = await http.post(MODEL, content=b"{}" + b" " * 3900, headers={"content-type": "application/json"})
        assert answer.status_code == 200  # nothing is held any more


async def test_health_is_the_servers(live: Running, http: Any) -> None:
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/readyz")).json() == {"status": "SERVING"}
    await live.server.stop(0)
    live.runtime.closed = True
    answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    answer = await http.post(MODEL, json={}, headers={"connect-timeout-ms": "500"})
    assert answer.status_code in (503, 504)


async def test_pages_of_others_may_not_call_unless_named(live: Running, http: Any) -> None:
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    answer = await http.options(MODEL, headers=asked)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]
    async with listening(gateway(live.server.address, origins=["https://a.example"])) as named:
        answer = await named.options(MODEL, headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        answer = await named.post(MODEL, json={}, headers={"origin": "https://b.example"})
        assert "access-control-allow-origin" not in answer.headers


async def test_tokens_and_tls_are_passed_through(tmp_path: Path) -> None:
    fakes = pytest.importorskip("access_fakes", reason="needs cryptography (extra 'jwt')")
    tokens = pytest.importorskip("token_fakes")
    authority = fakes.Authority()
    certificate, key = authority.issue().write(tmp_path)
    holders = tokens.Tokens(tmp_path)
    token = tokens.secret(holders.add("caller", tokens.PREDICT))
    settings = {"token_file": holders.path, "tls_cert": certificate, "tls_key": key}
    trusted = Tls(ca=authority.write(tmp_path))
    async with (
        running(tmp_path, config(**settings), credentials=authority.trusted()) as live,
        listening(gateway(live.server.address, tls=trusted)) as http,
    ):
        answer = await http.post(MODEL, json={})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
        answer = await http.post(MODEL, json={}, headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text
        answer = await http.post(MODEL, json={}, headers={"authorization": "Bearer é".encode()})
        assert answer.status_code == 400


class Refusal(grpc.aio.AioRpcError):
    """A failed call of any code."""

    def __init__(self, code: grpc.StatusCode) -> None:
        super().__init__(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="no")


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_code_has_a_status(code: grpc.StatusCode) -> None:
    answer = failure_of(Refusal(code))
    content = json.loads(bytes(answer.body))
    assert answer.status_code == STATUS[content["code"]]
    assert content["message"] == "no"


def test_the_description_is_that_of_the_protos() -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools makes it (extra 'dev')")
    command = [sys.executable, str(ROOT / "gateway" / "make_openapi.py"), "--check"]
    subprocess.run(command, check=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "beyond this machine"),
        (["--cert", "c"], "both or none"),
        (["--allow-origin", "*"], "name the origins"),
        (["--max-body-bytes", "3"], "1024 at least"),
        (["--port", "70000"], "is no port"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_the_command_serves_until_a_signal() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    command = [sys.executable, "-m", "exalign_gateway.command", "--port", "0", "--server", address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "serving"
        process.terminate()
        assert process.wait(timeout=120) == 0
