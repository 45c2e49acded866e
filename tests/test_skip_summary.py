"""What the last line of a run says of skipped tests."""

from __future__ import annotations

from types import SimpleNamespace

from skip_summary import skip_line


def skipped(reason: str) -> SimpleNamespace:
    return SimpleNamespace(longrepr=("tests/test_x.py", 3, f"Skipped: {reason}"))


def test_skipped_tests_are_counted_by_what_they_need() -> None:
    faces = "needs annotated faces (EXALIGN_DATA)"
    reports = [skipped(faces), skipped("needs a GPU: no driver"), skipped(faces), skipped("needs a GPU: no device")]
    reports += [skipped("needs promtool (apt-get install prometheus)")]
    assert skip_line(reports) == (
        "skipped: 2 need annotated faces (EXALIGN_DATA), 2 need a GPU, 1 needs promtool (apt-get install prometheus)"
    )


def test_nothing_skipped_is_nothing_said() -> None:
    assert skip_line([]) == ""
