"""What the tests of the bridges share with those of the client: its fake server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
for room in (ROOT / "tests" / "clients", ROOT / "integrations" / "label_studio"):
    if str(room) not in sys.path:
        sys.path.append(str(room))

from fake_server import FakeService, serving


@pytest.fixture
def service() -> Iterator[FakeService]:
    with serving(FakeService()) as running:
        yield running
