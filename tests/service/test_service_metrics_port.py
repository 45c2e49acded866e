"""/metrics in the format and the compression that its caller asks for, with what every exporter has."""

from __future__ import annotations

import asyncio
import gzip
import urllib.request
from email.message import Message

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from service_fakes import Running


async def fetch(live: Running, path: str = "/metrics", **headers: str) -> tuple[Message, bytes]:
    """Headers and body of a page."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    asked = urllib.request.Request(f"http://{live.server.metrics_address}{path}", headers=given)

    def get() -> tuple[Message, bytes]:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.headers, answer.read()

    return await asyncio.to_thread(get)


async def test_a_plain_caller_gets_plain_text(live: Running) -> None:
    headers, body = await fetch(live)
    assert headers["Content-Type"].startswith("text/plain")
    assert headers["Content-Encoding"] is None
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    wanted = {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds", "python_info"}
    assert wanted | {"python_gc_collections", "exalign_build_info", "exalign_limit"} <= names


async def test_prometheus_gets_openmetrics_compressed(live: Running) -> None:
    accepted = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
    headers, body = await fetch(live, Accept=accepted, Accept_Encoding="gzip")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert headers["Content-Encoding"] == "gzip"
    assert int(headers["Content-Length"]) == len(body)
    text = gzip.decompress(body).decode()
    assert text.endswith("# EOF\n")
    assert {"exalign_build", "grpc_server_handled"} <= {family.name for family in openmetrics_families(text)}


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
async def test_there_is_no_second_series_of_creation_times(live: Running, accept: str) -> None:
    _, body = await fetch(live, Accept=accept)
    assert b"_created" not in body


async def test_single_metrics_can_be_asked_for(live: Running) -> None:
    _, body = await fetch(live, "/metrics?name[]=exalign_queue_depth")
    assert {family.name for family in text_string_to_metric_families(body.decode())} == {"exalign_queue_depth"}


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=x", "text/plain; version=1.x.y", ";;;=", "é"]
)
async def test_headers_that_make_no_sense_are_answered(live: Running, accept: str) -> None:
    _, body = await fetch(live, Accept=accept.encode().decode("latin-1"))
    assert b"exalign_queue_depth" in body
