"""The real server as a subprocess, on real sockets, with the default bundle."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import cv2
import grpc
import pytest

from exalign.v1 import service_pb2_grpc
from exalign_client import Client
from exalign_client.transport.local_server import LocalServer, local_server


@pytest.fixture(scope="session")
def server() -> Iterator[LocalServer]:
    """One server for all tests that leave it as it was."""
    with local_server(tcp=True) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: LocalServer) -> Iterator[Client]:
    with Client(server.address) as connected:
        connected.wait_ready()
        yield connected


@pytest.fixture(scope="session")
def stub(server: LocalServer) -> Iterator[service_pb2_grpc.FaceAlignmentServiceStub]:
    """The contract itself, for requests that our client would not send."""
    with grpc.insecure_channel(server.address) as channel:
        yield service_pb2_grpc.FaceAlignmentServiceStub(channel)


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    """scikit-image's photograph of Eileen Collins (NASA, public domain) as a JPEG of 512×512."""
    data = pytest.importorskip("skimage.data")
    return bytes(cv2.imencode(".jpg", data.astronaut()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())


def metrics(server: LocalServer) -> str:
    """The text of /metrics."""
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=60) as page:
        return str(page.read().decode())
