"""What a photo costs whose face is detected, and a face whose box is given: here, beside another tree, and MediaPipe.

    python -m benchmarks.photo --data FACES [--beside TREE] [--side 640] [--rounds 2] [--out FILE]

Contestants are processes of their own and answer the same pictures in turns, in an order that alternates; the claims
are ratios within a picture, so that what else runs disturbs both sides. TREE is another checkout, best a worktree of
the commit before. MediaPipe answers where its environment has been made (`benchmarks.peers.environments`): its mesh
with the attention model, with its own detector, or about a given box. It is given pixels; for the rows about JPEGs
OpenCV's decoding, measured here in the same turn, is added.

CPU-milliseconds are those of all threads of a contestant's process. Ours include landmarks, covariances, confidences,
presence, entropy and the five most probable exemplars.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from benchmarks.peers.remote import RemotePeer
from benchmarks.server_process import ROOTS

from exalign_engine.data.prepared import annotated_photos
from exalign_engine.geometry.frames import tight_box
from exalign_engine.geometry.image import decode

HERE = Path(__file__).resolve().parents[1]

#: Above this load a core the machine is busy, and figures are told without a claim.
BUSY = 0.5


@dataclass(frozen=True)
class Task:
    """One picture in a file.

    Attributes:
        path: a JPEG.
        box: of its first annotated face.
    """

    path: Path
    box: tuple[float, ...]


@dataclass(frozen=True)
class Kind:
    """What is asked of a picture."""

    name: str
    detect: bool
    pixels: bool


KINDS = (
    Kind("photo, JPEG", True, False),
    Kind("photo, pixels", True, True),
    Kind("face, JPEG", False, False),
    Kind("face, pixels", False, True),
)

#: Task, kind → CPU-milliseconds.
Contestant = Callable[[Task, Kind], float]


class Ours:
    """The engine of a tree in a process of its own."""

    def __init__(self, tree: Path) -> None:
        paths = os.pathsep.join(str(tree.resolve() / name) for name in ROOTS)
        self._process = subprocess.Popen(
            [sys.executable, HERE / "benchmarks" / "photo_worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
        )
        self.about = self._read() | {"commit": commit(tree)}

    def __call__(self, task: Task, kind: Kind) -> float:
        """CPU-milliseconds of an answer."""
        assert self._process.stdin is not None
        asked = {"path": str(task.path), "box": None if kind.detect else task.box, "pixels": kind.pixels}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return float(self._read()["cpu_ms"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the engine's worker ended with {self._process.wait()}")
        read: dict[str, Any] = json.loads(line)
        return read

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


def mediapipe(peer: RemotePeer) -> Contestant:
    """MediaPipe, given pixels; decoding is OpenCV's in this process."""

    def answer(task: Task, kind: Kind) -> float:
        data, start = task.path.read_bytes(), time.process_time()
        pixels = decode(data)
        decoding = 0.0 if kind.pixels else 1e3 * (time.process_time() - start)
        _, spent = peer.answer(pixels, None if kind.detect else np.array(task.box))
        return spent + decoding

    return answer


def tasks(data: Path, split: str, side: int, folder: Path) -> list[Task]:
    """The photos of a split with their longer side at ``side`` pixels, written as JPEGs of quality 90."""
    made = []
    for i, photo in enumerate(annotated_photos(data, split)):
        image = decode(photo.encoded())
        factor = min(side / max(image.shape[:2]), 1.0)
        if factor < 1:
            size = round(image.shape[1] * factor), round(image.shape[0] * factor)
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        path = folder / f"{i}.jpg"
        cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        box = (tight_box(photo.landmarks[0]) + 0.5) * factor - 0.5
        made.append(Task(path, tuple(box.tolist())))
    return made


def measure(contestants: dict[str, Contestant], pictures: list[Task], rounds: int) -> dict[str, dict[str, list[float]]]:
    """CPU-milliseconds by kind and contestant, pair by pair; the first two pictures warm up."""
    for task in pictures[:2]:
        for kind in KINDS:
            for answer in contestants.values():
                answer(task, kind)
    spent: dict[str, dict[str, list[float]]] = {kind.name: defaultdict(list) for kind in KINDS}
    for turn in range(rounds):
        for i, task in enumerate(pictures):
            names = list(contestants) if (turn + i) % 2 else list(contestants)[::-1]
            for kind in KINDS:
                for name in names:
                    spent[kind.name][name].append(contestants[name](task, kind))
    return spent


def summary(spent: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """Medians, and the median of ratios here ÷ each other contestant with its middle half."""
    rows = []
    for kind, columns in spent.items():
        row: dict[str, Any] = {"kind": kind, "cpu_ms": {k: round(statistics.median(v), 2) for k, v in columns.items()}}
        row["here ÷"] = {}
        for name, values in columns.items():
            if name != "here":
                ratios = sorted(a / b for a, b in zip(columns["here"], values, strict=True))
                low, middle, high = np.percentile(ratios, [25, 50, 75])
                row["here ÷"][name] = [round(float(v), 3) for v in (middle, low, high)]
        rows.append(row)
    return rows


def commit(tree: Path) -> str:
    """Of a checkout, with a + where something in it has not been committed."""
    git = ["git", "-C", str(tree)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return (name.stdout.strip() or "unknown") + ("+" if changed.stdout.strip() else "")


def processor() -> str:
    """As Linux names it, and whether it has VNNI: without, int8 is computed in float32."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {'VNNI' if any('vnni' in line for line in lines) else 'no VNNI'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="faces in the prepared format")
    parser.add_argument("--split", default="val")
    parser.add_argument("--beside", type=Path, metavar="TREE", help="another checkout")
    parser.add_argument("--side", type=int, default=640, metavar="N", help="longer side of the photos (default: 640)")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="times that each picture is answered")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a JSON file too")
    args = parser.parse_args()
    loads = [os.getloadavg()[0]]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pictures = tasks(args.data, args.split, args.side, folder)
        trees = {"here": HERE} | ({"beside": args.beside} if args.beside else {})
        contestants: dict[str, Contestant] = {}
        about: dict[str, Any] = {}
        for name, tree in trees.items():
            worker = Ours(tree)
            stack.callback(worker.close)
            contestants[name], about[name] = worker, worker.about
        try:
            peer = stack.enter_context(RemotePeer("mediapipe"))
            contestants["mediapipe"], about["mediapipe"] = mediapipe(peer), peer.about
        except FileNotFoundError as e:
            print(f"without MediaPipe: {e}", file=sys.stderr)
        rows = summary(measure(contestants, pictures, args.rounds))
    loads.append(os.getloadavg()[0])
    busy = max(loads) > BUSY * (os.cpu_count() or 1) + 1  # our own turns make a load of one
    head: dict[str, Any] = {"processor": processor(), "cores": os.cpu_count(), "load": loads, "busy": busy}
    head |= {"pictures": len(pictures), "side": args.side, "rounds": args.rounds, "contestants": about}
    print(f"{head['processor']}; load {loads[0]:.1f} to {loads[1]:.1f}" + ("; BUSY: no claim" if busy else ""))
    for row in rows:
        ratios = "  ".join(f"÷ {k}: {v[0]:.2f} ({v[1]:.2f} to {v[2]:.2f})" for k, v in row["here ÷"].items())
        print(f"{row['kind']:15}{'  '.join(f'{k} {v:.1f}' for k, v in row['cpu_ms'].items())}  {ratios}")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(head | {"rows": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
