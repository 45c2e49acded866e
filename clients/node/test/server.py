"""A real server with a tiny bundle, for the tests of the Node client: ``python server.py PORT``; until it is killed."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
for room in ("tests", "tests/service", "service", "engine", "clients", "protos"):
    sys.path.insert(0, str(ROOT / room))

from service_fakes import config, running  # noqa: E402


async def serve(port: int) -> None:
    """Serve on a port; its address is printed."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), config(address=f"127.0.0.1:{port}", max_unacked_frames=8)) as live:
            print(live.server.address, flush=True)
            await asyncio.Event().wait()


asyncio.run(serve(int(sys.argv[1])))
