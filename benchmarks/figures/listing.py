"""docs/figures.md: every figure with its command, on what it was made, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.figures.figure import NEEDS, ROOT, Figure

PAGE = ROOT / "docs" / "figures.md"

#: What stands above the table.
HEAD = """# Every figure, and on what it was made

`make figures` makes all of it again from the tree that is here, and goes on where it was interrupted.
`make figures FIGURES=face,streams` makes some. It writes JSON files with commit, processor, load and date in them, the
numbers into the pages, and this page. It needs a checkout with git.

- **Figures of time are claims on a quiet machine only**: others use at most 5 % of the processors before a figure is
  made, and 10 % meanwhile. On another machine they are left out. `BUSY=1` measures them all the same; they are no
  claim then, take no claim's place, and no page shows them.
- **No stamp**: this command has not made the figure yet. Its file is of an earlier run of the same measurement, and
  says itself what it knows of that.
- **Numbers in the pages** that the last column names are compared with the files in `make test`. Other numbers in prose
  and in [decisions](decisions/README.md) are of the commit and the machine that stand beside them, and are not made
  again.
- Minutes are estimates, for two cores. What was promised and whether it holds is in [bars](bars.md).
"""


def page(figures: Sequence[Figure]) -> str:
    """The whole page."""
    lines = [HEAD, "| Figure | Command | Minutes | Made on | Pages |", "|---|---|---|---|---|"]
    for figure in figures:
        pages = sorted({shown.page.removeprefix("docs/") for shown in figure.shown})
        command = figure.command.replace("{data}", "FACES").replace("{out}", "FILE")
        lines.append(
            f"| **{figure.name}**: {figure.says} | `{command}`{_needs(figure)} | {figure.minutes:g} "
            f"| {_made_on(figure)} | {', '.join(pages)} |"
        )
    return "\n".join(lines) + "\n"


def _needs(figure: Figure) -> str:
    """What it needs beside this checkout."""
    needs = [NEEDS[need] for need in figure.needs if need != "data"]
    return f"; needs {' and '.join(needs)}" if needs else ""


def _made_on(figure: Figure) -> str:
    content = figure.found()
    if content is None:
        return "no file yet"
    link = f"[file]({figure.path.relative_to(PAGE.parent).as_posix()})"
    stamp = content.get("measured")
    if stamp is None:
        return f"{link}; no stamp{_known(content)}"
    verdict = "" if stamp["claim"] else "; **busy: no claim**"
    return f"{link}: {stamp['date']}, {stamp['commit']}, {_cpu(stamp['cpu'])}, load {stamp['load']:.1f}{verdict}"


def _known(content: dict[str, Any]) -> str:
    """What an earlier file says of itself."""
    machine = content.get("machine")
    own = machine if isinstance(machine, dict) else content
    found = [_cpu(str(own[key])) for key in ("commit", "cpu", "processor") if isinstance(own.get(key), str)]
    return f": {', '.join(found)}" if found else ""


def _cpu(name: str) -> str:
    """A processor's name without its trademarks."""
    for mark in ("(R)", "(TM)", " Processor"):
        name = name.replace(mark, "")
    return name.strip()
