"""What one caller can do to another: the costliest requests that the limits admit, beside a polite caller's.

    python -m benchmarks.hostile [--seconds 20] [--kinds KIND ...] [--json FILE]

The polite caller asks about one face every tenth of a second, on a connection of its own. It is measured alone, then
beside each kind of hostile caller in turn, which keeps 48 calls in flight from another process. Each row has the polite
caller's p99 ÷ its p99 alone, its failures, and the peak of the server's resident memory ÷ its base, with what child
processes add to it. All in one run on one machine: only the ratios are claims.

Both callers stand for other machines, and share this one's processors with the server. So the hostile caller's process
has what is left over of them: a session of its own with the lowest priority, which whoever wakes up interrupts at once.
The polite caller's process interrupts what computes, as the server's own threads do. What is left of the disturbance is
measured: the row "a busy process" is of one that computes for ever in the hostile caller's place, and asks nothing. The
last column is what a hostile caller's process took of one processor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from benchmarks.large_pictures import MAKERS, large_picture
from benchmarks.server_process import ServerProcess, server_process
from benchmarks.serving import BOX, photograph

from exalign.v1 import evidence_pb2, face_pb2, geometry_pb2, heatmap_pb2, image_pb2, pose_pb2, service_pb2, track_pb2
from exalign.v1.service_pb2_grpc import FaceAlignmentServiceStub
from exalign_service.scheduling.slices import LONG, SHORT, set_slice

if TYPE_CHECKING:
    from exalign.v1.service_pb2_grpc import FaceAlignmentServiceAsyncStub as Stub

#: Calls that a hostile caller keeps in flight, and streams that it opens.
IN_FLIGHT, STREAMS = 48, 200

#: Seconds between two calls of the polite caller, and its deadline.
EVERY, DEADLINE = 0.1, 10.0

CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 128 * 1024 * 1024),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own
)


@dataclass(frozen=True)
class Polite:
    """What the polite caller met; ``trivial_p99_ms`` is of GetModel, which needs no thread: the event loop's share."""

    calls: int
    failed: int
    p50_ms: float
    p99_ms: float
    trivial_p99_ms: float


@dataclass(frozen=True)
class Row:
    """One kind of hostile caller."""

    kind: str
    polite: Polite
    p99_ratio: float
    memory_ratio: float
    hostile: dict[str, int]
    hostile_cpu: float


def request(data: bytes, boxes: int = 1) -> service_pb2.PredictLandmarksRequest:
    """A picture with boxes; none: faces are detected."""
    x0, y0, x1, y1 = BOX
    given = [geometry_pb2.Box(x0=x0 + i % 8, y0=y0 + i // 8, x1=x1 + i % 8, y1=y1 + i // 8) for i in range(boxes)]
    return service_pb2.PredictLandmarksRequest(image=image_pb2.Image(encoded=data), boxes=given)


async def polite(address: str, seconds: float) -> Polite:
    """Ask about a face now and then."""
    asked, times, trivial, failed = request(photograph()), list[float](), list[float](), 0
    async with grpc.aio.insecure_channel(address, CHANNEL_OPTIONS) as channel:
        stub: Stub = FaceAlignmentServiceStub(channel)
        until = time.perf_counter() + seconds
        while (start := time.perf_counter()) < until:
            try:
                await stub.PredictLandmarks(asked, timeout=DEADLINE)
                times.append(time.perf_counter() - start)
                between = time.perf_counter()
                await stub.GetModel(service_pb2.GetModelRequest(), timeout=DEADLINE)
                trivial.append(time.perf_counter() - between)
            except grpc.aio.AioRpcError:
                failed += 1
            await asyncio.sleep(max(EVERY - (time.perf_counter() - start), 0.0))
    p50, p99 = (1e3 * float(v) for v in np.percentile(times or [DEADLINE], (50, 99)))
    return Polite(len(times) + failed, failed, p50, p99, 1e3 * float(np.percentile(trivial or [DEADLINE], 99)))


# The hostile callers: each is a function of the stub that makes one call.

Attack = Callable[["Stub"], Awaitable[object]]


def picture(kind: str) -> Attack:
    """The largest picture of a format, faces to be detected."""
    asked = request(large_picture(kind), boxes=0)
    return lambda stub: stub.PredictLandmarks(asked)


def faces() -> Attack:
    """As many faces in one call as there may be, from boxes that are off."""
    asked = request(photograph(), boxes=64)
    return lambda stub: stub.PredictLandmarks(asked)


def detection() -> Attack:
    """Ordinary photographs without boxes."""
    asked = request(photograph(), boxes=0)
    return lambda stub: stub.PredictLandmarks(asked)


def cells() -> Attack:
    """Heatmaps of all landmarks, as large as they may be, and every bin of the pose."""
    one = request(photograph())
    asked = service_pb2.PredictHeatmapsRequest(
        image=one.image,
        boxes=one.boxes,
        heatmaps=heatmap_pb2.HeatmapOptions(width=256, height=256, encoding=heatmap_pb2.HEATMAP_ENCODING_UINT8),
        pose=pose_pb2.PoseOptions(histogram=pose_pb2.PoseHistogramOptions(yaw_bins=180, roll_bins=180)),
        landmarks=face_pb2.LandmarkOptions(top_exemplars=100),
    )
    return lambda stub: stub.PredictHeatmaps(asked)


def suggestions() -> Attack:
    """The costliest method."""
    one = request(photograph())
    asked = service_pb2.SuggestEvidenceRequest(image=one.image, box=one.boxes[0], evidence=evidence_pb2.Evidence())
    return lambda stub: stub.SuggestEvidence(asked)


def rubbish() -> Attack:
    """Large messages that are refused."""
    asked = request(b"\xff\xd8" + bytes(8 * 1024 * 1024 - 2))
    return lambda stub: stub.PredictLandmarks(asked)


def idle_streams() -> Attack:
    """Streams that are opened, and say nothing more."""
    opened = 0

    async def stream(stub: Stub) -> None:
        nonlocal opened
        if opened >= STREAMS:
            await asyncio.sleep(0.5)
            return
        opened += 1
        call: Any = stub.TrackVideo()  # type: ignore[call-arg]
        await call.write(service_pb2.TrackVideoRequest(config=track_pb2.TrackConfig()))
        await call.read()
        await asyncio.sleep(3600)

    return stream


def busy_streams() -> Attack:
    """Streams that send frames as fast as they are taken."""
    data, box = photograph(), request(b"").boxes[0]

    async def stream(stub: Stub) -> None:
        call: Any = stub.TrackVideo()  # type: ignore[call-arg]
        await call.write(service_pb2.TrackVideoRequest(config=track_pb2.TrackConfig()))
        await call.read()
        for index in range(100_000):
            frame = track_pb2.VideoFrame(frame_index=index, image=image_pb2.Image(encoded=data))
            if index == 0:
                frame.boxes.add(box=box)
            else:
                frame.acked_frame = index - 1
            await call.write(service_pb2.TrackVideoRequest(frame=frame))
            while (await call.read()).WhichOneof("message") != "result":
                pass

    return stream


KINDS: dict[str, Callable[[], Attack]] = {
    **{f"largest {kind}": (lambda kind=kind: picture(kind)) for kind in MAKERS},  # type: ignore[misc]
    "64 faces a call, a full cache": faces,
    "detection": detection,
    "every cell and bin": cells,
    "suggestions": suggestions,
    "large rubbish": rubbish,
    "idle streams": idle_streams,
    "busy streams": busy_streams,
}


#: No caller at all: see above.
BUSY = "a busy process"


def leave_processors_to_others() -> None:
    """Take what nobody else wants, as if on another machine."""
    os.nice(19)
    with suppress(OSError):  # where processors are shared out between sessions, its own is behind all others
        os.setsid()
        Path("/proc/self/autogroup").write_text("19")
    set_slice(LONG)


async def attack(address: str, kind: str) -> None:
    """Keep calls in flight until this process is ended; counts go to standard output, a line a second."""
    leave_processors_to_others()
    if kind == BUSY:
        print("ready", flush=True)
        while True:
            pass
    call, counts = KINDS[kind](), dict[str, int]()
    print("ready", flush=True)
    async with grpc.aio.insecure_channel(address, CHANNEL_OPTIONS) as channel:
        stub: Stub = FaceAlignmentServiceStub(channel)

        async def caller() -> None:
            while True:
                try:
                    await call(stub)
                    name = "OK"
                except grpc.aio.AioRpcError as e:
                    name = e.code().name
                    await asyncio.sleep(0.05)
                counts[name] = counts.get(name, 0) + 1

        callers = [asyncio.create_task(caller()) for _ in range(STREAMS if kind == "idle streams" else IN_FLIGHT)]
        while True:
            await asyncio.wait(callers, timeout=1.0)
            print(json.dumps(counts), flush=True)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process up to now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(server: ServerProcess) -> int:
    """Bytes of the server that are resident, and what its child processes add: a page of several counts once."""
    pids, total = [server.pid], 0
    while pids:
        pid = pids.pop()
        with suppress(OSError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                pids += map(int, (thread / "children").read_text().split())
            total += resident(pid, "Rss" if pid == server.pid else "Pss")
    return total


def resident(pid: int, kind: str) -> int:
    """Bytes of a process; by "Pss", those of a page are shared out among all that have it."""
    if kind == "Rss":
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


async def watched(server: ServerProcess, seconds: float) -> tuple[Polite, int]:
    """The polite caller, and the peak of the server's memory meanwhile."""
    calling = asyncio.create_task(polite(server.address, seconds))
    peak = 0
    while not calling.done():
        # Not on the polite caller's event loop: it takes longer the more processes there are.
        peak = max(peak, await asyncio.to_thread(memory, server))
        await asyncio.wait((calling,), timeout=0.05)
    return calling.result(), peak


def beside(server: ServerProcess, kind: str, seconds: float, alone: Polite, base: int) -> Row:
    """The polite caller beside a hostile one."""
    command = [sys.executable, "-m", "benchmarks.hostile", "--as", kind, "--address", server.address]
    hostile = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert hostile.stdout is not None
    hostile.stdout.readline()
    time.sleep(1.0)
    began, used = time.perf_counter(), cpu_seconds(hostile.pid)
    met, peak = asyncio.run(watched(server, seconds))
    share = (cpu_seconds(hostile.pid) - used) / (time.perf_counter() - began)
    hostile.terminate()
    *_, last = ["{}", *hostile.stdout.read().splitlines()]
    hostile.wait()
    time.sleep(1.0)
    return Row(kind, met, met.p99_ms / alone.p99_ms, peak / base, json.loads(last), share)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    everything = [BUSY, *KINDS]
    parser.add_argument("--kinds", nargs="*", default=everything, choices=everything, metavar="KIND")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--as", dest="kind", choices=everything, help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.kind:
        asyncio.run(attack(args.address, args.kind))
        return
    with server_process(tcp=True) as server:
        set_slice(SHORT)
        asyncio.run(polite(server.address, 3.0))
        alone, base = asyncio.run(watched(server, args.seconds))
        print(f"alone: p50 {alone.p50_ms:.1f} ms, p99 {alone.p99_ms:.1f} ms, {base / 1e6:.0f} MB", flush=True)
        rows = []
        for kind in args.kinds:
            row = beside(server, kind, args.seconds, alone, base)
            rows.append(row)
            print(
                f"{kind:30} p99 × {row.p99_ratio:5.2f} ({row.polite.p99_ms:5.0f} ms, p50 {row.polite.p50_ms:4.0f},"
                f" trivial {row.polite.trivial_p99_ms:4.0f})  failed {row.polite.failed}"
                f" of {row.polite.calls}  memory × {row.memory_ratio:4.2f}  hostile: {row.hostile}"
                f"  {row.hostile_cpu:.0%}",
                flush=True,
            )
        after, _ = asyncio.run(watched(server, args.seconds))
        print(f"alone again: p99 {after.p99_ms:.1f} ms")
    if args.json:
        args.json.write_text(json.dumps({"alone": asdict(alone), "rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
