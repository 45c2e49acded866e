"""Board and rules as files: what they read is there, every alert fires when it should, and says what to do."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "deploy"))

import alert_cases
import rules

import boards
import prometheus

ROOT = rules.ROOT
BOARD = ROOT / "deploy" / "grafana" / "exalign.json"


def series_of_the_server() -> set[str]:
    """Names of all metrics, with what Prometheus adds to them."""
    found = {"up", "process_open_fds", "process_max_fds", "process_start_time_seconds", "process_resident_memory_bytes"}
    found |= {"process_cpu_seconds_total"}
    for path in (ROOT / "service" / "exalign_service" / "observability").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and re.fullmatch(r"(exalign|grpc_server)_[a-z_]+", str(node.value)):
                found |= {str(node.value) + end for end in ("", "_total", "_info", "_bucket", "_sum", "_count")}
    found |= {f"exalign_oldest_{what}_seconds" for what in ("stage", "batch")}
    return found | {rule["record"] for rule in rules.rules() if "record" in rule}


def test_the_board_is_what_its_script_makes() -> None:
    assert BOARD.read_text("utf-8") == boards.board(), "run: python deploy/boards.py --write"


def test_panels_lie_beside_each_other_and_none_on_another() -> None:
    taken = set()
    for panel in json.loads(BOARD.read_text("utf-8"))["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert max(x for x, _ in taken) == boards.COLUMNS - 1


def test_panels_and_rules_read_series_that_there_are() -> None:
    known = series_of_the_server()
    texts = [query.text for query in boards.queries()] + [rule["expr"] for rule in rules.rules()]
    for text in texts:
        for selector in rules.selectors(text):
            assert selector.partition("{")[0] in known, (selector, text)


def test_every_metric_of_the_server_is_on_the_board() -> None:
    """One that nobody can see is of no use: those that are about one process at a time too."""
    seen = " ".join(query.text for query in boards.queries())
    rows = re.findall(r"^\| (`(?:exalign|grpc)_.*?) \|", (ROOT / "docs" / "operations.md").read_text("utf-8"), re.M)
    names = re.findall(r"`((?:exalign|grpc_server)_[a-z_]+)", " ".join(rows))
    assert len(names) > 50
    bounds = "exalign_recording_limit_bytes"
    assert [name for name in names if name not in seen and name != bounds] == []


def test_promtool_takes_the_rules() -> None:
    done = subprocess.run(
        [prometheus.program("promtool"), "check", "rules", rules.RULES], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_what_compose_starts_prometheus_with() -> None:
    config = rules.RULES.with_name("prometheus.yaml")
    done = subprocess.run(
        [prometheus.program("promtool"), "check", "config", config], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    mounted = (ROOT / "compose.yaml").read_text("utf-8")
    assert all(f"./deploy/prometheus/{name}:" in mounted for name in ("prometheus.yaml", "rules.yaml"))


def test_each_alert_fires_in_the_case_that_causes_it_and_is_quiet_otherwise(tmp_path: Path) -> None:
    cases = tmp_path / "cases.yaml"
    cases.write_text(alert_cases.promtool_file(str(rules.RULES)), "utf-8")
    done = subprocess.run(
        [prometheus.program("promtool"), "test", "rules", cases], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case() -> None:
    assert {rule["alert"] for rule in rules.alerts()} == {case.alert for case in alert_cases.CASES}


@pytest.mark.parametrize("rule", rules.alerts(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_where_its_runbook_is(rule: dict[str, dict[str, str]]) -> None:
    name = str(rule["alert"])
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/operations.md#{name.lower()}")
    assert f"\n### {name}\n" in page
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]


def test_the_runbook_has_no_alert_that_there_is_not() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert re.findall(r"^### (Exalign\w+)$", page, re.M) == [rule["alert"] for rule in rules.alerts()]


def test_every_alert_was_caused_in_a_real_server_or_says_why_not() -> None:
    """See `make boards`, whose result is committed."""
    seen = json.loads((ROOT / "docs" / "benchmarks" / "alerts.json").read_text("utf-8"))
    caused = {alert for one in seen["fired"] for alert in one["alerts"]}
    assert caused | set(seen["by_promtool_alone"]) == {rule["alert"] for rule in rules.alerts()}
