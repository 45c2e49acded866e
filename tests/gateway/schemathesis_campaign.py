"""`make gateway`: schemathesis asks a gateway in front of a real server with a tiny bundle, by its OpenAPI.

    python tests/gateway/schemathesis_campaign.py [--cases 5000] [--seed 1] [--dir DIR] [--out docs/gateway.json]

schemathesis is in an environment of its own, made with pip below --dir (kept there) or in a temporary folder. Half of
the requests are right, a quarter is right but for one value (`right_requests`), a quarter is schemathesis' own. No
answer may be a 5xx but 503 and 504, which say that the server is ending or was too slow; every answer is one that the
OpenAPI describes. The gateway counts what it answered.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("tests/gateway", "tests/service", "tests", "gateway", "clients")]
sys.path[:0] = [str(ROOT / name) for name in ("service", "engine", "protos")]

from exalign.v1 import service_pb2
from exalign_gateway import gateway
from exalign_gateway.calls import METHODS, path_of
from listening_gateway import listening
from right_requests import GIVEN
from service_fakes import GOOD_BOX, FakeDetector, Running, config, encoded, picture, request, running

#: Answers of 500 and above that are documented as no fault.
ALLOWED = {503, 504}

#: Files of pictures, all of 64 x 48 pixels.
KINDS = (".png", ".jpg", ".webp", ".bmp")

#: Faces whose posteriors the server keeps from the start.
KEPT = 6

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Counted:
    """An ASGI application that counts calls by method and status."""

    def __init__(self, app: Any) -> None:
        self.app, self.calls = app, Counter[tuple[str, int]]()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Send) -> None:
        """Answer, and count."""

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and scope["path"].startswith("/exalign."):
                self.calls[scope["path"].rpartition("/")[2], message["status"]] += 1
            await send(message)

        await self.app(scope, receive, counted)


def environment(place: Path) -> Path:
    """The folder of schemathesis' programs; its environment is made where it is not there."""
    programs = place / "schemathesis" / "bin"
    if not (programs / "schemathesis").exists():
        subprocess.run([sys.executable, "-m", "venv", str(programs.parent)], check=True)
        pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "schemathesis"], check=True)
    return programs


async def given(live: Running, seed: int) -> dict[str, Any]:
    """What right requests name: pictures, posteriors that the server keeps, and its bundle."""
    pictures = [encoded(picture(seed=seed + number), kind) for number, kind in enumerate(KINDS)]
    asked = [request(GOOD_BOX, data=encoded(picture(seed=seed + 10 + number))) for number in range(KEPT)]
    answers = [await live.stub.PredictLandmarks(one) for one in asked]
    return {
        "pictures": [base64.b64encode(data).decode() for data in pictures],
        "posteriors": [answer.faces[0].posterior_id for answer in answers],
        "bundle": (await live.stub.GetModel(service_pb2.GetModelRequest())).bundle_id,
    }


async def campaign(programs: Path, cases: int, seed: int) -> tuple[int, Counter[tuple[str, int]], str]:
    """Run schemathesis; its exit code, all calls by method and status, and what it wrote."""
    # Every answer about a face is kept: those that right requests name must not go.
    settings = config(max_posteriors=1_000_000, max_posterior_bytes=2**32)
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), settings, detector=FakeDetector((GOOD_BOX, 0.99))) as live:
            known = Path(folder, "given.json")
            known.write_text(json.dumps(await given(live, seed)))
            counted = Counted(gateway(live.server.address))
            async with listening(counted) as http:  # type: ignore[arg-type]  # what uvicorn takes
                command = [str(programs / "schemathesis"), "run", f"{http.base_url}/openapi.json"]
                command += ["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"]
                command += ["--phases", "fuzzing", "--mode", "all", "--seed", str(seed), "--continue-on-failure"]
                command += ["--max-examples", str(math.ceil(cases / len(METHODS))), "--no-color"]
                command += ["--suppress-health-check", "all", "--generation-database", "none"]
                hooks = {"SCHEMATHESIS_HOOKS": "right_requests", "PYTHONPATH": str(Path(__file__).parent)}
                process = await asyncio.create_subprocess_exec(
                    *command,
                    cwd=folder,
                    env={**os.environ, **hooks, GIVEN: str(known)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
                output, _ = await process.communicate()
                return process.returncode or 0, counted.calls, output.decode(errors="replace")


def main() -> int:
    """Run the command; 1 where an answer is none of the allowed ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000, help="of all methods together, about (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", type=Path, help="folder of the environment, kept (default: a temporary one)")
    parser.add_argument("--out", type=Path, metavar="JSON", help="where the result goes (default: nowhere)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        programs = environment((arguments.dir or Path(temporary)).resolve())
        show = [str(programs / "python"), "-c", "from importlib.metadata import version as v; print(v('schemathesis'))"]
        version = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
        code, calls, output = asyncio.run(campaign(programs, arguments.cases, arguments.seed))
    print(output[-6000:])
    statuses = Counter[int]()
    for (_, status), count in calls.items():
        statuses[status] += count
    faults = {status: count for status, count in statuses.items() if status >= 500 and status not in ALLOWED}
    result = {
        "schemathesis": version,
        "seed": arguments.seed,
        "calls": sum(statuses.values()),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "methods": {
            path_of(method): {str(s): calls[method.name, s] for s in sorted(statuses) if calls[method.name, s]}
            for method in METHODS
        },
        "exit_code": code,
    }
    print(json.dumps(result, indent=1))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if faults or code else 0


if __name__ == "__main__":
    sys.exit(main())
