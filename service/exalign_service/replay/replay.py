"""A recorded session run again, through everything that a stream of TrackVideo goes through.

Frames come as fast as they are answered, none is skipped, and each says which results have arrived. The first answer
that differs ends it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from exalign.v1 import image_pb2, service_pb2, track_pb2
from exalign_engine.face.aligner import Aligner
from exalign_engine.runtime.surroundings import processor
from exalign_engine.tracking import StateError
from exalign_service.config.access import AccessConfig
from exalign_service.config.recording import ALL, RecordingConfig
from exalign_service.config.schema import ServerConfig
from exalign_service.observability.metrics import Metrics
from exalign_service.recording.header import versions
from exalign_service.recording.session_file import Header, RecordingError, SessionReader
from exalign_service.replay.differences import first_difference
from exalign_service.replay.replayed_steps import ReplayedSteps
from exalign_service.rpc.call_context import Call, current_call
from exalign_service.rpc.clock import LoopClock
from exalign_service.rpc.lifecycle import Lifecycle
from exalign_service.rpc.services import services_of
from exalign_service.serving.loading import LoadedModel
from exalign_service.serving.model_service import ModelService
from exalign_service.track.recorded import SeenFrame, Step, repeatable
from exalign_service.track.stream import TrackStream

Request = service_pb2.TrackVideoRequest
Response = service_pb2.TrackVideoResponse

#: Answers of a stream that are not recorded: they follow from time, or from the stream.
_OF_STREAMS = ("opened", "must_acknowledge", "heartbeat", "go_away")


class DifferentError(Exception):
    """An answer is not the recorded one; one line says where."""


@dataclass(frozen=True)
class Replayed:
    """A session that was answered as it was recorded.

    Attributes:
        frames: answered.
        answers: compared: results, revisions and the end.
        whole: whether the recording holds the session's end.
    """

    frames: int
    answers: int
    whole: bool


def check_header(header: Header, aligner: Aligner) -> None:
    """Whether the answers of a recording can be expected here.

    Raises:
        RecordingError: it was made with another bundle, or with other versions.
    """
    if header.bundle != aligner.bundle.id:
        text = f"was recorded with bundle {header.bundle[:12]}, must be {aligner.bundle.id[:12]}, which is loaded here"
        raise RecordingError(text)
    ours = versions(aligner, pictures=header.record == ALL)
    wrong = [name for name in sorted({*ours, *header.versions}) if ours.get(name) != header.versions.get(name)]
    if wrong:
        listed = ", ".join(f"{name} {header.versions.get(name)}, here {ours.get(name)}" for name in wrong)
        raise RecordingError(f"was recorded with other versions: {listed}")


async def replay(path: Path, config: ServerConfig, aligner: Aligner) -> Replayed:
    """Run a recorded session again.

    Args:
        path: the recording.
        config: of the server that recorded it; what it says of callers does not count.
        aligner: the model.

    Raises:
        RecordingError: it cannot be replayed here.
        DifferentError: an answer differs.
        OSError: it cannot be read.
    """
    reader = SessionReader(path)
    check_header(reader.header, aligner)
    service = _service(config, aligner)
    try:
        return await _Replay(reader, service).run()
    finally:
        await service.close_decoders()
        await asyncio.to_thread(service.close)


def _service(config: ServerConfig, aligner: Aligner) -> ModelService:
    """What answers a stream, without anything around it, and without limits of time."""
    sessions = replace(
        config.sessions,
        max_unacked_frames=1024,
        max_unacked_bytes=2**40,
        max_unacked_bytes_per_caller=2**40,
        max_message_rate=1_000_000.0,
        session_idle_timeout=86_400.0,
        session_max_age=2_592_000.0,
    )
    model = replace(config.model, bundle_directory=None)
    config = replace(config, model=model, sessions=sessions, access=AccessConfig(), recording=RecordingConfig())
    lifecycle, metrics = Lifecycle(), Metrics(services_of(config), config.batching.max_batch)

    def load(path: Path) -> LoadedModel:
        raise RecordingError("is of one bundle")  # without a directory of bundles nobody asks for another

    service = ModelService(
        config, LoadedModel(aligner), metrics, lifecycle, LoopClock(), lambda error: None, load, lambda: ""
    )
    lifecycle.warm()
    return service


class _Replay:
    """One run."""

    def __init__(self, reader: SessionReader, service: ModelService) -> None:
        self._reader, self._sessions = reader, service.sessions
        self._seen: dict[int, SeenFrame] = {}
        #: Recorded answers that have not come yet.
        self._expected = deque[bytes]()
        self._frames = self._answers = 0
        self._newest = -1
        #: Whether the recording holds the end, and whether all of it has been read.
        self._whole = self._read_all = False
        self._all_came = asyncio.Event()

    async def run(self) -> Replayed:
        """See `replay`."""
        if self._reader.header.record != ALL:
            self._sessions.make_steps = partial(ReplayedSteps, seen=self._seen)
        context = copy_context()
        context.run(current_call.set, Call("replay", math.inf, "TrackVideo", "replay", live=True))
        replayed = TrackStream(self._sessions, self._requests(), self).run()
        stream = asyncio.create_task(replayed, context=context)
        ended = asyncio.create_task(self._all_came.wait())
        try:
            await asyncio.wait((stream, ended), return_when=asyncio.FIRST_COMPLETED)
            if stream.done() or self._whole:
                await self._end_of(stream)
        finally:
            stream.cancel()
            ended.cancel()
            await asyncio.gather(stream, ended, return_exceptions=True)
        if self._expected:
            raise DifferentError(f"{self._where()}: {len(self._expected)} answers are missing")
        return Replayed(self._frames, self._answers, self._whole)

    async def _end_of(self, stream: asyncio.Task[None]) -> None:
        try:
            await stream
        except (DifferentError, RecordingError, OSError):
            raise
        except Exception as e:
            raise DifferentError(f"{self._where()}: there was an answer, now it fails: {e}") from e

    async def write(self, message: Any) -> None:
        """A response of the stream.

        Raises:
            DifferentError: it is not the recorded one.
        """
        data = message if isinstance(message, bytes) else message.SerializeToString()
        response = Response.FromString(data)
        if response.WhichOneof("message") in _OF_STREAMS:
            return
        if not self._expected:
            raise DifferentError(f"{self._where()}: there are more answers than were recorded")
        if response.WhichOneof("message") == "result":
            self._newest = response.result.frame_index
        here, there = repeatable(data), self._expected.popleft()
        if here != there:
            recorded = Response.FromString(there)
            found = first_difference(Response.FromString(here), recorded) or "the same values in other bytes"
            raise DifferentError(f"{self._where()}: {found}")
        self._answers += 1
        self._frames += response.WhichOneof("message") == "result"
        if not self._whole and not self._expected and self._read_all:
            self._all_came.set()

    def _where(self) -> str:
        return "before the first frame" if self._newest < 0 else f"frame {self._newest}"

    async def _requests(self) -> AsyncIterator[Request]:
        """What the client sent."""
        yield Request(config=self._config())
        for step in self._steps():
            if not step.request:
                self._whole = True
                self._expected += step.answers
                break
            request = Request.FromString(step.request)
            if request.WhichOneof("message") == "frame":
                self._prepare(request.frame, step)
            self._expected += step.answers
            yield request
        self._read_all = True
        if not self._whole:
            # Its end was not recorded: the stream goes on, and is left when all that was recorded has come.
            if not self._expected:
                self._all_came.set()
            await asyncio.Event().wait()

    def _config(self) -> track_pb2.TrackConfig:
        config = track_pb2.TrackConfig.FromString(self._reader.header.config)
        config.mode = track_pb2.TRACK_MODE_LOSSLESS  # what was skipped is not in the recording
        return config

    def _steps(self) -> Iterator[Step]:
        for block in self._reader.blocks():
            try:
                yield Step.of_block(block)
            except (StateError, ValueError, UnicodeDecodeError) as e:
                raise RecordingError(f"is damaged: {e}") from e

    def _prepare(self, frame: track_pb2.VideoFrame, step: Step) -> None:
        """Say what has arrived; where there is no picture, put something in its place."""
        if self._newest >= 0:
            frame.acked_frame = self._newest
        if step.seen is not None:
            self._seen[frame.frame_index] = step.seen
            if not frame.occluded:
                frame.image.CopyFrom(image_pb2.Image(encoded=b""))


def other_processor(header: Header) -> bool:
    """Whether a recording was made on another processor, whose last digits may differ."""
    return header.processor != processor()
