from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from service_fakes import Running, running


@pytest_asyncio.fixture
async def live(tmp_path: Path) -> AsyncIterator[Running]:
    """A server with the default limits."""
    async with running(tmp_path) as it:
        yield it
