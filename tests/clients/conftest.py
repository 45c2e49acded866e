"""Fixtures of the client's tests: the fake server, and both clients in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from both_clients import Call, call_async, call_sync
from fake_server import FakeService, serving


@pytest.fixture
def service() -> Iterator[FakeService]:
    with serving(FakeService()) as running:
        yield running


@pytest.fixture(params=[call_sync, call_async], ids=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    chosen: Call = request.param
    return chosen
