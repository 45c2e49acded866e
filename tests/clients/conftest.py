"""Fixtures of the client's tests: the fake server, both clients in turn, and a picture of the server's size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from both_clients import Call, call_async, call_sync
from fake_server import IMAGE_SIZE, FakeService, serving


@pytest.fixture
def service() -> Iterator[FakeService]:
    with serving(FakeService()) as running:
        yield running


@pytest.fixture(params=[call_sync, call_async], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    chosen: Call = request.param
    return chosen


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A grey file."""
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), np.full((IMAGE_SIZE[1], IMAGE_SIZE[0], 3), 90, np.uint8))
    return path
