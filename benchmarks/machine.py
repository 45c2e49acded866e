"""On what something was measured, and whether the machine had nothing else to do."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

#: Share of the processors that others may use on a machine of which a figure is claimed.
MOST_BUSY = 0.05

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Machine:
    """Where something was measured.

    Attributes:
        commit: of this checkout; with "+" where something in it is not committed.
        cpu: name of the processor.
        cores: that this process may use.
        busy: share of the processors that others used before it began, 0 to 1.
        load: mean number of runnable threads over the last minute.
    """

    commit: str
    cpu: str
    cores: int
    busy: float
    load: float

    @property
    def quiet(self) -> bool:
        """Whether figures may be claimed."""
        return self.busy <= MOST_BUSY

    def __str__(self) -> str:
        state = "quiet" if self.quiet else "BUSY: no figure below is a claim"
        return (
            f"commit {self.commit}; {self.cpu}, {self.cores} cores; others use {self.busy:.0%} of them,"
            f" load {self.load:.2f}: {state}"
        )


def machine(seconds: float = 2.0) -> Machine:
    """Look at the machine, for so long; to be called before anything of ours runs. On Linux."""
    before, started = busy_seconds(), time.monotonic()
    time.sleep(seconds)
    processors = os.cpu_count() or 1
    busy = (busy_seconds() - before) / (time.monotonic() - started) / processors
    return Machine(commit_here(), _cpu(), len(os.sched_getaffinity(0)), busy, os.getloadavg()[0])


def busy_seconds() -> float:
    """CPU time of everything up to now, over all processors."""
    user, nice, system, _, _, irq, soft, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def commit_here() -> str:
    """Of this checkout; with "+" where something in it is not committed."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
