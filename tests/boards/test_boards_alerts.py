"""Alerts that a real server causes cheaply fire in the real Prometheus; `make boards` causes the others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import stands
from firing import fire, watched

from prometheus import program


@pytest.mark.parametrize("name", ["overloaded"])
def test_alerts_are_quiet_before_their_cause_and_fire_then(name: str, tmp_path: Path) -> None:
    program("prometheus")
    (tmp_path / "tsdb").mkdir()
    with stands.STANDS[name](tmp_path) as stand, watched(tmp_path, stand) as running:
        assert [fired.alerts for fired in fire(running, stand)] == [alerts for alerts, _ in stand.causes]
    shutil.rmtree(tmp_path / "tsdb", ignore_errors=True)
