"""What the server does with more calls than it can answer.

    python -m benchmarks.overload [--seconds 15] [--loads 2 4 8] [--deadline 2] [--apart] [--json FILE]

Capacity first: photographs without boxes, from four connections with two calls each, one after the other. Then calls
come at 2, 4 and 8 times that rate, whether or not earlier ones were answered, each with a deadline; nobody tries
again. Meanwhile a stream sends frames at a steady rate that alone it gets answered. Goodput are the calls answered in
time, a second. When the overload ends, single calls are timed for two seconds, beside such calls before it.

The callers are in a process of their own with the lowest priority: they stand for other machines. All in one run on
one machine; only the ratios are claims. A caller's side of a refused call costs half of what the server's costs: with
``--apart`` the last core is the callers', and the server has the others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from benchmarks.server_process import server_process
from benchmarks.serving import BOX, photograph

from exalign.v1 import geometry_pb2, image_pb2, service_pb2, track_pb2
from exalign.v1.service_pb2_grpc import FaceAlignmentServiceStub

if TYPE_CHECKING:
    from exalign.v1.service_pb2_grpc import FaceAlignmentServiceAsyncStub as Stub

#: Connections, and calls of each in the measurement of the capacity.
CONNECTIONS, CALLS = 4, 2

#: Frames a second of the stream.
FRAMES = 5.0

PHOTO = service_pb2.PredictLandmarksRequest(image=image_pb2.Image(encoded=photograph()))


@dataclass
class Met:
    """What calls met: seconds of those answered, and how often each status came."""

    times: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)

    async def call(self, stub: Stub, timeout: float) -> None:
        """One call."""
        start = time.perf_counter()
        try:
            await stub.PredictLandmarks(PHOTO, timeout=timeout)
        except grpc.aio.AioRpcError as e:
            self.codes[e.code().name] += 1
        else:
            self.codes["OK"] += 1
            self.times.append(time.perf_counter() - start)

    def percentile(self, p: float) -> float:
        """Seconds."""
        return float(np.percentile(self.times, p)) if self.times else float("inf")


@dataclass(frozen=True)
class Row:
    """One load."""

    load: float
    offered: float
    goodput: float
    goodput_ratio: float
    p99_seconds: float
    stream_ratio: float
    codes: dict[str, int]
    after_ratio: float


async def closed_loop(stubs: list[Stub], seconds: float, calls: int) -> tuple[Met, float]:
    """Calls one after the other; what they met, and how many a second were answered."""
    met, until = Met(), time.perf_counter() + seconds

    async def caller(stub: Stub) -> None:
        while time.perf_counter() < until:
            await met.call(stub, 60.0)

    start = time.perf_counter()
    await asyncio.gather(*(caller(stub) for stub in stubs for _ in range(calls)))
    return met, len(met.times) / (time.perf_counter() - start)


async def open_loop(stubs: list[Stub], seconds: float, rate: float, deadline: float) -> Met:
    """Calls at a rate, whatever becomes of them."""
    met, rng, tasks = Met(), np.random.default_rng(1), list[asyncio.Task[None]]()
    due = start = time.perf_counter()
    while due < start + seconds:
        await asyncio.sleep(max(due - time.perf_counter(), 0.0))
        tasks.append(asyncio.create_task(met.call(stubs[len(tasks) % len(stubs)], deadline)))
        due += rng.exponential(1 / rate)
    await asyncio.gather(*tasks)
    return met


async def stream(stub: Stub, stop: asyncio.Event) -> float:
    """Frames at a steady rate; the share of them that was answered, skipped ones not."""
    call: Any = stub.TrackVideo()  # type: ignore[call-arg]
    config = track_pb2.TrackConfig(mode=track_pb2.TRACK_MODE_LIVE)
    await call.write(service_pb2.TrackVideoRequest(config=config))
    await call.read()
    sent, answered = 0, list[int]()

    async def read() -> None:
        while (message := await call.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            if message.WhichOneof("message") == "result":
                answered.append(message.result.frame_index)

    reading = asyncio.create_task(read())
    x0, y0, x1, y1 = BOX
    start = time.perf_counter()
    while not stop.is_set():
        frame = track_pb2.VideoFrame(frame_index=sent, image=PHOTO.image)
        if sent == 0:
            frame.boxes.add(box=geometry_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1))
        if answered:
            frame.acked_frame = answered[-1]
        await call.write(service_pb2.TrackVideoRequest(frame=frame))
        sent += 1
        await asyncio.sleep(max(start + sent / FRAMES - time.perf_counter(), 0.0))
    reading.cancel()
    call.cancel()
    return len(answered) / sent


async def measured(address: str, loads: list[float], seconds: float, deadline: float) -> tuple[float, list[Row]]:
    """The capacity, and a row for each load."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    rows = []
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, options)) for _ in range(CONNECTIONS + 1)
        ]
        *callers, streamer = [FaceAlignmentServiceStub(channel) for channel in channels]
        await closed_loop(callers, 3.0, CALLS)
        stop = asyncio.Event()
        streaming = asyncio.create_task(stream(streamer, stop))
        _, capacity = await closed_loop(callers, seconds, CALLS)
        stop.set()
        alone = await streaming
        print(f"capacity {capacity:.1f} calls a second beside a stream of {FRAMES:g} frames; {alone:.0%} answered")
        for load in loads:
            base, _ = await closed_loop(callers[:1], 2.0, 1)
            stop = asyncio.Event()
            streaming = asyncio.create_task(stream(streamer, stop))
            met = await open_loop(callers, seconds, load * capacity, deadline)
            stop.set()
            kept = await streaming
            await asyncio.sleep(2.0 - 1.0)
            after, _ = await closed_loop(callers[:1], 2.0, 1)
            in_time = sum(t <= deadline for t in met.times)
            row = Row(
                load,
                sum(met.codes.values()) / seconds,
                in_time / seconds,
                in_time / seconds / capacity,
                met.percentile(99),
                kept / alone,
                dict(met.codes),
                after.percentile(50) / base.percentile(50),
            )
            rows.append(row)
            print(
                f"{load:g} ×: offered {row.offered:.1f}/s, goodput {row.goodput_ratio:.0%} of capacity, p99 of answered"
                f" {row.p99_seconds:.2f} s, stream {row.stream_ratio:.0%}, afterwards × {row.after_ratio:.2f};"
                f" {row.codes}",
                flush=True,
            )
    return capacity, rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--loads", type=float, nargs="*", default=[2.0, 4.0, 8.0])
    parser.add_argument("--deadline", type=float, default=2.0)
    parser.add_argument("--apart", action="store_true", help="callers on the last core, the server on the others")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    *others, last = sorted(os.sched_getaffinity(0))
    if args.apart:
        os.sched_setaffinity(0, others)
    with server_process(tcp=True) as server:
        os.nice(19)
        if args.apart:
            os.sched_setaffinity(0, [last])
        capacity, rows = asyncio.run(measured(server.address, args.loads, args.seconds, args.deadline))
    if args.json:
        args.json.write_text(json.dumps({"capacity": capacity, "rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
