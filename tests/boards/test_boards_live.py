"""The real Prometheus scrapes a real server under load: every query of board and rules returns numbers."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy"))

import rules
from load import load

import boards
import outside_programs
from exalign_client import local_server
from prometheus import Prometheus, Sample, program, prometheus

#: What Grafana puts in place of its variables.
GRAFANA = {"$__rate_interval": "10s", "$job": "exalign", "$instance": ".*"}

#: Recorded series of these settings exist only where they are set.
OF_SETTINGS = {"exalign_store_": "store", "exalign_checkpoint": "store", "exalign_sessions_behind": "store"}


def asked(text: str) -> str:
    """A query of the board as Grafana sends it."""
    for variable, value in GRAFANA.items():
        text = text.replace(variable, value)
    return text


def needed(selector: str) -> str:
    """The setting that a series needs; empty: none."""
    return next((setting for start, setting in OF_SETTINGS.items() if selector.startswith(start)), "")


PANELS = {asked(query.text): query.needs for query in boards.queries()}
SERIES = {selector: needed(selector) for rule in rules.rules() for selector in rules.selectors(rule["expr"])}
QUERIES = PANELS | SERIES


def has_numbers(found: list[Sample]) -> bool:
    """Whether there is a series with a value: 0 through 0 is none."""
    return any(math.isfinite(float(sample["value"][1])) for sample in found)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Of the server: without Redis it has no store."""
    with ExitStack() as stack:
        chosen = {"record_sessions": str(tmp_path_factory.mktemp("recorded"))}
        if outside_programs.program("redis-server") is not None:
            chosen["store"] = stack.enter_context(outside_programs.redis(tmp_path_factory.mktemp("redis")))
            keys = tmp_path_factory.mktemp("keys") / "resume-keys"
            keys.write_text("ab" * 32)
            chosen["resume_keys"] = str(keys)
        yield chosen


@pytest.fixture(scope="module")
def without_answer(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Queries that never had a number while the load ran."""
    flags = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", value)]
    folder = tmp_path_factory.mktemp("prometheus")
    program("prometheus")
    with (
        local_server(tcp=True, arguments=flags) as server,
        prometheus(folder, [server.metrics_address], rules.faster_rules("500ms")) as running,
        load(server.address) as wrong,
    ):
        left = [text for text, needs in QUERIES.items() if not needs or needs in settings]

        def all_answered() -> bool:
            assert not wrong, wrong
            left[:] = [text for text in left if not has_numbers(running.query(text))]
            return not left

        wait(running, all_answered)
        yield left


def wait(running: Prometheus, condition: object) -> None:
    """As long as it may take; each test then says what is missing."""
    try:
        running.wait_for(condition, "queries")  # type: ignore[arg-type]
    except AssertionError as e:
        if "waited in vain" not in str(e):
            raise


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_board_and_rules_returns_numbers(
    query: str, settings: dict[str, str], without_answer: list[str]
) -> None:
    if QUERIES[query] and QUERIES[query] not in settings:
        pytest.skip("needs redis-server (apt-get install redis-server)")
    assert query not in without_answer
