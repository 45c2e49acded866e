"""Properties are tried on the same examples in every run, whatever else has been imported."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties import SEARCHED


def drawn() -> list[int]:
    """What a property is tried on."""
    seen: list[int] = []

    @given(st.integers(0, 2**40))
    def keeps(number: int) -> None:
        seen.append(number)

    keeps()
    return seen


@pytest.mark.skipif(bool(SEARCHED), reason="a search is meant to differ")
def test_a_module_that_is_imported_changes_no_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = drawn()
    numbers = [7_000_000_019 + 13 * i for i in range(300)]
    (tmp_path / "full_of_numbers.py").write_text(f"NUMBERS = {numbers}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("full_of_numbers")
    assert drawn() == before
