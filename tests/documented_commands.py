"""The commands of README and docs, as they are written: lines of code blocks, and commands within the text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Programs of ours.
PROGRAMS = ("exalign", "exalign-server", "exalign-model")

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*")


@dataclass(frozen=True)
class Documented:
    """One command of a document.

    Attributes:
        path: the document.
        line: its line there, from 1.
        text: as it is written, comments and continuations aside.
        in_block: whether it is a line of a code block, rather than within the text.
    """

    path: Path
    line: int
    text: str
    in_block: bool

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} {self.text}"

    @property
    def words(self) -> list[str]:
        """As a shell splits it; assignments in front are left out."""
        words = shlex.split(self.text, comments=True)
        while words and _ASSIGNMENT.fullmatch(words[0]):
            words.pop(0)
        return words

    @property
    def ours(self) -> list[str] | None:
        """From our program on, which another may start; None: there is none."""
        words = self.words
        if words[:1] == ["docker"]:
            return None  # an image of ours has the name of a program
        for place, word in enumerate(words):
            if word in PROGRAMS:
                return words[place:]
        return None


def documents() -> list[Path]:
    """README, docs and the models' pages."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "models").glob("*/README.md"))]


def commands(path: Path) -> Iterator[Documented]:
    """All commands of a document: lines of its shell blocks, and our programs within the text."""
    text = path.read_text("utf-8")
    for block in _BLOCK.finditer(text):
        if block[1] == "sh":
            yield from _lines(path, block[2], text[: block.start(2)].count("\n") + 1)
    # Blocks become blanks, so that what follows keeps its line.
    for number, line in enumerate(_BLOCK.sub(lambda m: "\n" * m[0].count("\n"), text).splitlines(), start=1):
        for found in _INLINE.finditer(line):
            if found[1].split()[0] in PROGRAMS and " " in found[1]:
                yield Documented(path, number, found[1], in_block=False)


def _lines(path: Path, block: str, first: int) -> Iterator[Documented]:
    pending, start = "", first
    for number, line in enumerate(block.splitlines(), start=first):
        start = start if pending else number
        pending += line.removesuffix("\\")
        if not line.endswith("\\"):
            if shlex.split(pending, comments=True):
                yield Documented(path, start, _without_comment(pending), in_block=True)
            pending = ""


def _without_comment(line: str) -> str:
    """A line of a shell up to the comment that ends it."""
    return re.sub(r"\s+#\s.*", "", line.strip())


def python_blocks(path: Path) -> list[str]:
    """The Python of a document."""
    return [block[2] for block in _BLOCK.finditer(path.read_text("utf-8")) if block[1] == "python"]
