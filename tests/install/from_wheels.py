"""`make wheels`: every command of README and docs as it is written, as a new user would, from wheels.

    python tests/install/from_wheels.py [--work DIR] [--environment NAME ...] [--out docs/documented-commands.csv]

It builds the wheels, makes a fresh environment for each kind of user and runs there what the documents say. What cannot
be run here (a GPU, Docker, the owners' data sets) is listed with its reason: `tests/test_documented_commands.py` has
shown that the parsers take it. Needs an index of packages, and takes long: it trains.

With ``--work`` an interrupted run of the same commit goes on. Rows of environments that are not asked for stay as they
are in the table; each row has the commit of its run.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from benchmarks.machine import commit_here

from documented_commands import Documented, commands, documents, python_blocks
from install.environments import ENVIRONMENTS, Wheels, build, create
from install.inputs import make_inputs

TIMEOUT = 3600

ANY_PORT = ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]

#: What is not run, by the first words that tell it: the reason.
NOT_HERE = {
    "--runtime tensorrt": "needs a GPU",
    "build-engine": "needs TensorRT",
    "CUDA_VISIBLE_DEVICES": "needs a GPU",
    "docker ": "needs Docker",
    "300W_LP": "needs its owners' data set",
    "300VW": "needs its owners' data set",
    "--data data ": "needs its owners' data set",
    "webcam": "needs a camera",
    "--from-scratch": "takes days",
    "make ": "part of `make test`, or of its own",
    "pip install": "the wheels stand for it",
    "--tls-cert": "part of `make test`: needs a certificate",
    "exalign-server token": "part of `make test`",
    "--store redis": "part of `make test` and `make chaos`: needs Redis",
    "exalign annotate": "part of `make page`",
    "track-files": "part of `make ray`",
    "buf curl": "part of `make test`",
    "request.json": "part of `make test`",
}

#: In the place of a command: that an environment was made.
INSTALLED = "pip install"

#: Tells a whole command within the text from the mere name of one.
COMPLETE = re.compile(r"photo\.jpg|exalign-server serve|--data FACES|webcam")

#: In place of the documents' placeholders.
PLACEHOLDERS = {"CONFIG": "tiny"}

#: Before README's Python about a video: its frames.
PREAMBLE = """
import numpy as np
frames = [np.full((240, 320, 3), 90, np.uint8)] * 3
"""


@dataclass(frozen=True)
class Outcome:
    """What became of one command in one environment."""

    environment: str
    command: str
    outcome: str
    commit: str


class Outcomes:
    """What became of all commands, kept in a file: a run of the same commit goes on from it.

    Args:
        path: the file.
        commit: of this checkout.
    """

    def __init__(self, path: Path, commit: str) -> None:
        self.path, self.commit, self.all = path, commit, list[Outcome]()
        if path.is_file():
            kept = [Outcome(**row) for row in json.loads(path.read_text("utf-8"))]
            self.all = [row for row in kept if row.commit == commit and not commit.endswith("+")]

    def is_done(self, environment: str, command: str) -> bool:
        """Whether it is known to have ended well."""
        known = [row for row in self.all if (row.environment, row.command) == (environment, command)]
        return any(not row.outcome.startswith("FAILED") for row in known)

    def add(self, environment: str, command: str, outcome: str) -> None:
        """Keep one, in place of what was known of it."""
        self.all = [row for row in self.all if (row.environment, row.command) != (environment, command)]
        self.all.append(Outcome(environment, command, outcome, self.commit))
        self.path.write_text(json.dumps([asdict(row) for row in self.all], indent=1), "utf-8")


class Runner:
    """Runs commands in one environment, in one folder."""

    def __init__(self, name: str, programs: Path, folder: Path, outcomes: Outcomes) -> None:
        self.name, self.folder, self.outcomes = name, folder, outcomes
        outside = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and not k.startswith("EXALIGN_")}
        self.environ = outside | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}

    def run(self, words: list[str], shown: str) -> bool:
        """Run to the end, unless that was done before; whether it ended with 0."""
        if self.outcomes.is_done(self.name, shown):
            return True
        started = time.monotonic()
        done = subprocess.run(
            words, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        outcome = "done" if done.returncode == 0 else f"FAILED with {done.returncode}: {done.stderr.strip()[-300:]}"
        self.note(shown, outcome, started)
        return done.returncode == 0

    def note(self, shown: str, outcome: str, started: float | None = None) -> None:
        """Keep an outcome, and show it."""
        seconds = 0.0 if started is None else time.monotonic() - started
        self.outcomes.add(self.name, shown, outcome)
        print(f"[{self.name}] {shown}: {outcome} ({seconds:.0f} s)", file=sys.stderr, flush=True)

    @contextmanager
    def serving(self, words: list[str], shown: str) -> Iterator[str]:
        """Serve for the length of the block; its address. The server must end with 0 on SIGTERM."""
        started, log = time.monotonic(), (self.folder / "server.log").open("w")
        with (
            log,
            subprocess.Popen(
                words, cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, stderr=log, text=True
            ) as server,
        ):
            assert server.stdout is not None
            line = server.stdout.readline()
            try:
                yield str(json.loads(line)["address"]) if line else ""
            finally:
                server.send_signal(signal.SIGTERM)
                code = server.wait(timeout=120)
        said = (self.folder / "server.log").read_text("utf-8").strip()[-300:]
        self.note(shown, "served" if line and code == 0 else f"FAILED with {code}: {said}", started)


def reason_not_here(command: Documented) -> str | None:
    """Why a command is not run; None where it is."""
    return next((why for mark, why in NOT_HERE.items() if mark in command.text), None)


def documented() -> list[Documented]:
    """What is run: lines of blocks; of the text what names all that it needs, ``[options]`` aside."""
    found = [command for path in documents() for command in commands(path)]
    plain = [c if c.in_block else replace(c, text=re.sub(r"\s*\[[^\]]*\]", "", c.text)) for c in found]
    whole = [c for c in plain if c.in_block or COMPLETE.search(c.text)]
    return list({command.text: command for command in whole}.values())


def words_of(command: Documented) -> list[str]:
    """As it is run."""
    return [PLACEHOLDERS.get(word, word) for word in command.words]


def documented_python(name: str, number: int, address: str = "") -> list[str]:
    """One block of a document's Python, about another server than the usual one."""
    code = python_blocks(ROOT / name)[number].replace("localhost:50051", address)
    return ["python", "-c", (PREAMBLE if "frames" in code else "") + code]


def of_client() -> list[Documented]:
    """The documented commands of the client that name what they are about."""
    return [
        command
        for command in documented()
        if not reason_not_here(command) and (words := command.ours) and words[0] == "exalign" and len(words) > 3
    ]


def run_base(runner: Runner, address: str) -> None:
    """The client of README against a server: Python, and what the command prints without pictures."""
    runner.run(documented_python("README.md", 0, address), "README: a call")
    runner.run(documented_python("README.md", 1, address), "README: a video")
    for path in documents():
        name = str(path.relative_to(ROOT))
        for number, block in enumerate(python_blocks(path)):
            if "exalign_client" in block and name != "README.md":
                runner.run(documented_python(name, number, address), f"{name}: Python {number + 1}")
    runner.run(["exalign", "predict", "photo.jpg", "--server", address], "exalign predict photo.jpg --server")
    runner.run(["exalign", "model", "--server", address], "exalign model --server")


def run_pictures(runner: Runner, address: str) -> None:
    """Every documented command of the client, with a server that is running."""
    for command in of_client():
        server = [] if "convert" in command.words else ["--server", address]  # which asks none
        runner.run([*words_of(command), *server], f"{command.text} --server")


def run_alone(runner: Runner) -> None:
    """Every documented command of the client by itself, and Python in process."""
    for command in of_client():
        runner.run(words_of(command), command.text)
    runner.run(documented_python("docs/calls.md", -1), "docs/calls.md: in process")


def run_training(runner: Runner) -> None:
    """Training and what follows, in the order of the documents; FACES are drawn."""
    for command in documented():
        words = command.ours
        if reason_not_here(command) or not words or words[0] != "exalign-model":
            continue
        runner.run(words_of(command), command.text)


def run_servers(runner: Runner) -> None:
    """Every documented start of a server; ports are free ones."""
    for command in documented():
        words = command.ours
        if reason_not_here(command) or not words or words[0] != "exalign-server":
            continue
        if {"--help", "--print-config"} & set(words):
            runner.run(words_of(command), command.text)
            continue
        can_be_run = "my-bundle" not in words or (runner.folder / "my-bundle").is_dir()
        if can_be_run and not runner.outcomes.is_done(runner.name, command.text):
            with runner.serving([*words_of(command), *ANY_PORT], command.text):
                pass


def run_all(work: Path, names: Sequence[str]) -> list[Outcome]:
    """Make the environments of these names, and run in each what is for it."""
    outcomes, folder = Outcomes(work / "outcomes.json", commit_here()), work / "folder"
    if not outcomes.all:  # anew: nothing of another commit stays
        for place in (folder, work / "wheels", *(work / name.replace(",", "-") for name in ENVIRONMENTS)):
            shutil.rmtree(place, ignore_errors=True)
        folder.mkdir(parents=True)
        make_inputs(folder, ROOT)
    runners = {}
    for name in names:
        place = work / name.replace(",", "-")
        if not outcomes.is_done(name, INSTALLED):
            shutil.rmtree(place, ignore_errors=True)
            create(name, place, _wheels(work / "wheels"))
            outcomes.add(name, INSTALLED, "done")
        runners[name] = Runner(name, place / "bin", folder, outcomes)
    if "serve" in runners:
        run_servers(runners["serve"])
        with runners["serve"].serving(["exalign-server", "serve", *ANY_PORT], "for the clients") as address:
            if "base" in runners:
                run_base(runners["base"], address)
            if "cli" in runners:
                run_pictures(runners["cli"], address)
    if "cli,serve" in runners:
        run_alone(runners["cli,serve"])
    if "train" in runners:
        run_training(runners["train"])
        run_servers(runners["train"])
    return [row for row in outcomes.all if row.command != INSTALLED]


def _wheels(folder: Path) -> Wheels:
    """Those that were built before, or new ones."""
    code, model = folder.glob("exalign-*.whl"), folder.glob("exalign_model_143k-*.whl")
    found = next(code, None), next(model, None)
    return build(folder) if found[0] is None or found[1] is None else Wheels(found[0], found[1])


def merged(outcomes: Iterable[Outcome], before: Iterable[Outcome], names: Sequence[str]) -> list[Outcome]:
    """The rows of a new table: of these environments what was run now, of others what is known of before."""
    rows = [*outcomes, *(row for row in before if row.environment and row.environment not in names)]
    order = list(ENVIRONMENTS)
    return sorted(rows, key=lambda row: order.index(row.environment))  # stable: as they were run


def read(path: Path) -> list[Outcome]:
    """The rows of a table; an earlier one has no commits."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as f:
        return [Outcome(r["environment"], r["command"], r["outcome"], r.get("commit", "")) for r in csv.DictReader(f)]


def write(outcomes: list[Outcome], path: Path) -> None:
    """The outcomes as a table, and what is not run with its reason."""
    with path.open("w", newline="", encoding="utf-8") as f:
        table = csv.writer(f, lineterminator="\n")
        table.writerow(["environment", "command", "outcome", "commit"])
        table.writerows(vars(o).values() for o in outcomes)
        for command in documented():
            reason = reason_not_here(command)
            if reason is not None:
                table.writerow(["", command.text, f"not run: {reason}", ""])


def main() -> int:
    """Run everything; the exit code is 1 where a command failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for wheels and environments, kept (default: a temporary one)")
    parser.add_argument("--environment", choices=ENVIRONMENTS, nargs="+", default=list(ENVIRONMENTS))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "documented-commands.csv", metavar="CSV")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        names = [name for name in ENVIRONMENTS if name in arguments.environment]
        outcomes = run_all((arguments.work or Path(temporary)).resolve(), names)
    write(merged(outcomes, read(arguments.out), names), arguments.out)
    return 1 if any(outcome.outcome.startswith("FAILED") for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
