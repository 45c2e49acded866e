"""``python -m exalign_client.commands.demo``, with the fake server in the place of the one that it would start."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import cv2
import pytest

import exalign_client.commands.demo
from exalign_client import LocalServer
from exalign_client.pictures.decode import decode_picture
from fake_server import FakeService

pytest.importorskip("skimage", reason="the demo's photograph comes with scikit-image (extra 'demo')")

METRICS = b"""\
grpc_server_handling_seconds_bucket{grpc_method="GetModel",le="+Inf"} 0.0
grpc_server_handling_seconds_bucket{grpc_method="PredictLandmarks",le="0.05"} 20.0
grpc_server_handling_seconds_bucket{grpc_method="PredictLandmarks",le="+Inf"} 21.0
exalign_stage_seconds_bucket{le="0.005",stage="infer"} 21.0
exalign_stage_seconds_bucket{le="+Inf",stage="infer"} 21.0
"""


class _Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(METRICS)

    def log_message(self, format: str, *arguments: object) -> None:
        """Not on the test's standard error."""


@pytest.fixture
def metrics_address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Metrics) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def started(service: FakeService, metrics_address: str, monkeypatch: pytest.MonkeyPatch) -> FakeService:
    @contextmanager
    def fake_local_server(*, tcp: bool) -> Iterator[LocalServer]:
        assert tcp  # the demo shows a real network socket
        yield LocalServer(service.address, metrics_address)

    monkeypatch.setattr(exalign_client.commands.demo, "local_server", fake_local_server)
    service.image_size = (512, 512)
    return service


def test_the_demo_shows_landmarks_an_overlay_and_latencies(
    started: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exalign_client.commands.demo.main(["--out", str(tmp_path / "new")]) == 0
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines() if " point_" in line] == [f"point_{n}" for n in range(68)]
    drawn = cv2.imread(str(tmp_path / "new" / "astronaut.png"))
    assert drawn is not None
    assert drawn.shape == (512, 512, 3)
    assert "grpc_server_handling_seconds PredictLandmarks: 21 observed" in out
    assert "exalign_stage_seconds infer: 21 observed, p50 2.5 ms, p95 4.75 ms" in out
    assert "GetModel" not in out  # nothing observed, nothing shown
    assert len(started.requests) == 21
    assert decode_picture(started.requests[0].image.encoded).shape == (512, 512, 3)


def test_a_photograph_without_an_answer_is_a_failure(
    started: FakeService, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started.faces = 0
    assert exalign_client.commands.demo.main(["--out", str(tmp_path)]) == 1
    assert "no face was found" in capsys.readouterr().err
