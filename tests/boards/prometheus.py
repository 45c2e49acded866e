"""The real Prometheus, for one test: it scrapes servers, judges rules, and answers queries."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

import outside_programs

#: Seconds between two scrapes; a page of ours is a fifth of a megabyte.
SCRAPE = "500ms"

#: Longest wait for anything, seconds: the machine may be busy with other things.
PATIENCE = 240.0

HOW = "needs Prometheus (apt-get install prometheus, or unpacked as .ci/run does)"

Sample = dict[str, Any]


def program(name: str) -> str:
    """The path of prometheus or promtool; without one the test is skipped."""
    found = outside_programs.program(name)
    if found is None:
        pytest.skip(HOW)
    return found


class Prometheus:
    """One that runs.

    Args:
        address: host:port.
    """

    def __init__(self, address: str) -> None:
        self._base = f"http://{address}/api/v1/"

    def _get(self, path: str, **arguments: str | float) -> Any:
        with urllib.request.urlopen(f"{self._base}{path}?{urllib.parse.urlencode(arguments)}", timeout=60) as answer:
            return json.load(answer)["data"]

    def ready(self) -> bool:
        """Whether it answers: it listens before."""
        try:
            self.query("vector(1)")
        except urllib.error.HTTPError:
            return False
        return True

    def query(self, expr: str) -> list[Sample]:
        """The series of an expression, now."""
        return list(self._get("query", query=expr)["result"])

    def range(self, expr: str, start: float, end: float, step: float) -> list[Sample]:
        """The series of an expression over time."""
        return list(self._get("query_range", query=expr, start=start, end=end, step=step)["result"])

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {one["labels"]["alertname"] for one in self._get("alerts")["alerts"] if one["state"] == "firing"}

    def wait_for(self, true: Callable[[], bool], what: str) -> None:
        """Ask again until it is so."""
        until = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < until, f"{what}: waited in vain"
            time.sleep(0.25)


@contextmanager
def prometheus(folder: Path, targets: Sequence[str], rules: str, scrape: str = SCRAPE) -> Iterator[Prometheus]:
    """Start one; ended with the block.

    Args:
        folder: for its files.
        targets: host:port of the pages that it scrapes.
        rules: a file of rules, as text.
        scrape: time between two scrapes.
    """
    port = outside_programs.free_port()
    (folder / "rules.yaml").write_text(rules, "utf-8")
    settings = {
        "global": {"scrape_interval": scrape, "scrape_timeout": scrape, "evaluation_interval": scrape},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "exalign", "static_configs": [{"targets": list(targets)}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    process = outside_programs.start(command, port)
    try:
        running = Prometheus(f"127.0.0.1:{port}")
        running.wait_for(running.ready, "ready")
        yield running
    finally:
        process.kill()
        process.wait(30)
