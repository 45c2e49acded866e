"""What is compared of other people's contract, and what is said of the machine."""

from __future__ import annotations

from typing import Any

from benchmarks.machine import MOST_BUSY, Machine, machine
from benchmarks.open_inference.__main__ import ONLY_KSERVE, own_messages, strangers
from benchmarks.open_inference.environments import CLIENT, PERF_ANALYZER


def theirs() -> dict[str, list[list[Any]]]:
    """The contract as tritonclient has it."""
    return {
        name: [list(field) for field in fields if not f"{name}.{field[0]}".startswith(ONLY_KSERVE)]
        for name, fields in own_messages().items()
    }


def test_a_field_that_tritonclient_has_otherwise_is_named() -> None:
    found = theirs()
    assert strangers(found) == []
    found["inference.ModelInferRequest"][0][1] = 77
    del found["inference.InferTensorContents"]
    assert "inference.ModelInferRequest.model_name" in strangers(found)
    assert "inference.InferTensorContents.fp32_contents" in strangers(found)


def test_the_environments_hold_named_versions() -> None:
    for environment in (CLIENT, PERF_ANALYZER):
        lines = environment.requirements.read_text().splitlines()
        assert all("==" in line for line in lines if not line.startswith("#"))


def test_a_busy_machine_is_said_to_be() -> None:
    quiet, busy = (Machine("c", "x", 2, share, 0.0) for share in (MOST_BUSY, MOST_BUSY + 0.01))
    assert quiet.quiet
    assert "BUSY" not in str(quiet)
    assert not busy.quiet
    assert "no figure below is a claim" in str(busy)


def test_a_machine_is_looked_at() -> None:
    found = machine(0.01)
    assert found.busy >= 0
    assert found.cores >= 1
