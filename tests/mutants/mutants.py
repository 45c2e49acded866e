"""Mutation testing: small changes made to a module, drawn by a seed; its own fast tests should notice each.

    python tests/mutants/mutants.py [MODULE ...] [--count 100] [--workers 1] [--json FILE]

A mutant is killed where a test fails, or where the tests take ten times as long as without it. Who was killed is known
from FILE, and from out/mutants where a run was interrupted, as long as the source is the same; who survived is tried
again, for tests may have come.

Each runs in a process of its own, forked from one that has imported what is not ours. Its module is compiled from the
changed syntax tree: no file is changed. numba keeps no kernel of a mutant.

cosmic-ray and mutmut, which are well kept, draw no sample by a seed and write changed files, one at a time.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.abc
import importlib.util
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from mutations import Mutation, mutated, mutations

ROOT = Path(__file__).parents[2]

#: Of the draw.
SEED = 23

#: A mutant has as many times as long as the tests take by themselves, and some seconds for a crowded machine.
_TIMES, _MORE = 10.0, 30.0


@dataclass(frozen=True)
class Target:
    """Files that mutants are made of, and the tests that are theirs."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]


_SERVICE, _ENGINE = "service/exalign_service", "engine/exalign_engine"

SUBJECTS = {
    "batcher": Target(
        (f"{_SERVICE}/inference/batcher.py",), ("service/test_service_batcher.py", "service/test_service_deadlines.py")
    ),
    "store": Target(
        (
            f"{_SERVICE}/track/store.py",
            *(f"{_SERVICE}/stores/{name}.py" for name in ("shared_store", "checkpoints", "owned", "encoding")),
        ),
        tuple(
            f"service/test_service_{name}.py"
            for name in ("track_store", "shared_store", "caller_shares", "checkpoint_model", "two_versions")
        ),
    ),
    "token": Target(
        (
            *(f"{_SERVICE}/track/{name}.py" for name in ("resume_token", "resume_checks")),
            f"{_SERVICE}/access/resume_keys.py",
        ),
        tuple(
            f"service/test_service_{name}.py"
            for name in ("track_store", "resume_keys", "two_versions", "track_refusals", "owners", "fleet")
        ),
    ),
    "session state": Target(
        (f"{_ENGINE}/tracking/session_state.py", f"{_ENGINE}/tracking/codec.py"),
        tuple(f"engine/test_tracking_{name}.py" for name in ("codec", "state", "former_states", "move")),
    ),
    "posterior": Target(
        tuple(f"{_ENGINE}/posterior/{name}.py" for name in ("posterior", "kernels", "held", "kept", "thinning")),
        tuple(f"engine/test_{name}.py" for name in ("held", "kept", "posterior", "kernels", "aligner_displacement")),
    ),
    "hmm": Target(
        tuple(
            f"{_ENGINE}/hmm/{name}.py"
            for name in ("belief", "chain", "kernels", "max_product", "neighbours", "passes")
        ),
        tuple(f"engine/test_{name}.py" for name in ("hmm", "hmm_path", "neighbours", "hmm_wide", "tracking_filter")),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: from the repository's root.
        mutation: the change.
    """

    file: str
    mutation: Mutation

    @property
    def key(self) -> str:
        """Names it as long as its file stays as it is."""
        text = f"{hashlib.sha256((ROOT / self.file).read_bytes()).hexdigest()} {self.mutation}"
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def drawn(name: str, count: int) -> tuple[list[Mutant], int]:
    """Mutants of a module, always the same for the same sources; and how many there are to draw from."""
    all_of_them = [
        Mutant(file, mutation)
        for file in SUBJECTS[name].sources
        for mutation in mutations(ast.parse((ROOT / file).read_text("utf-8")))
    ]
    some = random.Random(f"{SEED} {name}").sample(all_of_them, min(count, len(all_of_them)))
    return sorted(some, key=lambda one: (one.file, one.mutation.line)), len(all_of_them)


class _Changed(importlib.abc.SourceLoader):
    """Loads one module from a changed syntax tree."""

    def __init__(self, path: Path, mutation: Mutation) -> None:
        self._path, self._mutation = path, mutation

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:
        return Path(os.fsdecode(path)).read_bytes()

    def get_code(self, fullname: str) -> CodeType:
        tree = mutated(ast.parse(self._path.read_text("utf-8")), self._mutation)
        return compile(tree, str(self._path), "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds that module."""

    def __init__(self, mutant: Mutant) -> None:
        *_, path = mutant.file.partition("/")
        self._name, self._loader = (
            path.removesuffix(".py").replace("/", "."),
            _Changed(ROOT / mutant.file, mutant.mutation),
        )

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, self._loader.get_filename(fullname), loader=self._loader
        )


def affected(file: str) -> set[str]:
    """Stems of the engine's files whose kernels may hold those of a file: it, and what imports it."""
    sys.path.insert(0, str(ROOT / "tests"))
    from import_graph import imports, modules

    (name,) = (name for name, path in modules().items() if path == ROOT / file)
    found = {name}
    while more := {one.importer for one in imports() if one.imported in found} - found:
        found |= more
    return {modules()[one].stem for one in found}


class Trial:
    """The tests in a process of their own.

    Args:
        tests: files below ``tests``.
        mutant: None: the source as it is.
        cache: numba's, of the source as it is.
    """

    def __init__(self, tests: Sequence[str], mutant: Mutant | None, cache: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mutants-")
        self.mutant, own = mutant, cache
        if mutant is not None:
            own, stale = Path(self._folder.name, "numba"), affected(mutant.file)
            shutil.copytree(cache, own, ignore=lambda _, names: [n for n in names if n.split(".")[0] in stale])
        self._started = time.monotonic()
        self._child = os.fork()
        if self._child == 0:
            _child(tests, mutant, own, self._folder.name)

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self._started

    def ended(self, limit: float) -> str | None:
        """What became of it; None: it goes on. After so many seconds it is ended."""
        child, status = os.waitpid(self._child, os.WNOHANG)
        if not child and self.seconds <= limit:
            return None
        outcome = "too slow"
        if child:
            code = os.waitstatus_to_exitcode(status)
            outcome = "survived" if code == 0 else "killed"
        with suppress(ProcessLookupError):  # what it has started ends with it
            os.killpg(self._child, signal.SIGKILL)
        if not child:
            os.waitpid(self._child, 0)
        self._folder.cleanup()
        return outcome


def _child(tests: Sequence[str], mutant: Mutant | None, cache: Path, folder: str) -> None:
    """Run the tests in this process, and end it."""
    code = 99
    try:
        os.setpgrp()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.environ["NUMBA_CACHE_DIR"] = str(cache)
        import numba
        import pytest

        numba.config.CACHE_DIR = str(cache)
        if mutant is not None:
            sys.meta_path.insert(0, _Finder(mutant))
        os.chdir(ROOT)
        options = [
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "--timeout",
            "0",
            "--basetemp",
            f"{folder}/pytest",
        ]
        code = int(pytest.main([*options, *(f"tests/{test}" for test in tests)]))
    finally:
        os._exit(code)


def tried(
    name: str, mutants: Sequence[Mutant], workers: int, kept: Path, known: dict[str, dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What became of each mutant; as they end. Of those in ``known``, by key, it is known."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    rest = [one for one in mutants if one.key not in known]
    yield from (known[one.key] for one in mutants if one.key in known)
    if not rest:
        return
    cache, tests = kept.parent / "numba", SUBJECTS[name].tests
    cache.mkdir(exist_ok=True)
    for _ in range(2):  # the first fills the cache
        plain = Trial(tests, None, cache)
        while (outcome := plain.ended(3600.0)) is None:
            time.sleep(0.05)
        seconds = plain.seconds
        if outcome != "survived":
            raise SystemExit(f"{name}: its tests fail without any change, or take an hour")
    print(f"{name}: {len(rest)} to try, {seconds:.1f} s each as it is", file=sys.stderr, flush=True)
    limit, running = _TIMES * seconds + _MORE, list[Trial]()
    with kept.open("a", encoding="utf-8") as file:
        while rest or running:
            while rest and len(running) < workers:
                running.append(Trial(tests, rest.pop(0), cache))
            for trial in list(running):
                outcome, mutant = trial.ended(limit), trial.mutant
                if outcome is None or mutant is None:
                    continue
                running.remove(trial)
                change, took = asdict(mutant.mutation), round(trial.seconds, 1)
                about = {"file": mutant.file, "line": change["line"], "was": change["was"], "now": change["now"]}
                found = {"key": mutant.key, **about, "outcome": outcome, "seconds": took}
                print(json.dumps(found), file=file, flush=True)
                where = f"{mutant.file}:{change['line']}"
                line = f"{name}: {outcome}: {where} {change['was']} -> {change['now']}"
                print(line, file=sys.stderr, flush=True)
                yield found
            time.sleep(0.02)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(SUBJECTS)} (default: all)")
    parser.add_argument("--count", type=int, default=100, help="mutants of each (default: 100)")
    parser.add_argument("--workers", type=int, default=1, help="at a time (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what became of all here too")
    parser.add_argument("--least", type=float, default=0.85, help="share that must be killed (default: .85)")
    args = parser.parse_args()
    names = args.modules or list(SUBJECTS)
    if unknown := set(names) - set(SUBJECTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SUBJECTS)}")
    for module in ("cv2", "grpc", "hypothesis", "numba", "numpy", "pytest"):  # once for all children
        importlib.import_module(module)
    before = json.loads(args.json.read_text("utf-8"))["modules"] if args.json and args.json.exists() else {}
    report: dict[str, Any] = {"seed": SEED, "modules": before}
    for name in names:
        mutants, sites = drawn(name, args.count)
        kept = ROOT / "out" / "mutants" / f"{name.replace(' ', '-')}.jsonl"
        lines = kept.read_text("utf-8").splitlines() if kept.exists() else []
        earlier = [*map(json.loads, lines), *before.get(name, {}).get("mutants", ())]
        known = {one["key"]: one for one in earlier if one["outcome"] != "survived"}
        order = lambda one: (one["file"], one["line"], one["was"])  # noqa: E731
        found = sorted(tried(name, mutants, args.workers, kept, known), key=order)
        killed = sum(one["outcome"] != "survived" for one in found)
        print(f"{name}: {killed} of {len(found)} killed, {sites} to draw from")
        report["modules"][name] = {"sites": sites, "drawn": len(found), "killed": killed, "mutants": found}
        if args.json is not None:
            args.json.write_text(_text(report), "utf-8")
    done = [report["modules"][name] for name in names]
    return 0 if all(one["killed"] >= args.least * one["drawn"] for one in done) else 1


def _text(report: dict[str, Any]) -> str:
    """JSON with a line a mutant."""
    text = json.dumps(report, indent=1, ensure_ascii=False)
    lines, depth = [], 0
    for line in text.splitlines():
        bare = line.strip()
        if depth and bare not in ("},", "}"):
            lines[-1] += bare if lines[-1].endswith("{") else f" {bare}"
        elif depth:
            lines[-1] += bare
        else:
            lines.append(line)
        if bare == "{" and line.startswith("    "):
            depth = 1
        elif bare in ("},", "}"):
            depth = 0
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
