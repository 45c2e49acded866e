"""One line at the end of a run: how many tests were skipped, and what each kind of them needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any


def skip_line(reports: Iterable[Any]) -> str:
    """The line; empty where nothing was skipped.

    Args:
        reports: pytest's reports of skipped tests. A reason reads "needs WHAT (where from)", or "needs WHAT: details",
            of which the details are left out.
    """
    reasons = Counter(_reason(report) for report in reports)
    parts = [f"{count} {reason if count == 1 else _plural(reason)}" for reason, count in reasons.most_common()]
    return f"skipped: {', '.join(parts)}" if parts else ""


def _reason(report: Any) -> str:
    text = str(report.longrepr[2] if isinstance(report.longrepr, tuple | list) else report.longrepr)
    text = text.removeprefix("Skipped: ")
    head, colon, _ = text.partition(": ")
    return head if colon and "(" not in head else text


def _plural(reason: str) -> str:
    return "need " + reason.removeprefix("needs ") if reason.startswith("needs ") else reason
