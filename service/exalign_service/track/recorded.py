"""What is recorded of a session: each frame, late evidence and the end, with what was answered.

An answer is recorded without what another run cannot repeat: times, the frames that were skipped, and the resume token,
of which the hash of the state stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exalign.v1 import service_pb2, track_pb2
from exalign_engine.arrays import F32
from exalign_engine.face.aligner import LocatedFace
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.residual import ImageFeatures
from exalign_engine.tracking import Frame, codec
from exalign_service.recording.recorder import BUNDLE, Recorder, Recording
from exalign_service.track.record import SessionRecord
from exalign_service.track.resume_token import ResumeToken

#: Fields of a result that follow from the time.
_OF_TIME = ("latency", "timing", "skipped_frames")


@dataclass(frozen=True)
class SeenRow:
    """`FaceOutputs`, as a recording has it."""

    scores: F32
    features: F32
    embedding: F32
    image: ImageFeatures | None
    sums: F32 | None


@dataclass(frozen=True)
class SeenFrame:
    """What a session saw of a frame: all that depends on its picture.

    Attributes:
        size: (height, width) of the picture; None where there is none that can be used.
        problems: why not: serialized `FrameProblem`.
        detections: faces that a detector found, best first; empty where none was asked.
        rows: the network's, one for each face that was looked for.
        thumbnail: of the picture, 64 grey levels (`exalign_engine.tracking.cuts`); empty where there is none.
    """

    size: tuple[int, int] | None
    problems: tuple[bytes, ...]
    detections: tuple[LocatedFace, ...]
    rows: tuple[SeenRow, ...]
    thumbnail: bytes = b""

    @classmethod
    def of(
        cls,
        frame: Frame,
        problems: Sequence[track_pb2.FrameProblem],
        detections: Sequence[LocatedFace],
        rows: Sequence[FaceOutputs],
    ) -> SeenFrame:
        """From what the engine works with."""
        return cls(
            frame.size,
            tuple(problem.SerializeToString() for problem in problems),
            tuple(detections),
            tuple(SeenRow(row.scores, row.features, row.embedding, row.image, row.sums) for row in rows),
            frame.thumbnail,
        )

    @property
    def outputs(self) -> list[FaceOutputs]:
        """Back to what the engine works with."""
        return [FaceOutputs(row.scores, row.features, row.embedding, row.image, row.sums) for row in self.rows]


@dataclass(frozen=True)
class Step:
    """A block of a recording.

    Attributes:
        request: a serialized `TrackVideoRequest`: a frame or late evidence; empty: the client has half-closed.
        seen: of a frame; None where its picture is in the request.
        answers: serialized `TrackVideoResponse`, each as `repeatable` makes it.
    """

    request: bytes
    seen: SeenFrame | None
    answers: tuple[bytes, ...]

    def encoded(self) -> bytes:
        """As a block."""
        return codec.encode(Step, self)

    @classmethod
    def of_block(cls, data: bytes) -> Step:
        """Back from `encoded`.

        Raises:
            StateError: the data end too early or too late.
            ValueError: they are what `encoded` does not write.
        """
        return codec.decode(cls, data, 0)


def repeatable(answer: bytes) -> bytes:
    """A serialized `TrackVideoResponse` with all that another run must repeat, and nothing else."""
    message = service_pb2.TrackVideoResponse.FromString(answer)
    match message.WhichOneof("message"):
        case "result":
            for name in _OF_TIME:
                message.result.ClearField(name)  # type: ignore[arg-type]  # the stubs want a literal
            message.result.resume_token = ResumeToken.decode(message.result.resume_token).state_hash
        case "closed":
            message.closed.summary.ClearField("frames_received")
            message.closed.summary.ClearField("frames_skipped")
    written: bytes = message.SerializeToString(deterministic=True)
    return written


class TrackRecording:
    """The recording of a session, for one of its streams. What is slow is done in the writer's thread.

    Args:
        recording: its file.
        pictures: whether frames are recorded as they were sent; otherwise what was seen of them.
    """

    def __init__(self, recording: Recording, pictures: bool) -> None:
        self._recording, self.pictures = recording, pictures

    @classmethod
    def of(cls, recorder: Recorder | None, record: SessionRecord) -> TrackRecording | None:
        """None where the session is not recorded."""
        recording = None if recorder is None else recorder.stream(record.recording)
        return None if recorder is None or recording is None else cls(recording, recorder.pictures)

    def frame(self, message: track_pb2.VideoFrame, seen: SeenFrame | None, answers: Sequence[bytes]) -> None:
        """A frame was answered.

        Args:
            message: as it was sent; nobody may change it any more.
            seen: of it; read where pictures are not recorded.
            answers: serialized, the result first.
        """

        def make() -> bytes:
            request = service_pb2.TrackVideoRequest(frame=message if self.pictures else _without_picture(message))
            request.frame.ClearField("acked_frame")
            return _step(request, None if self.pictures else seen, answers)

        size = sum(map(len, answers)) + (message.ByteSize() if self.pictures else 0)
        if seen is not None and not self.pictures:
            size += sum(row.scores.nbytes + row.features.nbytes for row in seen.rows)
        self._recording.append(make, size)

    def evidence(self, message: track_pb2.PastEvidence, answers: Sequence[bytes]) -> None:
        """Late evidence was answered, by these revisions."""
        request = service_pb2.TrackVideoRequest(past_evidence=message)
        self._recording.append(lambda: _step(request, None, answers), sum(map(len, answers)))

    def moved(self) -> None:
        """The session goes on with another bundle: what was recorded ends before that."""
        self._recording.stop(BUNDLE)

    def closed(self, answers: Sequence[bytes]) -> None:
        """The session has ended: its last revisions, and `TrackClosed`."""
        request = service_pb2.TrackVideoRequest()
        self._recording.append(lambda: _step(request, None, answers), sum(map(len, answers)), last=True)


def _without_picture(frame: track_pb2.VideoFrame) -> track_pb2.VideoFrame:
    """All else of a frame."""
    return track_pb2.VideoFrame(
        frame_index=frame.frame_index,
        media_time=frame.media_time if frame.HasField("media_time") else None,
        boxes=frame.boxes,
        evidence=frame.evidence,
        occluded=frame.occluded,
    )


def _step(request: service_pb2.TrackVideoRequest, seen: SeenFrame | None, answers: Sequence[bytes]) -> bytes:
    return Step(request.SerializeToString(), seen, tuple(map(repeatable, answers))).encoded()
