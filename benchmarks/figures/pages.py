"""Numbers in pages: found by the words around them, compared with the figures' files, and written anew."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.figures.figure import ROOT, Figure, Shown

_FIELD = re.compile(r"\{([^{}:]+):([^{}]*)\}")

#: A number as pages write it.
_NUMBER = r"([-−+]?[\d,]*\.?\d+)"


def value_at(result: Any, path: str) -> float:
    """The number that a template's path leads to.

    Raises:
        LookupError: it leads nowhere.
    """
    path, _, factor = path.partition("*")
    at = result
    for step in path.split("/"):
        if "=" in step:
            wanted = dict(part.split("=") for part in step.split(","))
            at = next((row for row in at if all(str(row.get(key)) == wanted[key] for key in wanted)), None)
            if at is None:
                raise LookupError(f"no row of {path!r} has {step}")
        else:
            at = at[int(step)] if isinstance(at, list) else at[step]
    return float(at) * float(factor or 1)


def written(value: float, form: str) -> str:
    """A number as a page writes it."""
    text = format(value, form.removesuffix("z"))
    return re.sub(r"^(-?)0\.", r"\1.", text) if form.endswith("z") else text


def numbers(shown: Shown, result: Any) -> list[str]:
    """What the page must say, in order."""
    return [written(value_at(result, path), form) for path, form in _FIELD.findall(shown.template)]


def _pattern(template: str) -> re.Pattern[str]:
    """Finds the template in a page, whatever its numbers are and wherever its lines end."""
    parts = _FIELD.split(template)[::3]
    words = [r"\s+".join(re.escape(word) for word in re.split(r"\s+", part)) for part in parts]
    return re.compile(_NUMBER.join(words))


def place(shown: Shown, text: str) -> re.Match[str]:
    """Where a page has the numbers.

    Raises:
        LookupError: nowhere, or more than once.
    """
    found = list(_pattern(shown.template).finditer(text))
    if len(found) != 1:
        raise LookupError(f"{shown.page} has {len(found)} places, must have one: {shown.template}")
    return found[0]


def disagreements(figures: Iterable[Figure]) -> list[str]:
    """Pages whose numbers are not those of the files, in words; a busy machine's are not asked."""
    problems = []
    for figure in figures:
        for shown in figure.shown:
            try:
                at = place(shown, (ROOT / shown.page).read_text("utf-8"))
                right = numbers(shown, figure.found()) if figure.is_shown else list(at.groups())
            except LookupError as e:
                problems.append(f"{figure.name}: {e}")
                continue
            if list(at.groups()) != right:
                said = ", ".join(at.groups())
                has = f"where {figure.name} has {', '.join(right)}"
                problems.append(f"{shown.page} says {said} {has}: {shown.template}")
    return problems


def write(figures: Iterable[Figure], root: Path = ROOT) -> list[str]:
    """Write the numbers of the files that are claims into the pages; the pages that changed.

    Raises:
        LookupError: a page has no such place, or several.
    """
    changed = []
    for figure in figures:
        if not figure.is_claim:
            continue
        for shown in figure.shown:
            page = root / shown.page
            text = page.read_text("utf-8")
            at, right = place(shown, text), numbers(shown, figure.found())
            for i in reversed(range(len(right))):
                start, end = at.span(i + 1)
                text = text[:start] + right[i] + text[end:]
            if text != page.read_text("utf-8"):
                page.write_text(text, "utf-8")
                changed.append(shown.page)
    return sorted(set(changed))
