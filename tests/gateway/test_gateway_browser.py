"""A page in Debian's Chromium calls the gateway, as its own origin lets it: CORS named, and CORS off."""

from __future__ import annotations

import base64
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf import json_format
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from exalign.v1 import service_pb2
from exalign_gateway import gateway
from listening_gateway import listening
from outside_programs import UNPACKED, environment, program
from service_fakes import GOOD_BOX, Running, encoded, request, running

playwright = pytest.importorskip("playwright.async_api", reason="needs Playwright (extra 'page')")

PREDICT = "/exalign.v1.FaceAlignmentService/PredictLandmarks"

#: Milliseconds: machines are slow, and share their cores.
PATIENCE = 90_000

#: What a page does: JSON, or Connect's binary form; what it could read of the answer.
CALL = """async ([url, kind, body]) => {
  const content = kind === 'application/json' ? body : Uint8Array.from(atob(body), c => c.charCodeAt(0));
  const headers = {'content-type': kind, 'connect-protocol-version': '1', 'connect-timeout-ms': '60000'};
  try {
    const answer = await fetch(url, {method: 'POST', headers, body: content});
    const bytes = new Uint8Array(await answer.arrayBuffer());
    return {status: answer.status, body: btoa(Array.from(bytes, b => String.fromCharCode(b)).join(''))};
  } catch (error) {
    return {refused: String(error)};
  }
}"""


def chromium() -> str | None:
    """The browser: unpacked, or installed. Debian's script looks under /usr alone."""
    unpacked = UNPACKED / "usr/lib/chromium/chromium"
    return str(unpacked) if unpacked.exists() else program("chromium")


pytestmark = pytest.mark.skipif(
    chromium() is None or sys.platform != "linux", reason="needs Chromium (Debian's, or tests/page/chromium.sh)"
)


@pytest_asyncio.fixture
async def live(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as it:
        yield it


@pytest_asyncio.fixture
async def page() -> AsyncIterator[Any]:
    """A page of an origin of its own: a server of which the gateway knows nothing."""

    async def show(request: Any) -> HTMLResponse:
        return HTMLResponse("<!doctype html><title>a page of somebody</title>")

    variables = environment()
    variables["LD_LIBRARY_PATH"] += "".join(f":{p}" for p in (UNPACKED / "usr/lib").glob("*-linux-gnu/pulseaudio"))
    async with listening(Starlette(routes=[Route("/", show)])) as site, playwright.async_playwright() as started:
        browser = await started.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox"], env=variables, timeout=PATIENCE
        )
        opened = await browser.new_page()
        opened.set_default_timeout(PATIENCE)
        await opened.goto(str(site.base_url))
        yield opened
        await browser.close()


async def call(page: Any, http: Any, kind: str, body: str) -> tuple[int, bytes]:
    """Status and body of a call, as the page read them."""
    answer = await page.evaluate(CALL, [f"{http.base_url}{PREDICT}", kind, body])
    assert "refused" not in answer, answer
    return answer["status"], base64.b64decode(answer["body"])


async def test_a_page_of_a_named_origin_calls_in_json_and_in_binary(live: Running, page: Any) -> None:
    origin = await page.evaluate("location.origin")
    theirs = await live.stub.PredictLandmarks(request(GOOD_BOX, data=encoded()))
    async with listening(gateway(live.server.address, origins=[origin])) as http:
        asked = request(GOOD_BOX, data=encoded())
        for kind, body, read in (
            (
                "application/json",
                json_format.MessageToJson(asked),
                lambda raw: json_format.Parse(raw, service_pb2.PredictLandmarksResponse()),
            ),
            (
                "application/proto",
                base64.b64encode(asked.SerializeToString()).decode(),
                service_pb2.PredictLandmarksResponse.FromString,
            ),
        ):
            status, content = await call(page, http, kind, body)
            assert status == 200, content
            (ours,) = read(content).faces
            assert ours.landmarks == theirs.faces[0].landmarks
        status, content = await call(page, http, "application/json", '{"boxes": [{"x0": 5, "x1": 1}]}')
        assert status == 400
        assert b"invalid_argument" in content  # a page can read why


async def test_the_browser_refuses_where_the_origin_is_not_named(live: Running, page: Any) -> None:
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    asked = json_format.MessageToJson(request(GOOD_BOX, data=encoded()))
    for origins in ((), ("https://a.example",)):
        async with listening(gateway(live.server.address, origins=origins)) as http:
            answer = await page.evaluate(CALL, [f"{http.base_url}{PREDICT}", "application/json", asked])
            assert answer == {"refused": "TypeError: Failed to fetch"}
    assert len([text for text in messages if "blocked by CORS policy" in text]) == 2, messages
    assert live.runtime.batches == []  # the server never heard of it
