"""Mutation testing: small changes made to a module, drawn by a seed; its own tests should notice each.

    python tests/mutants/mutants.py [MODULE ...] [--count 100] [--workers 1] [--json FILE]

A mutant is killed where a test fails, where one takes more than ten times the CPU that it takes without it, or where
they hang. It meets the tests that reach its line alone, first those that have killed others. Who was killed is known
from FILE, and from out/mutants where a run was interrupted, as long as the source is the same; who survived is tried
again where tests have come.

Each runs in a process of its own, forked from one that has imported what is not ours. Its module is compiled from the
changed syntax tree: no file is changed. numba keeps no kernel of a mutant. No clock on the wall judges: the machine may
be as busy as it likes.

What was found, what lives and why: docs/decisions/mutants.md.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib
import json
import math
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from mutations import Mutant, mutations
from reach import ROOT, Learned, Learning, lines_of
from trial import Outcome, Trial, preload, stale

#: Of the draw.
SEED = 23

#: Each test has as many times the CPU that it takes without a change, and some seconds; more where kernels are made.
_TIMES, _MORE, _COMPILED = 10.0, 5.0, 25.0


@dataclass(frozen=True)
class Target:
    """Files that mutants are made of, and the tests that are theirs."""

    sources: tuple[str, ...]
    tests: tuple[str, ...]


_SERVICE, _ENGINE = "service/exalign_service", "engine/exalign_engine"


def _tests(*names: str) -> tuple[str, ...]:
    """Tests of the server."""
    return tuple(f"service/test_service_{name}.py" for name in names)


SUBJECTS = {
    "batcher": Target(
        (f"{_SERVICE}/inference/batcher.py",),
        _tests("batcher", "batcher_shares"),
    ),
    "store": Target(
        (
            f"{_SERVICE}/track/store.py",
            *(f"{_SERVICE}/stores/{name}.py" for name in ("shared_store", "checkpoints", "owned", "encoding")),
        ),
        _tests("track_store", "shared_store", "checkpoints", "caller_shares", "checkpoint_model", "two_versions"),
    ),
    "token": Target(
        (
            *(f"{_SERVICE}/track/{name}.py" for name in ("resume_token", "resume_checks")),
            f"{_SERVICE}/access/resume_keys.py",
        ),
        _tests("resume_checks", "track_store", "resume_keys", "two_versions", "track_refusals", "owners", "fleet"),
    ),
    "session state": Target(
        (f"{_ENGINE}/tracking/session_state.py", f"{_ENGINE}/tracking/codec.py"),
        tuple(f"engine/test_tracking_{name}.py" for name in ("codec", "state", "former_states", "move")),
    ),
    "posterior": Target(
        tuple(f"{_ENGINE}/posterior/{name}.py" for name in ("posterior", "kernels", "held", "kept", "thinning")),
        tuple(
            f"engine/test_{name}.py"
            for name in ("held", "kept", "posterior", "kernels", "mixture_sums", "aligner_displacement")
        ),
    ),
    "hmm": Target(
        tuple(
            f"{_ENGINE}/hmm/{name}.py"
            for name in ("belief", "chain", "kernels", "max_product", "neighbours", "passes")
        ),
        tuple(f"engine/test_{name}.py" for name in ("hmm", "hmm_path", "neighbours", "hmm_wide", "tracking_filter")),
    ),
}  # fmt: skip


def drawn(name: str, count: int) -> tuple[list[Mutant], int]:
    """Mutants of a module, always the same for the same sources; and how many there are to draw from."""
    all_of_them = [
        Mutant(file, mutation)
        for file in SUBJECTS[name].sources
        for mutation in mutations(ast.parse((ROOT / file).read_text("utf-8")))
    ]
    some = random.Random(f"{SEED} {name}").sample(all_of_them, min(count, len(all_of_them)))
    return sorted(some, key=lambda one: (one.file, one.mutation.line)), len(all_of_them)


def tests_as_they_are(name: str) -> str:
    """Another text where a module or its tests are others."""
    target, hashed = SUBJECTS[name], hashlib.sha256()
    for file in (*target.sources, *(f"tests/{test}" for test in target.tests)):
        hashed.update((ROOT / file).read_bytes())
    return hashed.hexdigest()[:12]


def learned(name: str, kept: Path) -> Learned:
    """What its tests reach and take; from a file where it was learned before, of the same sources and tests."""
    target = SUBJECTS[name]
    tests = dict.fromkeys((f"tests/{test}" for test in target.tests), math.inf)
    path = kept.with_name(f"{kept.stem}-{tests_as_they_are(name)}.reach.json")
    if not path.exists():
        kernels, plain = kept.parent / "numba", None
        kernels.mkdir(exist_ok=True)
        for plugin in (Learning(target.sources, path.with_suffix(".first")), Learning(target.sources, path)):
            plain = Trial(tests, kernels, plugin=plugin).ended()  # the first fills the cache
            if plain.what != "survived":
                raise SystemExit(f"{name}: without any change its tests are {plain.what}")
    return Learned(**json.loads(path.read_text("utf-8")))


def tried(
    name: str, mutants: Sequence[Mutant], workers: int, kept: Path, known: dict[str, dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """What became of each mutant; as they end. Of those in ``known``, by key, it is known."""
    rest = [one for one in mutants if one.key not in known]
    yield from (known[one.key] for one in mutants if one.key in known)
    if not rest:
        return
    about, killers, running = learned(name, kept), Counter[str](), list[Trial]()
    preload(about.modules)
    trees = {file: ast.parse((ROOT / file).read_text("utf-8")) for file in SUBJECTS[name].sources}
    print(f"{name}: {len(rest)} to try, {sum(about.seconds.values()):.1f} s as it is", file=sys.stderr, flush=True)
    with kept.open("a", encoding="utf-8") as file:
        while rest or running:
            while rest and len(running) < workers:
                one = rest.pop(0)
                tests = about.tests_for(one.file, lines_of(trees[one.file], one.mutation.path))
                if not tests:
                    yield _noted(name, one, Outcome("survived", "no test reaches it", 0.0), file)
                    continue
                more = _COMPILED if stale(one) else _MORE
                limits = {test: _TIMES * about.slowest(test) + more for test in about.in_order(tests, killers)}
                running.append(Trial(limits, kept.parent / "numba", one))
            for trial in list(running):
                outcome = trial.look()
                if outcome is None or trial.mutant is None:
                    continue
                running.remove(trial)
                killers[outcome.by] += outcome.what == "killed"
                yield _noted(name, trial.mutant, outcome, file)
            time.sleep(0.1)


def _noted(name: str, mutant: Mutant, outcome: Outcome, file: TextIO) -> dict[str, Any]:
    """Write down what became of a mutant."""
    change = mutant.mutation
    found = {"key": mutant.key, "file": mutant.file, "line": change.line, "was": change.was, "now": change.now}
    found |= {"outcome": outcome.what, "by": outcome.by.removeprefix("tests/"), "cpu_seconds": outcome.cpu}
    print(json.dumps({**found, "tests": tests_as_they_are(name)}), file=file, flush=True)
    line = f"{name}: {outcome.what} ({outcome.cpu} s): {mutant.file}:{change.line} {change.was} -> {change.now}"
    print(line, file=sys.stderr, flush=True)
    return found


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
    (out := ROOT / "out" / "mutants").mkdir(parents=True, exist_ok=True)
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(out / "bytecode")  # each child would compile all sources
    if len(names) > 1:  # each in a process that has imported nothing of the others
        given = [text for text in sys.argv[1:] if text not in names]
        return max([subprocess.call([sys.executable, __file__, name, *given]) for name in names])
    for module in ("cv2", "grpc", "hypothesis", "numba", "numpy", "pytest"):  # once for all children
        importlib.import_module(module)
    before = json.loads(args.json.read_text("utf-8"))["modules"] if args.json and args.json.exists() else {}
    report: dict[str, Any] = {"seed": SEED, "modules": before}
    for name in names:
        mutants, sites = drawn(name, args.count)
        kept = out / f"{name.replace(' ', '-')}.jsonl"
        lines: list[str] = kept.read_text("utf-8").splitlines() if kept.exists() else []
        earlier = [*map(json.loads, lines), *before.get(name, {}).get("mutants", ())]
        tests, known = tests_as_they_are(name), {}
        for one in earlier:
            if one.pop("tests", "") == tests or one["outcome"] != "survived":
                known[one["key"]] = one
        order = lambda one: (one["file"], one["line"], one["was"])  # noqa: E731
        found = sorted(tried(name, mutants, args.workers, kept, known), key=order)
        killed = sum(one["outcome"] != "survived" for one in found)
        print(f"{name}: {killed} of {len(found)} killed, {sites} to draw from", flush=True)
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
