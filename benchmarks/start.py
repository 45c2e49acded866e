"""What a start costs, and what a server holds: CPU-seconds and clock to SERVING, memory before and after work.

Another checkout of this repository is started in turns with this one (``--beside``): the ratio of the CPU-seconds is
the claim. Each tree has caches of its own in a temporary folder; "cold" means that they are empty.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
from benchmarks.server_process import ROOTS
from skimage import data

from exalign_client import Client

HERE = Path(__file__).parents[1]

#: The face of `photograph`, x0, y0, x1, y1.
BOX = (196.0, 80.0, 384.0, 268.0)

#: Kernels compiled for it are for nothing else, and run on any processor with AVX2.
OTHER_PROCESSOR = "haswell"

#: Frames of a session before memory is read.
_FRAMES = 8

#: So long after its work a server has given back what was freed, seconds.
_GONE_BACK = 6.0

_PROGRAM = "import sys; from exalign_service.entry import main; sys.exit(main())"


@dataclass(frozen=True)
class MeasuredStart:
    """One start.

    Attributes:
        kind: "warm", "cold", or "other processor".
        tree: "here" or "beside".
        cpu_seconds: of the process, to SERVING.
        seconds: of clock, likewise.
        cpu_to_warm: CPU-seconds until everything is warm.
        rss_mb: resident then.
        pss_mb: resident then, shared pages divided by those who share them.
        private_mb: written by this process alone.
    """

    kind: str
    tree: str
    cpu_seconds: float
    seconds: float
    cpu_to_warm: float
    rss_mb: float
    pss_mb: float
    private_mb: float


@dataclass(frozen=True)
class Held:
    """Memory of servers that have worked.

    Attributes:
        tree: "here" or "beside".
        calls: answered by each.
        sessions: open in each.
        busy_mb: of one process as soon as its sessions have been answered.
        rss_mb: a moment later, when what was freed has gone back; what follows, too.
        pss_mb: the same, pages that it shares with others divided by those who share them.
        private_mb: what it has of its own.
        further_mb: by which a second process raises the sum of PSS.
        session_mb: by which one session raised the resident memory.
    """

    tree: str
    calls: int
    sessions: int
    busy_mb: float
    rss_mb: float
    pss_mb: float
    private_mb: float
    further_mb: float
    session_mb: float


@dataclass(frozen=True)
class Running:
    """A server that serves.

    Attributes:
        process: of it.
        address: of its gRPC port.
        started: on `time.monotonic`.
        log: where its log lies.
    """

    process: subprocess.Popen[str]
    address: str
    started: float
    log: Path

    def cpu_seconds(self) -> float:
        """So far, of all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, float]:
        """By name as Linux has it, MB."""
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()[1:]
        return {name: int(rest.split()[0]) / 1024 for name, rest in (line.split(":") for line in lines)}

    def wait_until_warm(self) -> None:
        """Until its log says so.

        Raises:
            TimeoutError: it did not within ten minutes.
        """
        until = time.monotonic() + 600
        while '"warm"' not in self.log.read_text():
            if time.monotonic() > until:
                raise TimeoutError(self.log.read_text()[-2000:])
            time.sleep(0.05)


@contextmanager
def server(
    tree: Path, caches: Path, settings: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A server of a tree, from its start to SERVING."""
    log = caches / f"log-{time.monotonic_ns()}.txt"
    ports = ("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0")
    with log.open("w") as err:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, "serve", *ports, *settings],
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            env=_environment(tree, caches) | dict(env or {}),
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{tree}: the server did not start: {log.read_text()[-2000:]}")
        yield Running(process, json.loads(line)["address"], started, log)
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close() if process.stdout is not None else None


def _environment(tree: Path, caches: Path) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(str(tree / name) for name in ROOTS),
        "XDG_CACHE_HOME": str(caches / "tables"),
        "NUMBA_CACHE_DIR": str(caches / "kernels"),
    }


def started(kind: str, name: str, tree: Path, caches: Path, settings: Sequence[str]) -> MeasuredStart:
    """Start a server once, and end it when it is warm."""
    if kind == "cold":
        for folder in ("tables", "kernels"):
            shutil.rmtree(caches / folder, ignore_errors=True)
    env = {"NUMBA_CPU_NAME": OTHER_PROCESSOR} if kind == "other processor" else {}
    with server(tree, caches, settings, env) as live:
        cpu, seconds = live.cpu_seconds(), time.monotonic() - live.started
        live.wait_until_warm()
        time.sleep(0.5)  # what the start needed is given back just after
        memory = live.memory()
        return MeasuredStart(
            kind,
            name,
            cpu,
            round(seconds, 2),
            live.cpu_seconds(),
            memory["Rss"],
            memory["Pss"],
            memory["Private_Dirty"],
        )


def held(name: str, tree: Path, caches: Path, settings: Sequence[str], calls: int, sessions: int) -> Held:
    """Two servers of a tree work side by side; memory of the first alone, then of both."""
    with ExitStack() as stack:
        first = stack.enter_context(server(tree, caches, settings))
        first.wait_until_warm()
        work(first, calls)
        time.sleep(_GONE_BACK)
        before = first.memory()["Rss"]
        track(first, stack, sessions)
        busy = first.memory()["Rss"]
        time.sleep(_GONE_BACK)
        one = first.memory()
        second = stack.enter_context(server(tree, caches, settings))
        second.wait_until_warm()
        work(second, calls)
        track(second, stack, sessions)
        time.sleep(_GONE_BACK)
        both = first.memory()["Pss"] + second.memory()["Pss"]
    session = (one["Rss"] - before) / sessions
    return Held(name, calls, sessions, busy, one["Rss"], one["Pss"], one["Private_Dirty"], both - one["Pss"], session)


def work(live: Running, calls: int) -> None:
    """Calls about one face, eight at a time."""
    encoded = photograph()
    with Client(live.address) as client, ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda _: client.predict(encoded, [BOX]), range(calls)):
            pass


def track(live: Running, stack: ExitStack, sessions: int) -> None:
    """Open sessions with one face and lag 0, each with eight frames acknowledged, and leave them open."""
    encoded, closing = photograph(), threading.Event()

    def frames() -> Iterator[bytes]:
        for _ in range(_FRAMES):
            yield encoded
        closing.wait()

    stack.callback(closing.set)
    for _ in range(sessions):
        events = iter(stack.enter_context(Client(live.address)).track(frames(), smoothing_lag=0))
        for _ in range(_FRAMES):
            next(events)


def predicted(tree: Path, caches: Path) -> float:
    """Seconds of clock of ``exalign predict`` about a photograph, without a server."""
    file = caches / "photograph.jpg"
    file.write_bytes(photograph())
    code = "import sys; from exalign_client.commands.cli import main; sys.exit(main())"
    start = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", code, "predict", str(file)],
        check=True,
        env=_environment(tree, caches),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.monotonic() - start


def photograph() -> bytes:
    """A public-domain portrait, 640 × 480, as JPEG."""
    image = data.astronaut()[:384, :, ::-1]
    return bytes(cv2.imencode(".jpg", cv2.resize(image, (640, 480)))[1].tobytes())


def surroundings() -> dict[str, object]:
    """The commit, the processor and the load."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "commit": commit.stdout.strip(),
        "processor": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def main() -> int:
    """Print what was found; as JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beside", type=Path, metavar="TREE", help="take turns with another checkout")
    parser.add_argument("--rounds", type=int, default=5, help="warm starts of each (default %(default)s)")
    parser.add_argument("--cold", type=int, default=1, help="starts of each with empty caches (default %(default)s)")
    parser.add_argument("--calls", type=int, default=1000, help="before memory is read; 0 leaves it out")
    parser.add_argument("--sessions", type=int, default=16, help="open when memory is read (default %(default)s)")
    parser.add_argument("--runtime", default="auto", help="of the servers (default %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    args = parser.parse_args()
    trees = {"here": HERE} | ({} if args.beside is None else {"beside": args.beside.resolve()})
    settings = ("--runtime", args.runtime)
    before = surroundings()
    with tempfile.TemporaryDirectory() as folder:
        caches = {name: Path(folder, name) for name in trees}
        for place in caches.values():
            place.mkdir()
        starts: list[MeasuredStart] = []
        # Kernels that were compiled for this processor are of no use to the other; last, so that none is there for it.
        for kind, rounds in (("cold", args.cold), ("warm", args.rounds), ("other processor", min(args.cold, 1))):
            for number in range(rounds):
                for name in sorted(trees, reverse=number % 2 == 0):
                    starts.append(started(kind, name, trees[name], caches[name], settings))
                    print(_line(starts[-1]), file=sys.stderr, flush=True)
        seconds = {name: min(predicted(trees[name], caches[name]) for _ in range(2)) for name in trees}
        kept = []
        if args.calls:
            kept = [held(name, tree, caches[name], settings, args.calls, args.sessions) for name, tree in trees.items()]
    found = {
        "before": before,
        "after": surroundings(),
        "starts": [asdict(one) for one in starts],
        "ratios": _ratios(starts),
        "predict_seconds": seconds,
        "memory": [asdict(one) for one in kept],
    }
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    _print(found, kept)
    return 0


def _ratios(starts: Sequence[MeasuredStart]) -> dict[str, float]:
    """By kind, CPU-seconds of the median start here ÷ beside."""
    ratios = {}
    for kind in dict.fromkeys(one.kind for one in starts):
        medians = {
            name: statistics.median(one.cpu_seconds for one in starts if (one.kind, one.tree) == (kind, name))
            for name in {one.tree for one in starts if one.kind == kind}
        }
        if len(medians) == 2:
            ratios[kind] = round(medians["here"] / medians["beside"], 4)
    return ratios


def _line(one: MeasuredStart) -> str:
    return (
        f"{one.kind:16}{one.tree:8} to SERVING {one.cpu_seconds:6.2f} CPU-s, {one.seconds:6.2f} s; to warm "
        f"{one.cpu_to_warm:6.2f} CPU-s; RSS {one.rss_mb:4.0f}, PSS {one.pss_mb:4.0f}, private {one.private_mb:4.0f} MB"
    )


def _print(found: Mapping[str, object], kept: Sequence[Held]) -> None:
    print(json.dumps({key: found[key] for key in ("before", "after", "ratios", "predict_seconds")}, indent=1))
    for one in kept:
        print(
            f"{one.tree}: after {one.calls} calls and {one.sessions} sessions"
            f" RSS {one.busy_mb:.0f} and soon {one.rss_mb:.0f}, PSS {one.pss_mb:.0f}, private {one.private_mb:.0f} MB;"
            f" a further process {one.further_mb:.0f} MB; a session {one.session_mb:.2f} MB"
        )


if __name__ == "__main__":
    sys.exit(main())
