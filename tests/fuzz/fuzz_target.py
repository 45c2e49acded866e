"""What is fuzzed in process, and what counts as a find.

An input may be taken or refused. A find is anything else: an exception that is none of our documented ones, an answer
that breaks what was promised (`BrokenPromiseError`), or more CPU time than an input may take. What ends the process,
and memory that grows, is found by who watches it (`fuzz`).
"""

from __future__ import annotations

import gc
import hashlib
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from fuzz_paths import ROOT

#: Of one kind of find, inputs that are kept.
KEPT = 3

#: Characters of an error's text that a report shows.
SHOWN = 200


@dataclass(frozen=True)
class TargetSpec:
    """A target before anything of it is imported.

    Attributes:
        module: of this folder; it has a class `Fuzzed`.
        cpu_seconds: CPU time that an input may take.
        max_bytes: longest input.
    """

    module: str
    cpu_seconds: float
    max_bytes: int


TARGETS = {
    "decode": TargetSpec("decode_target", 2.0, 16_384),
    "request": TargetSpec("request_target", 1.0, 8_192),
    "bundle": TargetSpec("bundle_target", 2.0, 65_536),
    "state": TargetSpec("state_target", 1.0, 65_536),
    "token": TargetSpec("token_target", 0.5, 2_048),
}


class BrokenPromiseError(AssertionError):
    """An input was answered otherwise than documented."""


class Target(ABC):
    """One thing that takes bytes.

    Args:
        folder: of its own, empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def seeds(self) -> Sequence[bytes]:
        """Inputs to begin with, made by code; the same each time."""

    @abstractmethod
    def run(self, data: bytes) -> str:
        """Take an input; what became of it, in a few words of which there are not many.

        Raises:
            BrokenPromiseError: a find.
        """

    def mutate(self, data: bytes, random: Random) -> bytes | None:
        """Another input by the grammar of this one; None: leave it to who changes bytes."""
        return None

    def close(self) -> None:  # noqa: B027  # most hold nothing
        """Let go of what is held."""


@dataclass
class Find:
    """One kind of find.

    Attributes:
        kind: exception, or what else was wrong.
        where: innermost line of ours.
        text: of the first one.
        count: inputs.
        inputs: SHA-256 of the first of them, hexadecimal.
    """

    kind: str
    where: str
    text: str
    count: int = 0
    inputs: list[str] = field(default_factory=list)


class Judge:
    """Runs inputs through a target, and counts.

    Args:
        target: takes them.
        cpu_seconds: that one may take.
        kept: folder for inputs that are finds; None: nothing is written.
    """

    def __init__(self, target: Target, cpu_seconds: float, kept: Path | None = None) -> None:
        self._target, self._cpu_seconds, self._folder = target, cpu_seconds, kept
        self.executed, self.slowest = 0, 0.0
        self.outcomes: Counter[str] = Counter()
        self.finds: dict[str, Find] = {}

    def __call__(self, data: bytes) -> None:
        """Run one input; a find is noted, and never raised."""
        self.executed += 1
        start = time.process_time()
        try:
            outcome = self._target.run(data)
        except Exception as e:  # noqa: BLE001  # this is what we look for
            outcome = "find"
            self._note(Find(type(e).__name__, place_of(e), without_paths(str(e))), data)
        spent = time.process_time() - start
        self.outcomes[outcome] += 1
        self.slowest = max(self.slowest, spent)
        if spent > self._cpu_seconds:
            text = f"{spent:.1f} s of CPU time, at most {self._cpu_seconds:g} s"
            self._note(Find("slow", outcome, text), data)

    def report(self) -> dict[str, Any]:
        """What was counted, for JSON."""
        return {
            "executed": self.executed,
            "slowest_cpu_seconds": round(self.slowest, 3),
            "outcomes": dict(self.outcomes.most_common()),
            "finds": [asdict(find) for find in self.finds.values()],
        }

    def _note(self, found: Find, data: bytes) -> None:
        find = self.finds.setdefault(f"{found.kind} {found.where}", found)
        find.count += 1
        digest = hashlib.sha256(data).hexdigest()
        if len(find.inputs) < KEPT and digest not in find.inputs:
            find.inputs.append(digest)
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True)
                (self._folder / digest).write_bytes(data)


def place_of(error: BaseException) -> str:
    """``file:line function`` of the innermost frame of ours that an exception passed through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(ROOT)]
    ours = [f for f in frames if not Path(f.filename).is_relative_to(ROOT / "tests")] or frames
    if not ours:
        return "not in our code"
    frame = ours[-1]
    return f"{Path(frame.filename).relative_to(ROOT)}:{frame.lineno} {frame.name}"


def without_paths(text: str) -> str:
    """A text for a report: short, and without what is on this machine alone."""
    return text.replace(str(ROOT), "…")[:SHOWN]


def resident_bytes() -> int:
    """Memory of this process that no file backs: the kernel may take pages of files back at any time."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
