"""Print the table; see `benchmarks.backends`."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import grpc
import numpy as np
from benchmarks.backends import __doc__ as about
from benchmarks.backends.processes import Backend, CannotServeError, started
from benchmarks.backends.triton import triton
from benchmarks.machine import machine
from benchmarks.server_process import server_process
from benchmarks.serving import BOX, photograph
from numpy.typing import NDArray

from exalign.open_inference import inference_pb2
from exalign_engine import Aligner

F64 = NDArray[np.float64]

INFER = "/inference.GRPCInferenceService/ModelInfer"
FLOOR = "floor"

#: Callers of the floor: one for each thread that a server works with.
CALLERS = 2

#: Rounds that are asked and not counted.
WARM_UP = 1


@dataclass(frozen=True)
class Turn:
    """What one backend did in one round.

    Attributes:
        calls_per_second: answered.
        cpu_ms: of the backend's processes, a call.
        p50_ms: of a call, by the clock.
        p99_ms: likewise.
    """

    calls_per_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Row:
    """A backend over all rounds: medians, and its CPU time a call ÷ the floor's in the same round.

    ``off`` is how far its landmarks are from the floor's, on average, in % of the box diagonal.
    """

    name: str
    calls_per_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    ratio: float
    least_ratio: float
    most_ratio: float
    off: float


class Floor:
    """The same work in this process."""

    def __init__(self, picture: bytes) -> None:
        self._aligner, self._picture = Aligner.default(threads=1), picture
        self._aligner.warm_up()
        self._pool = ThreadPoolExecutor(CALLERS)

    def landmarks(self) -> F64:
        """(68, 2) pixels."""
        (face,) = self._aligner.align(self._picture, [BOX])
        return face.landmarks

    def turn(self, seconds: float) -> Turn:
        """Answer for so long."""
        cpu, start = time.process_time(), time.perf_counter()
        until = start + seconds

        def caller(_: int) -> list[float]:
            times = []
            while (began := time.perf_counter()) < until:
                (face,) = self._aligner.align(self._picture, [BOX])
                face.compute()
                times.append(time.perf_counter() - began)
            return times

        times = [t for part in self._pool.map(caller, range(CALLERS)) for t in part]
        return _turn(times, time.perf_counter() - start, time.process_time() - cpu)


def message(picture: bytes, model: str) -> bytes:
    """What every server is asked."""
    boxes = np.array([BOX], "<f4")
    request = inference_pb2.ModelInferRequest(model_name=model)
    request.inputs.add(name="image", datatype="BYTES", shape=[1])
    request.inputs.add(name="boxes", datatype="FP32", shape=boxes.shape)
    request.raw_input_contents.extend([len(picture).to_bytes(4, "little") + picture, boxes.tobytes()])
    for name in ("landmarks", "covariances"):
        request.outputs.add(name=name)
    return request.SerializeToString()


async def asked(backend: Backend, data: bytes, seconds: float, concurrency: int) -> Turn:
    """Ask a server for so long; a call that fails ends the benchmark."""
    times = list[float]()
    async with grpc.aio.insecure_channel(backend.address) as channel:
        call = channel.unary_unary(INFER, request_serializer=None, response_deserializer=None)  # bytes in, bytes out
        await call(data, wait_for_ready=True)
        cpu, start = backend.cpu_seconds(), time.perf_counter()
        until = start + seconds

        async def caller() -> None:
            while (began := time.perf_counter()) < until:
                await call(data)
                times.append(time.perf_counter() - began)

        await asyncio.gather(*(caller() for _ in range(concurrency)))
        return _turn(times, time.perf_counter() - start, backend.cpu_seconds() - cpu)


async def landmarks(backend: Backend, data: bytes) -> F64:
    """(68, 2) pixels: what a server answers."""
    async with grpc.aio.insecure_channel(backend.address) as channel:
        call = channel.unary_unary(INFER, request_serializer=None, response_deserializer=None)
        answer = inference_pb2.ModelInferResponse.FromString(await call(data, wait_for_ready=True))
    place = [output.name for output in answer.outputs].index("landmarks")
    return np.frombuffer(answer.raw_output_contents[place], "<f4").reshape(68, 2).astype(np.float64)


def off(found: F64, wanted: F64) -> float:
    """Mean distance of landmarks, in % of the box diagonal."""
    diagonal = np.hypot(BOX[2] - BOX[0], BOX[3] - BOX[1])
    return float(100 * np.hypot(*(found - wanted).T).mean() / diagonal)


def _turn(times: list[float], wall: float, cpu: float) -> Turn:
    milliseconds = 1e3 * np.array(times)
    p50, p99 = (float(np.quantile(milliseconds, q)) for q in (0.5, 0.99))
    return Turn(len(times) / wall, 1e3 * cpu / len(times), p50, p99)


@contextmanager
def ours() -> Iterator[Backend]:
    """exalign-server."""
    with server_process(tcp=True) as server:
        yield Backend(server.address, server.pid)


@contextmanager
def plain() -> Iterator[Backend]:
    """See `plain_server`."""
    with started([sys.executable, "-m", "benchmarks.backends.plain_server"]) as backend:
        yield backend


BACKENDS = {"ours": ours, "plain": plain, "triton": triton}


def summary(turns: dict[str, list[Turn]], distances: dict[str, float]) -> list[Row]:
    """The rows of the table, from what each did in each round, and how far its landmarks are off."""
    rows = []
    for name, own in turns.items():
        ratios = [turn.cpu_ms / floor.cpu_ms for turn, floor in zip(own, turns[FLOOR], strict=True)]
        rate, cpu, p50, p99 = (statistics.median(column) for column in zip(*map(astuple, own), strict=True))
        rows.append(
            Row(name, rate, cpu, p50, p99, statistics.median(ratios), min(ratios), max(ratios), distances[name])
        )
    return rows


def measure(names: list[str], rounds: int, seconds: float, concurrency: int) -> tuple[list[Row], dict[str, str]]:
    """All backends in turns; those that cannot be had, with the reason."""
    picture, left_out = photograph(), dict[str, str]()
    with ExitStack() as stack:
        servers = dict[str, Backend]()
        for name in names:
            print(f"starting {name} …", file=sys.stderr)
            try:
                servers[name] = stack.enter_context(BACKENDS[name]())
            except CannotServeError as e:
                left_out[name] = str(e)
        floor = Floor(picture)
        wanted = floor.landmarks()
        messages = {name: message(picture, server.model) for name, server in servers.items()}
        distances = {FLOOR: 0.0}
        for name, server in servers.items():
            distances[name] = off(asyncio.run(landmarks(server, messages[name])), wanted)
        turns: dict[str, list[Turn]] = {name: [] for name in (FLOOR, *servers)}
        for number in range(WARM_UP + rounds):
            for name in sorted(turns, reverse=number % 2 == 0):
                if name == FLOOR:
                    turn = floor.turn(seconds)
                else:
                    turn = asyncio.run(asked(servers[name], messages[name], seconds, concurrency))
                if number >= WARM_UP:
                    turns[name].append(turn)
            print(f"[{number + 1}/{WARM_UP + rounds}]", file=sys.stderr)
    return summary(turns, distances), left_out


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn (default: %(default)g)")
    parser.add_argument("--concurrency", type=int, default=8, help="calls at once (default: %(default)s)")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS), help="(default: all)")
    parser.add_argument("--busy", action="store_true", help="measure on a busy machine too; nothing is a claim then")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    where = machine()
    print(where)
    if not where.quiet and not args.busy:
        print("the machine is busy: nothing is measured; --busy measures, and claims nothing", file=sys.stderr)
        return 1
    rows, left_out = measure(args.backends, args.rounds, args.seconds, args.concurrency)
    print(f"{'':10}{'calls/s':>9}{'CPU-ms':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU ÷ floor':>13}   {'range':14}{'off %':>6}")
    for r in rows:
        span = f"{r.least_ratio:.2f} to {r.most_ratio:.2f}"
        figures = f"{r.calls_per_second:9.1f}{r.cpu_ms:9.2f}{r.p50_ms:9.1f}{r.p99_ms:9.1f}{r.ratio:13.2f}"
        print(f"{r.name:10}{figures}   {span:14}{r.off:6.2f}")
    for name, reason in left_out.items():
        print(f"{name}: left out: {reason}")
    if args.json is not None:
        result = {
            "machine": {**asdict(where), "quiet": where.quiet},
            "rounds": args.rounds,
            "seconds": args.seconds,
            "concurrency": args.concurrency,
            "rows": [asdict(row) for row in rows],
            "left_out": left_out,
        }
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
