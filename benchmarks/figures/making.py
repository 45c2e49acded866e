"""Making figures, one after the other: what is there is left alone, what fails or cannot be made is said."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures.figure import ROOT, Figure
from benchmarks.machine import MOST_BUSY, Machine, busy_seconds, machine

from exalign.output_files import write_file

#: What figures are made of, for git.
SOURCES = (
    *("annotator", "benchmarks", "clients", "deploy", "engine", "gateway", "integrations", "models", "protos"),
    *("service", ":!benchmarks/figures", ":!*.md"),
)

#: Share of the processors that others may use while a figure of time is made. What a command's processes leave to
#: others, such as what a server's kernel does, counts here.
MOST_BUSY_MEANWHILE = 0.1

#: Our programs, by module: the environment may have another checkout's.
PROGRAMS = {"exalign-model": "exalign_engine.cli", "exalign-server": "exalign_service.entry"}

LookAtMachine = Callable[[], Machine]


@dataclass(frozen=True)
class Options:
    """How figures are to be made.

    Attributes:
        data: annotated faces; None: there are none.
        busy: measure figures of time on a busy machine as well; they are no claim.
        fresh: make what is there again.
        able: what of `NEEDS` is here, beside the faces.
    """

    data: Path | None = None
    busy: bool = False
    fresh: bool = False
    able: frozenset[str] = frozenset({"internet", "programs"})


def source() -> str:
    """Names the code that figures are made of; ends in "+" where something of it is not committed."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    files = hashlib.sha256(git("ls-files", "--stage", "--", *SOURCES).encode()).hexdigest()[:12]
    return files + ("+" if git("status", "--porcelain", "--", *SOURCES).strip() else "")


def make(
    figures: Iterable[Figure],
    options: Options,
    now: str,
    look: LookAtMachine = machine,
    say: Callable[[str], object] = print,
) -> list[str]:
    """Make figures.

    Args:
        figures: in order.
        options: how.
        now: `source`.
        look: at the machine, before each figure.
        say: a line for people.

    Returns:
        Names of those whose command failed.
    """
    failed = []
    for figure in figures:
        stamp = figure.stamp or {}
        if not options.fresh and stamp.get("source") == now and not now.endswith("+") and _good(figure, stamp):
            say(f"{figure.name}: is there, of this source")
            continue
        missing = [need for need in figure.needs if need not in options.able and not (need == "data" and options.data)]
        if missing:
            say(f"{figure.name}: left out, needs {' and '.join(missing)}")
            continue
        here = look()
        if figure.timing and not here.quiet and not options.busy:
            say(f"{figure.name}: left out, others use {here.busy:.0%} of the processors; no time is a claim here")
            continue
        say(f"{figure.name}: {figure.command} (about {figure.minutes:g} minutes)")
        problem = _one(figure, options, now, here)
        if problem:
            failed.append(figure.name)
            say(f"{figure.name}: FAILED: {problem}")
    return failed


def _good(figure: Figure, stamp: dict[str, Any]) -> bool:
    """Whether a figure need not be made again: one of time may be a claim next time."""
    return not figure.timing or bool(stamp["claim"])


def _one(figure: Figure, options: Options, now: str, here: Machine) -> str:
    """Make one figure; the problem, if there is one."""
    out = ROOT / "out" / "figures" / f"{figure.name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    started, before, own = time.monotonic(), busy_seconds(), _own_seconds()
    done = subprocess.run(words(figure, options.data, out), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode != 0:
        return f"exit code {done.returncode}"
    others = max(busy_seconds() - before - (_own_seconds() - own), 0.0) / seconds / (os.cpu_count() or 1)
    try:
        result = _result(figure, out, done.stdout)
    except (OSError, ValueError) as e:
        return f"no JSON: {e}"
    measured = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": figure.command,
        "source": now,
        **asdict(here),
        "load_at_its_end": round(os.getloadavg()[0], 2),
        "others_meanwhile": round(others, 3),
        "seconds": round(seconds, 1),
        "claim": here.busy <= MOST_BUSY and others <= MOST_BUSY_MEANWHILE,
    }
    measured |= {key: round(measured[key], 3) for key in ("busy", "load")}
    # Figures that were made before this one are not committed yet, and change no other.
    measured["commit"] = here.commit.removesuffix("+") + ("+" if now.endswith("+") else "")
    if not figure.timing:
        measured["claim"] = True  # it hangs on no time
    if figure.also:
        measured["files"] = {name: digest(ROOT / name) for name in figure.also}
    content = json.dumps({"measured": measured, **result}, indent=1, ensure_ascii=False)
    # What was measured on a busy machine takes no better figure's place.
    better = figure.is_shown and not measured["claim"]
    write_file(out if better else figure.path, content + "\n")
    return ""


def words(figure: Figure, data: Path | None, out: Path) -> list[str]:
    """The command as it is run: by this Python, our programs from this checkout."""
    given = {"data": str(data), "out": str(out)}
    found = [word.format(**given) if "{" in word else word for word in shlex.split(figure.command)]
    if found[0] == "python":
        return [sys.executable, *found[1:]]
    if found[0] in PROGRAMS:
        return [sys.executable, "-m", PROGRAMS[found[0]], *found[1:]]
    return found


def _result(figure: Figure, out: Path, printed: str) -> dict[str, Any]:
    """What the command wrote or printed, as an object."""
    if figure.prints_text:
        return {"text": printed.splitlines()}
    path = ROOT / figure.written if figure.written else out
    from_file = figure.written or "{out}" in figure.command
    content = json.loads(path.read_text("utf-8") if from_file else printed or "{}")
    if not isinstance(content, dict):
        return {"rows": content}
    return {key: value for key, value in content.items() if key != "measured"}


def _own_seconds() -> float:
    """CPU time of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def digest(path: Path) -> str:
    """Names a file's content; empty where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""
