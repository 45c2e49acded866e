"""Bundle after bundle while streams and calls go on: no frame is lost, none has two bundles, memory comes back.

    python tests/service/swap_campaign.py [--streams 100] [--swaps 50] [--json FILE]

The server is a process of its own with small bundles that are made here (`drawn_bundles`); each answer tells which of
them gave it. Half of the streams keep their bundle for as long as they last, a few frames, and are followed by
others; half go on to the end, and may move at any frame. Beside them callers ask about single pictures, and ask again
by posterior id. Each of these checks every answer; a swap for which there is no room yet is asked for again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc

from drawn_bundles import number_of, write_bundle
from exalign.v1 import admin_pb2, admin_pb2_grpc, service_pb2, service_pb2_grpc
from exalign_engine.bundle.bundle import MANIFEST, sha256
from service_fakes import GOOD_BOX, channel_to, encoded, picture, request
from track_fakes import config as track_config
from track_fakes import frame

#: Values of four bytes that each network holds beside what it needs: 50 bundles that stayed would not go unseen.
BALLAST = 3_000_000

#: Bundles there are; swap n is to number n modulo so many.
NUMBERS = 7

#: The only face of each frame, and the pictures of frames: small, so that the server has time for many.
PICTURES = [encoded(picture(48, 48, seed=i), ".jpg") for i in range(4)]

#: Streams over one connection.
STREAMS_OF_A_CHANNEL = 10


@dataclass
class Findings:
    """What was counted. ``wrong`` is empty where all is as it should be."""

    streams: int
    swaps: int
    frames_sent: int = 0
    frames_answered: int = 0
    sessions: int = 0
    moves: int = 0
    calls: int = 0
    asked_again: int = 0
    waited: int = 0
    seconds: float = 0.0
    slowest_swap_seconds: float = 0.0
    base_bytes: int = 0
    after_bytes: int = 0
    wrong: list[str] = field(default_factory=list)

    def check(self, what: str, found: object, wanted: object) -> None:
        """Note what is not as it should be; the first of them are enough."""
        if found != wanted and len(self.wrong) < 20:
            self.wrong.append(f"{what}: {found!r}, must be {wanted!r}")


@contextmanager
def server_process(directory: Path, streams: int) -> Iterator[tuple[int, str, str]]:
    """A server that has the bundles of a directory: its process, its address and that of its metrics."""
    command = [sys.executable, "-m", "exalign_service.cli", "serve", "--bundle-directory", str(directory)]
    command += ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--exit-with-stdin"]
    command += ["--runtime", "onnxruntime", "--max-sessions", str(4 * streams), "--caller-share", "1"]
    command += ["--max-wait", "30", "--log-level", "error"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        yield process.pid, said["address"], said["metrics_address"]
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def resident(pid: int) -> int:
    """Memory of a process that is not of files, bytes: pages of libraries come back with work."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


class Campaign:
    """All that goes on beside the swaps, and the swaps.

    Args:
        findings: where everything is counted.
        numbers: of each bundle, by its id.
    """

    def __init__(self, findings: Findings, numbers: dict[str, int]) -> None:
        self.found, self.numbers = findings, numbers
        self.ending = False

    async def keep(self, stub: Any, seed: int) -> None:
        """Sessions, one after the other, each of which keeps its bundle."""
        rng = random.Random(seed)
        while not self.ending:
            await self._session(stub, rng.randint(3, 10), moves=False)

    async def move(self, stub: Any) -> None:
        """One session that may move with every frame."""
        await self._session(stub, None, moves=True)

    async def _session(self, stub: Any, length: int | None, *, moves: bool) -> None:
        """A session of so many frames; None: until the end."""
        found, call = self.found, stub.TrackVideo()
        await call.write(service_pb2.TrackVideoRequest(config=track_config()))
        opened = (await call.read()).opened
        number, index = self.numbers[opened.bundle_id], 0
        while index != length and not (length is None and self.ending):
            message = frame(index, GOOD_BOX, data=PICTURES[index % len(PICTURES)], may_change_model=moves)
            if index:
                message.acked_frame = index - 1
            await call.write(service_pb2.TrackVideoRequest(frame=message))
            found.frames_sent += 1
            answer = await call.read()
            if answer.WhichOneof("message") == "model_changed":
                found.check("a session that keeps its bundle is told of another", moves, True)
                found.check("first frame of a bundle", answer.model_changed.frame_index, index)
                number = self.numbers[answer.model_changed.bundle_id]
                found.moves += 1
                answer = await call.read()
            found.check("answer to a frame", answer.WhichOneof("message"), "result")
            found.check("frame answered", answer.result.frame_index, index)
            found.frames_answered += 1
            faces = [track.face for track in answer.result.tracks]
            found.check("bundles of a frame", {number_of(face) for face in faces}, {number})
            found.check("tracks of a frame", [track.track_id for track in answer.result.tracks], [1])
            index += 1
        await call.done_writing()
        found.check("end of a stream", (await call.read()).WhichOneof("message"), "closed")
        found.check("code of a stream", await call.code(), grpc.StatusCode.OK)
        found.sessions += 1

    async def call(self, stub: Any) -> None:
        """Single pictures, and questions about their answers."""
        found = self.found
        while not self.ending:
            answer = await stub.PredictLandmarks(request(GOOD_BOX, data=PICTURES[0]))
            found.calls += 1
            (face,) = answer.faces
            found.check("bundle of a call", number_of(face), self.numbers[answer.bundle_id])
            await asyncio.sleep(0.05)
            try:
                again = await stub.EstimatePose(
                    service_pb2.EstimatePoseRequest(posterior_id=face.posterior_id, landmarks={})
                )
            except grpc.aio.AioRpcError as e:
                found.check("code of a question by id", e.code(), grpc.StatusCode.NOT_FOUND)
            else:
                found.asked_again += 1
                found.check("bundle of a question by id", again.bundle_id, answer.bundle_id)
                found.check("answer to it", number_of(again.faces[0]), self.numbers[answer.bundle_id])

    async def swap(self, channel: grpc.aio.Channel, ids: dict[int, str], number: int) -> None:
        """One swap: it waits where there is no room yet, and the next call is answered by the new bundle."""
        admin: Any = admin_pb2_grpc.ModelAdminServiceStub(channel)
        stub: Any = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        asked = admin_pb2.SwapModelRequest(bundle=f"bundle-{number}")
        while True:
            start = time.monotonic()
            try:
                done = await admin.SwapModel(asked)
                break
            except grpc.aio.AioRpcError as e:
                if e.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                self.found.waited += 1
                await asyncio.sleep(0.2)
        took = time.monotonic() - start
        self.found.slowest_swap_seconds = max(self.found.slowest_swap_seconds, took)
        self.found.check("bundle of a swap", done.bundle_id, ids[number])
        answer = await stub.PredictLandmarks(request(GOOD_BOX, data=PICTURES[0]))
        self.found.check("bundle after a swap", answer.bundle_id, ids[number])


@asynccontextmanager
async def load(campaign: Campaign, address: str, streams: int) -> AsyncIterator[grpc.aio.Channel]:
    """Streams and callers, for as long as the block runs; an error of one of them is one of the campaign's."""
    channels = [channel_to(address) for _ in range(max(1, streams // STREAMS_OF_A_CHANNEL) + 1)]
    stubs: list[Any] = [service_pb2_grpc.FaceAlignmentServiceStub(channel) for channel in channels]
    tasks = [
        asyncio.create_task(campaign.move(stubs[i % len(stubs)]) if i % 2 else campaign.keep(stubs[i % len(stubs)], i))
        for i in range(streams)
    ]
    tasks += [asyncio.create_task(campaign.call(stubs[i % len(stubs)])) for i in range(max(1, streams // 25))]
    try:
        yield channels[0]
        campaign.ending = True
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            campaign.found.check("end of a task", outcome, None)
    finally:
        for task in tasks:
            task.cancel()
        for channel in channels:
            await channel.close()


async def settled(address: str) -> None:
    """Wait until a single bundle lives."""
    async with channel_to(address) as channel:
        stub: Any = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        while len((await stub.GetModel(service_pb2.GetModelRequest())).live_bundles) > 1:
            await asyncio.sleep(0.05)


async def come_back(pid: int, most: int, seconds: float = 20.0) -> int:
    """Memory of a process once it is at most so much: what has gone is freed in threads. Or after so many seconds."""
    until = time.monotonic() + seconds
    while (found := resident(pid)) > most and time.monotonic() < until:
        await asyncio.sleep(0.1)
    return found


async def run(streams: int, swaps: int, seconds: float = 2.0, within: float = 1.1) -> Findings:
    """A campaign.

    Args:
        streams: at a time.
        swaps: one after the other.
        seconds: of load before the first swap, in which the memory finds its base.
        within: memory afterwards ÷ its base, at most. Of a small base what the allocator keeps of two bundles that live
            for a moment is more: 11 to 20 MB, after 6 swaps and after 40.
    """
    found, start = Findings(streams, swaps), time.monotonic()
    directory = Path(tempfile.mkdtemp())
    try:
        ids = {}
        for number in range(NUMBERS):
            path = write_bundle(directory / f"bundle-{number}", number, BALLAST)
            ids[number] = sha256(path / MANIFEST)
        (directory / "current").symlink_to("bundle-0")
        with server_process(directory, streams) as (pid, address, _):
            campaign = Campaign(found, {bundle_id: number for number, bundle_id in ids.items()})
            async with load(campaign, address, streams) as channel:
                await warm(channel, ids)
                await asyncio.sleep(seconds)
                found.base_bytes = resident(pid)
                for n in range(1, swaps + 1):
                    await campaign.swap(channel, ids, (n + 1) % NUMBERS)
            await settled(address)
            found.after_bytes = await come_back(pid, int(within * found.base_bytes))
        found.check("frames without an answer", found.frames_sent - found.frames_answered, 0)
        found.check(f"memory within {within} of its base", found.after_bytes <= within * found.base_bytes, True)
    finally:
        shutil.rmtree(directory)
    found.seconds = time.monotonic() - start
    return found


async def warm(channel: grpc.aio.Channel, ids: dict[int, str]) -> None:
    """Wait until the first swap is possible; it is done, and is not one of those counted."""
    admin: Any = admin_pb2_grpc.ModelAdminServiceStub(channel)
    while True:
        try:
            done = await admin.SwapModel(admin_pb2.SwapModelRequest(bundle="bundle-1"))
        except grpc.aio.AioRpcError as e:
            if e.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
                raise
            await asyncio.sleep(0.2)
        else:
            assert done.bundle_id == ids[1]
            return


def main() -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Swap bundles under load.")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = asyncio.run(run(arguments.streams, arguments.swaps))
    text = json.dumps(asdict(found), indent=1)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
