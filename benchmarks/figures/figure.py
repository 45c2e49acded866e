"""What a figure is: the command that makes it, where its file lies, and where its numbers stand in pages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

#: What a command may need, and how it is said.
NEEDS = {
    "data": "annotated faces (--data, EXALIGN_DATA or DATA=)",
    "internet": "an index of packages",
    "programs": "Redis, HAProxy, Prometheus or Chromium",
    "peers": "the environments of `python -m benchmarks.peers.environments`",
    "cuda": "a GPU",
}


@dataclass(frozen=True)
class Shown:
    """Numbers of a figure in a page.

    Attributes:
        page: relative to the root.
        template: the words of the page, with ``{path:format}`` in place of each number. A path leads into the result,
            by keys, list places and ``key=value`` of a list's rows, with "/" between them, and may end in ``*100``; a
            format is Python's, or one that ends in ``z``: without the 0 before the point.
    """

    page: str
    template: str


@dataclass(frozen=True)
class Figure:
    """One measurement.

    Attributes:
        name: for FIGURES=.
        says: what it is, in a line.
        command: as one types it in the root; ``{data}`` and ``{out}`` stand for the faces and the file to write.
        minutes: about how long it takes on two cores; an estimate.
        out: its JSON file, relative to the root.
        timing: whether it hangs on what else the machine does.
        needs: of `NEEDS`.
        written: file that the command writes in place of ``{out}``, relative to the root; empty: it prints its JSON,
            unless ``{out}`` is in the command.
        prints_text: what it prints is text, and is kept as such.
        also: other files that it makes, relative to the root.
        shown: where its numbers stand.
    """

    name: str
    says: str
    command: str
    minutes: float
    out: str = ""
    timing: bool = False
    needs: tuple[str, ...] = ()
    written: str = ""
    prints_text: bool = False
    also: tuple[str, ...] = ()
    shown: tuple[Shown, ...] = ()

    @property
    def path(self) -> Path:
        """Its JSON file."""
        return ROOT / (self.out or f"docs/benchmarks/{self.name}.json")

    def found(self) -> dict[str, Any] | None:
        """What its file holds, the stamp under ``measured``; None where there is none."""
        if not self.path.is_file():
            return None
        content = json.loads(self.path.read_text("utf-8"))
        return content if isinstance(content, dict) else {"rows": content}

    @property
    def stamp(self) -> dict[str, Any] | None:
        """On what its file was made; None where there is no file, or one of an earlier run."""
        return (self.found() or {}).get("measured")

    @property
    def is_claim(self) -> bool:
        """Whether it was made by this command, and where it hangs on time on a quiet machine."""
        stamp = self.stamp
        return stamp is not None and bool(stamp["claim"])

    @property
    def is_shown(self) -> bool:
        """Whether pages must agree with it: a claim, or the file of an earlier run."""
        return self.path.is_file() and (self.is_claim or self.stamp is None)
