"""A client of TrackVideo that says and hears single messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from numpy.typing import NDArray

from exalign.v1 import evidence_pb2, geometry_pb2, image_pb2, service_pb2, track_pb2
from service_fakes import GOOD_BOX, PATIENCE, Corners, Details, Running, details_of, encoded, picture

U8 = NDArray[np.uint8]
Answer = service_pb2.TrackVideoResponse

if TYPE_CHECKING:  # generic in the stubs only
    Call = grpc.aio.StreamStreamCall[service_pb2.TrackVideoRequest, service_pb2.TrackVideoResponse]

LIVE = track_pb2.TRACK_MODE_LIVE

#: Every picture that tests send, by number: so bright, so dark, so small that encoding takes no time.
PICTURES = [encoded(picture(seed=i)) for i in range(8)]


def config(name: str = "", token: bytes = b"", **options: Any) -> track_pb2.TrackConfig:
    return track_pb2.TrackConfig(session_id=name, resume_token=token, **options)


def frame(index: int, *boxes: Corners, data: bytes | None = None, **fields: Any) -> track_pb2.VideoFrame:
    """A frame whose picture follows from its index; the first of a video needs a box, or a face to be detected."""
    message = track_pb2.VideoFrame(
        frame_index=index,
        media_time=Duration(seconds=index),
        boxes=[track_pb2.TrackBox(box=geometry_pb2.Box(x0=a, y0=b, x1=c, y1=d)) for a, b, c, d in boxes],
        **fields,
    )
    if not message.occluded:
        message.image.CopyFrom(image_pb2.Image(encoded=PICTURES[index % len(PICTURES)] if data is None else data))
    return message


def click(landmark: int = 30, x: float = 25.0, y: float = 25.0, **trust: float) -> track_pb2.TrackEvidence:
    """A click on track 0."""
    made = evidence_pb2.Click(landmark=landmark, position=geometry_pb2.Point(x=x, y=y), **trust)
    return track_pb2.TrackEvidence(evidence=evidence_pb2.Evidence(clicks=[made]))


LAG = 2
OPTIONS: dict[str, Any] = {"smoothing_lag": LAG, "path_frames": 4, "pose": {"interval_masses": [0.9]}}

#: Everything that can be said in a session, in one.
SCRIPT: list[Any] = [
    frame(0, GOOD_BOX),
    frame(1),
    frame(2, evidence=[click(30, 26, 25)]),
    track_pb2.PastEvidence(frame_index=1, evidence=[click(30, 25, 24, radius=20)]),
    frame(4),
    frame(5, occluded=True),
    frame(6, data=b"no picture"),
    track_pb2.PastEvidence(frame_index=4, evidence=[click(8, 20, 30)]),
    track_pb2.PastEvidence(frame_index=4, evidence=[click(9, 22, 33)]),
    frame(7),
    frame(8, (12.0, 11.0, 42.0, 41.0)),
    frame(9),
]


class Talk:
    """One stream."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self._saying = asyncio.Lock()

    async def say(self, *messages: Any) -> None:
        kinds: dict[type, str] = {
            track_pb2.TrackConfig: "config",
            track_pb2.VideoFrame: "frame",
            track_pb2.PastEvidence: "past_evidence",
            track_pb2.TrackAck: "ack",
            track_pb2.Heartbeat: "heartbeat",
        }
        for message in messages:
            async with self._saying:
                await self.call.write(service_pb2.TrackVideoRequest(**{kinds[type(message)]: message}))

    async def hear(self, kind: str) -> Any:
        """The next message, which must be of this kind."""
        answer: Any = await asyncio.wait_for(self.call.read(), PATIENCE)
        assert answer is not grpc.aio.EOF, f"{await self.call.code()}: {await self.call.details()}"
        assert answer.WhichOneof("message") == kind, answer
        return getattr(answer, kind)

    async def open(self, asked: track_pb2.TrackConfig | None = None) -> track_pb2.TrackOpened:
        await self.say(asked or config())
        opened: track_pb2.TrackOpened = await self.hear("opened")
        return opened

    async def results(self, *frames: track_pb2.VideoFrame) -> list[track_pb2.FrameResult]:
        """Send frames one by one, and hear the result of each."""
        found = []
        for one in frames:
            await self.say(one)
            found.append(await self.hear("result"))
        return found

    async def rest(self) -> list[Answer]:
        """Everything until the stream has ended well."""
        found = []
        while (answer := await asyncio.wait_for(self.call.read(), PATIENCE)) is not grpc.aio.EOF:
            found.append(answer)
        assert await self.call.code() == grpc.StatusCode.OK, await self.call.details()
        return found

    async def close(self) -> track_pb2.TrackClosed:
        """Half-close, and hear the last word."""
        await self.call.done_writing()
        *_, last = await self.rest()
        assert last.WhichOneof("message") == "closed"
        return last.closed

    async def refused(self) -> tuple[grpc.StatusCode, Details]:
        """The status of a stream that must have failed, and what its details say."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.rest()
        return caught.value.code(), details_of(caught.value)

    async def cut(self) -> None:
        """Break the stream as a client does that has lost its connection."""
        self.call.cancel()


def talk(live: Running, **options: Any) -> Talk:
    call: Any = live.stub.TrackVideo(**options)
    return Talk(call)


@asynccontextmanager
async def talking(live: Running, asked: track_pb2.TrackConfig | None = None) -> AsyncIterator[Talk]:
    """An open session, whose stream is cut at the end where it has not ended."""
    it = talk(live)
    await it.open(asked)
    try:
        yield it
    finally:
        await it.cut()


def plain(results: list[track_pb2.FrameResult]) -> list[bytes]:
    """Results without what may differ between two runs: the clock, and the token's session and epoch."""
    found = []
    for result in results:
        one = track_pb2.FrameResult()
        one.CopyFrom(result)
        for name in ("latency", "timing", "resume_token"):
            one.ClearField(name)  # type: ignore[arg-type]  # the stubs want a literal
        found.append(one.SerializeToString(deterministic=True))
    return found


def sessions(live: Running) -> dict[str, int]:
    """The gauges of sessions, those at zero left out."""
    states = ("active", "detached", "draining")
    counts = {state: int(live.sample("exalign_sessions", state=state)) for state in states}
    return {state: count for state, count in counts.items() if count}


def received(live: Running) -> int:
    """Messages of TrackVideo that the server has read."""
    labels = {"grpc_service": "exalign.v1.FaceAlignmentService", "grpc_method": "TrackVideo"}
    return int(live.sample("grpc_server_msg_received_total", grpc_type="bidi_stream", **labels))
