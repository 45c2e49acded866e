"""Callers of TrackVideo: single messages over connections of their own, so that they cost little themselves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import grpc
from benchmarks.streams.pictures import Clip
from grpc import aio

from exalign.v1 import image_pb2, service_pb2, track_pb2
from exalign.v1.service_pb2_grpc import FaceAlignmentServiceStub

#: Frames that a LOSSLESS stream is ahead of its answers.
WINDOW = 4

#: Fields of a result that the clock or chance decides.
BY_CHANCE = ("latency", "timing", "resume_token")

_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 * 2**20))


@dataclass
class Answers:
    """What a stream was answered.

    Attributes:
        frames: index of every frame answered.
        sent: when each frame was sent, by index, seconds.
        received: when each result came.
        skipped: frames named as skipped.
        digest: of all results and revisions, without what is by chance.
    """

    frames: list[int] = field(default_factory=list)
    sent: dict[int, float] = field(default_factory=dict)
    received: list[float] = field(default_factory=list)
    skipped: int = 0
    digest: Any = field(default_factory=sha256)

    def add(self, message: Any) -> None:
        """Take a message of the server's in."""
        if message.HasField("result"):
            result = message.result
            self.frames.append(result.frame_index)
            self.received.append(time.perf_counter())
            self.skipped += len(result.skipped_frames)
            for name in BY_CHANCE:
                result.ClearField(name)
        if message.HasField("result") or message.HasField("revision"):
            self.digest.update(message.SerializeToString(deterministic=True))

    def latencies(self, since: float) -> list[float]:
        """Seconds from a frame to its answer, of those sent after a time."""
        sent = (self.sent[index] for index in self.frames)
        return [then - start for start, then in zip(sent, self.received, strict=True) if start >= since]

    def answered(self, begin: float, end: float) -> int:
        """Results that came between two times."""
        return sum(begin <= at < end for at in self.received)


@asynccontextmanager
async def stream(address: str, config: track_pb2.TrackConfig) -> AsyncIterator[Any]:
    """An open stream on a connection of its own."""
    async with aio.insecure_channel(address, _OPTIONS) as channel:
        stub: Any = FaceAlignmentServiceStub(channel)
        call = stub.TrackVideo()
        await call.write(service_pb2.TrackVideoRequest(config=config))
        opened = await call.read()
        if opened is aio.EOF or not opened.HasField("opened"):  # type: ignore[attr-defined]  # absent from its stubs
            raise RuntimeError(f"the stream was not opened: {await call.details()}")
        try:
            yield call
        finally:
            call.cancel()


async def lossless(
    address: str, clip: Clip, lag: int, until: Callable[[int], bool], answers: Answers | None = None
) -> Answers:
    """Send a clip over and over, to and fro, `WINDOW` frames ahead.

    Args:
        address: of the server.
        clip: what is sent.
        lag: of smoothing, frames.
        until: told how many were answered; whether that is enough.
        answers: where they are put; None: a new one.
    """
    found, index = answers or Answers(), 0
    turns = clip.to_and_fro()
    async with stream(address, track_pb2.TrackConfig(smoothing_lag=lag)) as call:
        while not until(len(found.frames)):
            while index - len(found.frames) < WINDOW:
                await _send(call, found, index, next(turns))
                index += 1
            await _read(call, found)
    return found


async def live(address: str, clip: Clip, rate: float, until: float) -> Answers:
    """Send a clip over and over at a steady rate until a time, whatever is answered."""
    found, index = Answers(), 0
    turns = clip.to_and_fro()
    async with stream(address, track_pb2.TrackConfig(mode=track_pb2.TRACK_MODE_LIVE)) as call:

        async def read() -> None:
            while True:
                await _read(call, found)

        reading, start = asyncio.create_task(read()), time.perf_counter()
        while time.perf_counter() < until and not reading.done():
            await _send(call, found, index, next(turns))
            index += 1
            await asyncio.sleep(max(start + index / rate - time.perf_counter(), 0.0))
        if reading.done():
            reading.result()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return found


async def _send(call: Any, answers: Answers, index: int, picture: bytes) -> None:
    frame = track_pb2.VideoFrame(frame_index=index, image=image_pb2.Image(encoded=picture))
    if answers.frames:
        frame.acked_frame = answers.frames[-1]
    answers.sent[index] = time.perf_counter()
    await call.write(service_pb2.TrackVideoRequest(frame=frame))


async def _read(call: Any, answers: Answers) -> None:
    message = await call.read()
    if message is aio.EOF:  # type: ignore[attr-defined]  # absent from its stubs
        code: grpc.StatusCode = await call.code()
        raise RuntimeError(f"the stream ended: {code.name}: {await call.details()}")
    answers.add(message)
