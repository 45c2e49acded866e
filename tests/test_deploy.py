"""What is given to operators: each file is read by the program that it is for, where that is here, and says what is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import outside_programs
from exalign_service.config.sources import SCHEMA

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def test_haproxy_takes_its_configuration() -> None:
    program = outside_programs.program("haproxy")
    if program is None:
        pytest.skip("haproxy is not here")
    done = subprocess.run(
        [program, "-c", "-f", DEPLOY / "haproxy.cfg"],
        cwd=ROOT,
        env=outside_programs.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr.upper()


def test_streams_of_a_draining_server_are_never_cut_by_the_proxy() -> None:
    """The traps that were found: docs/decisions/fleet.md."""
    text = re.sub("#.*", "", (DEPLOY / "haproxy.cfg").read_text())
    assert "shutdown-sessions" not in text
    for line in text.splitlines():
        assert not line.lstrip().startswith("server ") or "check-proto h1" in line
    assert text.count("hash-type consistent") == text.count("balance hdr(x-session-id)") == 2


def test_envoy_leads_sessions_by_name_to_servers_that_are_ready_and_cuts_no_stream() -> None:
    read = yaml.safe_load((DEPLOY / "envoy.yaml").read_text())["static_resources"]
    (chain,) = read["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    (route,) = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert route["route"]["timeout"] == "0s"
    assert route["route"]["hash_policy"] == [{"header": {"header_name": "x-session-id"}}]
    (cluster,) = read["clusters"]
    assert cluster["common_lb_config"]["consistent_hashing_lb_config"] == {"hash_balance_factor": 110}
    assert cluster["health_checks"][0]["http_health_check"]["path"] == "/readyz"
    endpoints = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert len({one["endpoint"]["health_check_config"]["port_value"] for one in endpoints}) == 4


def test_the_compose_file_starts_what_there_is() -> None:
    read = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = read["services"]
    assert {"server1", "server2", "redis", "haproxy", "prometheus"} == set(services)
    names = {setting.flag for setting in SCHEMA.settings()}
    command = services["server1"]["command"]
    assert command[0] == "serve"
    flags = dict(word.split("=", 1) for word in command[1:])
    assert set(flags) <= names
    SCHEMA.load({flag[2:].replace("-", "_"): value for flag, value in flags.items()}, {})
    for volume in (*services["haproxy"]["volumes"], *services["prometheus"]["volumes"]):
        assert (ROOT / volume.split(":")[0]).is_file(), volume
    used = set(re.findall(r"\$\{(EXALIGN_\w+)-", (DEPLOY / "haproxy.cfg").read_text()))
    assert set(services["haproxy"]["environment"]) <= used


def test_chaos_names_its_scenarios() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "chaos" / "chaos.py", "nothing"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "there is no scenario nothing" in done.stderr
