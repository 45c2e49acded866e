"""One process that fuzzes one target; started by `fuzz`, which watches it.

    python tests/fuzz/fuzz_child.py TARGET --corpus DIR --kept DIR --report FILE --runs N --seed N [--seconds S]
    python tests/fuzz/fuzz_child.py TARGET --corpus DIR --kept DIR --report FILE --replay N

The search is libFuzzer's, by atheris, guided by the branches of our Python code. A replay runs what was found once
more, without a fuzzer and its memory, and says how much memory that takes in the long run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import statistics
import sys
import tempfile
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from fuzz_paths import ROOT  # makes what follows importable
from fuzz_target import TARGETS, Judge, Target, TargetSpec, resident_bytes

#: A report is written after so many inputs.
REPORTED = 500

#: The process is ended where memory grows beyond so many MB. What hangs is ended by who watches it: libFuzzer's alarm
#: ends a process that works for longer than half of so many seconds, whatever its inputs take.
MOST_MB, NEVER = 3000, 1_000_000

#: Packages whose branches guide the search.
PACKAGES = ("exalign", "exalign_engine", "exalign_service")

#: Rounds of a replay; the first ones fill caches.
ROUNDS, WARM = 12, 4


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=TARGETS)
    for name in ("--corpus", "--kept", "--report"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--runs", "--seed", "--seconds", "--replay"):
        parser.add_argument(name, type=int, default=0)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    spec = TARGETS[arguments.target]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.replay:
            judge = Judge(_made(spec, Path(folder)), spec.cpu_seconds, arguments.kept)
            growth = replay(judge, inputs(arguments.corpus), arguments.replay)
            _write(arguments.report, {**judge.report(), "growth_bytes_per_10000": growth})
        else:
            fuzz(spec, Path(folder), arguments)


def fuzz(spec: TargetSpec, folder: Path, arguments: argparse.Namespace) -> None:
    """Search; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=list(PACKAGES), exclude=kernels()):
        target = _made(spec, folder)
    judge = Judge(target, spec.cpu_seconds, arguments.kept)
    for number, seed in enumerate(target.seeds()):
        (arguments.corpus / f"seed-{number:03}").write_bytes(seed)

    def one_input(data: bytes) -> None:
        judge(data)
        if judge.executed % REPORTED == 0 or judge.executed == arguments.runs:
            _write(arguments.report, judge.report())

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        found = target.mutate(data, random) if random.random() < 0.7 else None
        return found if found is not None and len(found) <= most else bytes(atheris.Mutate(data, most))

    options = [
        f"-runs={arguments.runs}",
        f"-seed={arguments.seed}",
        f"-max_len={spec.max_bytes}",
        f"-timeout={NEVER}",
        f"-rss_limit_mb={MOST_MB}",
        f"-artifact_prefix={arguments.kept}/ended-",
        "-len_control=0",
        "-print_final_stats=0",
    ]
    if arguments.seconds:
        options.append(f"-max_total_time={arguments.seconds}")
    arguments.kept.mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], *options, str(arguments.corpus)], one_input, custom_mutator=mutated)
    atheris.Fuzz()


def replay(judge: Judge, found: Sequence[bytes], least: int) -> float:
    """Run inputs again and again.

    Returns:
        By how much memory grows with 10,000 inputs, bytes: the median of what it grows by from round to round.
    """
    random, sizes = Random(0), []
    times = max(1, -(-least // (ROUNDS * len(found))))
    for _ in range(ROUNDS):
        for _ in range(times):
            for data in random.sample(found, len(found)):
                judge(data)
        sizes.append(resident_bytes())
    growth = statistics.median(after - before for before, after in pairwise(sizes[WARM:]))
    return growth / (times * len(found)) * 10_000


def inputs(corpus: Path) -> list[bytes]:
    """All inputs of a folder, in the order of their names."""
    return [path.read_bytes() for path in sorted(corpus.iterdir())]


def kernels() -> list[str]:
    """Modules of functions that numba compiles, which cannot be instrumented."""
    engine = ROOT / "engine"
    found = (path for path in engine.rglob("*.py") if "libraries.njit import" in path.read_text("utf-8"))
    return [".".join(path.relative_to(engine).with_suffix("").parts) for path in found]


def _made(spec: TargetSpec, folder: Path) -> Target:
    made: Target = importlib.import_module(spec.module).Fuzzed(folder)
    return made


def _write(path: Path, report: dict[str, Any]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(report))
    new.rename(path)


if __name__ == "__main__":
    main()
