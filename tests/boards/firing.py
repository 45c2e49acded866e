"""Alerts in the real Prometheus: quiet before, firing while their cause lasts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import rules
from causes import Stand

from prometheus import Prometheus, prometheus

#: They hang on how fast the machine is, hence may fire on one that is busy with other things.
OF_TIME = {"ExalignDown", "ExalignSlowCalls", "ExalignSlowFrames"}


@dataclass(frozen=True)
class Fired:
    """What came of one cause.

    Attributes:
        cause: its name.
        alerts: that must fire, and did.
        seconds: from the beginning of the cause to the last of them, where time passes faster.
        others: that fired as well.
        faster: how much faster.
    """

    cause: str
    alerts: tuple[str, ...]
    seconds: float
    others: tuple[str, ...]
    faster: float


@contextmanager
def watched(folder: Path, stand: Stand) -> Iterator[Prometheus]:
    """A Prometheus that has seen the stand, and finds nothing wrong with it."""
    with prometheus(folder, stand.pages, rules.faster_rules("500ms", stand.faster)) as running:
        # Two looks at least, so that rates have values.
        running.wait_for(lambda: bool(running.query('rate(exalign_limit{setting="queue"}[10s])')), "scrapes")
        time.sleep(stand.healthy)
        assert running.firing() <= OF_TIME, running.firing()
        yield running


def fire(running: Prometheus, stand: Stand) -> Iterator[Fired]:
    """Cause one after the other; each alert is quiet before, and fires then."""
    for alerts, lasting in stand.causes:
        before = running.firing()
        assert not before & set(alerts) - OF_TIME, (lasting.__name__, before)
        began = time.monotonic()
        cause = lasting()
        next(cause)
        running.wait_for(lambda alerts=alerts: set(alerts) <= running.firing(), f"{lasting.__name__} {alerts}")
        seconds = time.monotonic() - began
        others = tuple(sorted(running.firing() - set(alerts) - before))
        for _ in cause:
            pass
        yield Fired(lasting.__name__, alerts, round(seconds, 1), others, stand.faster)
