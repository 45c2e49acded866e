"""Fuzz what takes bytes from outside: pictures, requests, bundles, states of sessions, tokens.

    python tests/fuzz/fuzz.py [TARGET ...] [--runs 150000] [--seconds S] [--seed 1] [--json FILE] [--work out/fuzz]

Each target runs in processes of its own, one after the other, each for some inputs (`fuzz_child`). What they found lies
in the folder of the work: interrupted, it goes on from there; ``--fresh`` begins anew. Inputs that are finds lie
there too, and nowhere else. Exit code 1: there is a find.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fuzz_paths
from fuzz_target import TARGETS

HERE, ROOT = fuzz_paths.HERE, fuzz_paths.ROOT

#: Inputs of one process.
CHUNK = 50_000

#: Inputs of a replay, and by how much memory may grow with 10,000 of them, bytes.
REPLAYED, MOST_GROWTH = 20_000, 1_000_000

#: A process that reports nothing for so long hangs, seconds: it reports after some hundred inputs.
HANGS = 900

#: How libFuzzer ends a process.
_ENDS = {71: "memory grows", 77: "an input ends the process"}

_STATUS = re.compile(r"#\d+\s.*\bcov: (\d+) ft: (\d+) corp: (\d+)/")


@dataclass
class Progress:
    """How far a target is.

    Attributes:
        target: which.
        inputs: executed so far; those that a process reads again at its start are not counted.
        seconds: by the clock, of all processes.
        processes: started so far; the seed of each is counted up.
        branches: of our Python code, instrumented, that were reached.
        features: as libFuzzer counts them: branches by how often.
        corpus: inputs that reached something new.
        outcomes: inputs by what became of them.
        slowest_cpu_seconds: of an input.
        growth_bytes_per_10000: memory, see `fuzz_child.replay`; None before a replay.
        finds: see `fuzz_target.Find`; and ends of processes.
    """

    target: str
    inputs: int = 0
    seconds: float = 0.0
    processes: int = 0
    branches: int = 0
    features: int = 0
    corpus: int = 0
    slowest_cpu_seconds: float = 0.0
    growth_bytes_per_10000: int | None = None
    outcomes: dict[str, int] = field(default_factory=dict)
    finds: list[dict[str, Any]] = field(default_factory=list)

    def add(self, report: dict[str, Any], again: int) -> None:
        """Add what a process has reported, of whose inputs so many were known before."""
        self.inputs += max(report["executed"] - again, 0)
        self.outcomes = dict((Counter(self.outcomes) + Counter(report["outcomes"])).most_common())
        self.slowest_cpu_seconds = max(self.slowest_cpu_seconds, report["slowest_cpu_seconds"])
        for find in report["finds"]:
            self.find(**find)

    def find(self, kind: str, where: str, text: str, count: int = 1, inputs: list[str] | None = None) -> None:
        """Note a find, or that one came up again."""
        for known in self.finds:
            if (known["kind"], known["where"]) == (kind, where):
                known["count"] += count
                return
        self.finds.append({"kind": kind, "where": where, "text": text, "count": count, "inputs": inputs or []})


class Campaign:
    """One target.

    Args:
        target: which.
        work: folder of the campaign.
    """

    def __init__(self, target: str, work: Path) -> None:
        self._folder, self._file = work / target, work / target / "progress.json"
        self._corpus, self._report = self._folder / "corpus", self._folder / "report.json"
        self._corpus.mkdir(parents=True, exist_ok=True)
        self.progress = Progress(target)
        if self._file.exists():
            self.progress = Progress(**json.loads(self._file.read_text()))

    def run(self, runs: int, seconds: float, seed: int) -> None:
        """Go on until there are so many inputs, or for so many seconds."""
        found, began, before = self.progress, time.monotonic(), -1
        while before < found.inputs < runs:  # a process that does nothing is a find, and the last
            before = found.inputs
            left = seconds - (time.monotonic() - began)
            if seconds and left < 1:
                break
            known = len(list(self._corpus.iterdir())) if found.processes else 0
            options = ["--runs", str(min(CHUNK, runs - found.inputs) + known), "--seed", str(seed + found.processes)]
            self._child([*options, "--seconds", str(int(left) if seconds else 0)], known)
            self._save()
            print(self.line(), flush=True)

    def replay(self) -> None:
        """Run the corpus once more, and look at the memory."""
        found = self.progress
        self._report.unlink(missing_ok=True)
        code = self._start(["--replay", str(REPLAYED)])
        if not self._report.exists():
            found.find("replay ended", "", f"with {code}")
            return
        report = json.loads(self._report.read_text())
        found.growth_bytes_per_10000 = round(report["growth_bytes_per_10000"])
        if found.growth_bytes_per_10000 > MOST_GROWTH:
            found.find("memory grows", "", f"by {found.growth_bytes_per_10000:,} bytes with 10,000 inputs")
        self._save()

    def line(self) -> str:
        """How far it is, for people."""
        p = self.progress
        rate = p.inputs / p.seconds if p.seconds else 0.0
        growth = "" if p.growth_bytes_per_10000 is None else f", {p.growth_bytes_per_10000:+,} bytes in 10,000 inputs"
        return (
            f"{p.target}: {p.inputs:,} inputs, {rate:.0f} a second, {p.branches:,} branches, corpus {p.corpus:,},"
            f" slowest {p.slowest_cpu_seconds:.2f} s{growth}, {len(p.finds)} finds"
        )

    def _child(self, options: list[str], known: int) -> None:
        found = self.progress
        found.processes += 1
        self._report.unlink(missing_ok=True)
        began = time.monotonic()
        code = self._start(options)
        found.seconds = round(found.seconds + time.monotonic() - began, 1)
        if self._report.exists():
            found.add(json.loads(self._report.read_text()), known)
        if code:
            how = signal.Signals(-code).name if code < 0 else _ENDS.get(code, f"exit code {code}")
            found.find("process ended", how, "see the files that begin with ended- in the folder of finds")

    def _start(self, options: list[str]) -> int:
        command = [sys.executable, str(HERE / "fuzz_child.py"), self.progress.target, *options]
        command += ["--corpus", str(self._corpus), "--kept", str(self._folder / "finds"), "--report", str(self._report)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        self._began = time.time()
        with (self._folder / "log.txt").open("a") as log:
            child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=log, env=environment)
            assert child.stderr is not None
            threading.Thread(target=self._watch, args=(child,), daemon=True).start()
            for raw in child.stderr:
                line = raw.decode("utf-8", "replace")
                if match := _STATUS.search(line):
                    p = self.progress
                    p.branches, p.features = max(p.branches, int(match[1])), max(p.features, int(match[2]))
                    p.corpus = int(match[3])
                elif line.startswith(("Traceback", "  ", "==", "SUMMARY", "ERROR", "ImportError", "ModuleNotFound")):
                    log.write(line)
            return child.wait()

    def _watch(self, child: subprocess.Popen[bytes]) -> None:
        """End a process that hangs."""
        while child.poll() is None:
            time.sleep(1)
            try:
                seen = self._report.stat().st_mtime
            except FileNotFoundError:
                seen = self._began
            if time.time() - max(seen, self._began) > HANGS:
                child.kill()
                self.progress.find("hangs", "", f"nothing came from the process for {HANGS} s")
                return

    def _save(self) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(asdict(self.progress), indent=1))
        new.rename(self._file)


def machine() -> dict[str, Any]:
    """What a figure depends on."""
    packages = ("atheris", "numpy", "opencv-python-headless", "pillow", "protobuf", "pyjwt")
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        **{name: version(name) for name in packages},
    }


def main() -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Fuzz what takes bytes from outside.")
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; all where none is named")
    parser.add_argument("--runs", type=int, default=150_000, help="inputs of each target")
    parser.add_argument("--seconds", type=float, default=0.0, help="of each target at most; 0: until it is done")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "fuzz")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    parser.add_argument("--no-replay", action="store_true", help="do not look at the memory")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    try:
        import atheris  # noqa: F401
    except ModuleNotFoundError:
        parser.error("atheris is not installed: pip install 'exalign[fuzz]'")
    if arguments.fresh:
        shutil.rmtree(arguments.work, ignore_errors=True)
    campaigns = [Campaign(name, arguments.work) for name in arguments.targets or TARGETS]
    for campaign in campaigns:
        campaign.run(arguments.runs, arguments.seconds, arguments.seed)
        if not arguments.no_replay:
            campaign.replay()
        print(campaign.line(), flush=True)
    found = [asdict(campaign.progress) for campaign in campaigns]
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"machine": machine(), "targets": found}, indent=1) + "\n")
    for one in found:
        for find in one["finds"]:
            print(f"{one['target']}: {find['kind']} {find['where']} ({find['count']}): {find['text']}")
    return 1 if any(one["finds"] for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
