"""A client of TrackVideo with raw stubs, and a video that anybody may have."""

from __future__ import annotations

import queue
import urllib.request
from collections.abc import Iterator
from typing import Any

import cv2
import grpc
import numpy as np
import pytest

from exalign.v1 import image_pb2, service_pb2, service_pb2_grpc, track_pb2

#: Seconds that a message may take.
PATIENCE = 60.0


def clip(photo: bytes, frames: int, side: int = 320) -> list[bytes]:
    """A camera that pans over a photograph, as JPEG files of one size."""
    whole = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    found = []
    for t in range(frames):
        x, y = 60 + 2 * t % 40, t % 20
        found.append(cv2.imencode(".jpg", whole[y : y + side, x : x + side])[1].tobytes())
    return found


def config(name: str = "", token: bytes = b"", **wishes: Any) -> track_pb2.TrackConfig:
    return track_pb2.TrackConfig(session_id=name, resume_token=token, **wishes)


def frame(index: int, picture: bytes | None, **fields: Any) -> track_pb2.VideoFrame:
    """A frame; without a picture it is occluded."""
    if picture is None:
        return track_pb2.VideoFrame(frame_index=index, occluded=True, **fields)
    return track_pb2.VideoFrame(frame_index=index, image=image_pb2.Image(encoded=picture), **fields)


class Talk:
    """One stream."""

    def __init__(self, stub: service_pb2_grpc.FaceAlignmentServiceStub, timeout: float | None = None) -> None:
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.call: Any = stub.TrackVideo(self._requests(), timeout=timeout)

    def _requests(self) -> Iterator[service_pb2.TrackVideoRequest]:
        while (message := self._said.get()) is not None:
            yield message

    def say(self, **message: Any) -> None:
        self._said.put(service_pb2.TrackVideoRequest(**message))

    def done(self) -> None:
        """Half-close."""
        self._said.put(None)

    def hear(self, kind: str) -> Any:
        """The next message, which must be of this kind."""
        answer = next(self.call)
        assert answer.WhichOneof("message") == kind, answer
        return getattr(answer, kind)

    def open(self, asked: track_pb2.TrackConfig | None = None) -> track_pb2.TrackOpened:
        self.say(config=asked or config())
        opened: track_pb2.TrackOpened = self.hear("opened")
        return opened

    def results(self, *frames: track_pb2.VideoFrame) -> list[track_pb2.FrameResult]:
        """Send frames one by one, and hear the result of each."""
        found = []
        for one in frames:
            self.say(frame=one)
            found.append(self.hear("result"))
        return found

    def rest(self) -> list[service_pb2.TrackVideoResponse]:
        """Half-close, and everything until the stream has ended well."""
        self.done()
        return list(self.call)

    def cut(self) -> None:
        """Break the stream."""
        self.call.cancel()
        self.done()

    def status(self) -> grpc.StatusCode:
        """Of a stream that must have failed."""
        with pytest.raises(grpc.RpcError):
            list(self.call)
        self.done()
        code: grpc.StatusCode = self.call.code()
        return code


def plain(result: track_pb2.FrameResult) -> bytes:
    """A result without what may differ between two runs: the clock, and the token's session and epoch."""
    one = track_pb2.FrameResult()
    one.CopyFrom(result)
    one.ClearField("latency")
    one.ClearField("timing")
    one.ClearField("resume_token")
    return one.SerializeToString(deterministic=True)


def gauges(metrics_address: str) -> dict[str, int]:
    """Sessions by state, as /metrics says; those at zero left out."""
    with urllib.request.urlopen(f"http://{metrics_address}/metrics", timeout=60) as page:
        text = page.read().decode()
    found = {}
    for line in text.splitlines():
        if line.startswith("exalign_sessions{"):
            state, value = line.split('"')[1], int(float(line.split()[-1]))
            if value:
                found[state] = value
    return found
