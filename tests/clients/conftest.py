"""Fixtures of the client's tests: the fake server, and both clients in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from both_clients import Ask, ask_async, ask_sync
from fake_server import FakeService, serving


@pytest.fixture
def service() -> Iterator[FakeService]:
    with serving(FakeService()) as running:
        yield running


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen
