"""What docs/bars.md names is there: tests, commands, modules, targets; and every verdict is one of few."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "bars.md").read_text("utf-8")
ROWS = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ") and "| Holds |" not in line]


def test_every_row_says_whether_its_bar_holds() -> None:
    assert len(ROWS) > 80
    for row in ROWS:
        assert len(row) == 4, row
        verdict = row[3].strip()
        assert re.match(r"(yes|no|partly|in |not )", verdict), row


def test_tests_and_modules_that_are_named_are_there() -> None:
    for path in re.findall(r"tests/[\w/]+\.py|benchmarks/\w+\.py|deploy/[\w/]+\.py", PAGE):
        assert (ROOT / path).is_file(), path
    for name in re.findall(r"`(test_\w+\.py)`", PAGE):
        assert list((ROOT / "tests").rglob(name)), name
    for name in re.findall(r"python -m benchmarks\.(\w+)", PAGE):
        assert (ROOT / "benchmarks" / f"{name}.py").is_file() or (ROOT / "benchmarks" / name).is_dir(), name


def test_targets_that_are_named_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"`make ([a-z-]+)", PAGE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
