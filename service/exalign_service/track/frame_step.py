"""The steps of one session: a frame from its picture to tracks, late evidence, the end. What blocks runs in threads.

The engine's session changes in one step, `TrackingSession.finish`: a failure before it leaves the session unchanged.
After a cancellation the session must not be used again: a thread may still work on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from exalign.v1 import track_pb2
from exalign_engine import LocatedFace
from exalign_engine.arrays import U8
from exalign_engine.errors import InvalidInputError, Violation, Violations
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.geometry.levels import LevelsWanted, Pixels
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.tracking import (
    TRACK_BOX,
    Frame,
    FrameAnswer,
    FrameTooOldError,
    RevisionAnswer,
    TrackAnswer,
    TrackingSession,
)
from exalign_engine.tracking.evidence_assignment import nearest_face
from exalign_engine.tracking.session import Pending
from exalign_service.methods.picture_opener import Wanted
from exalign_service.methods.pipeline import Pipeline
from exalign_service.methods.stage_clock import StageClock
from exalign_service.models.live_model import LiveModel
from exalign_service.requests.picture import add_misplaced
from exalign_service.rpc.call_context import current_call
from exalign_service.rpc.errors import PreconditionError
from exalign_service.track.record import Corners, SessionRecord
from exalign_service.track.recorded import SeenFrame
from exalign_service.track.requests import (
    RequestedFrame,
    RequestedPastEvidence,
    RequestedTrackEvidence,
    TrackOptions,
)
from exalign_service.track.responses import path_message, revision_message, suggestion_message, track_message
from exalign_service.track.resume_token import state_hash

T = TypeVar("T")

#: Faces whose messages are written in the visit that steps the session; each further one has a visit of its own, so
#: that others get their turn.
WRITTEN_AT_ONCE = 2

#: What evidence of a frame is about, for σ of its clicks: (track id, or 0 for the nearest) and the evidence.
Resolved = tuple[tuple[int, Evidence], ...]


@dataclass(frozen=True)
class StepResult:
    """A session after a step.

    Attributes:
        state: the engine's, encoded.
        state_hash: of ``state``.
        revisions: of earlier frames.
    """

    state: bytes
    state_hash: bytes
    revisions: list[track_pb2.FrameRevision]


@dataclass(frozen=True)
class FrameStepResult(StepResult):
    """A session after a frame.

    Attributes:
        answer: the engine's.
        tracks: of the frame.
        problems: the parts of the frame that could not be used.
        size: (height, width) of the session's pictures; None while none was seen.
        boxes: (track id, face box) now.
        seen: for a recording without pictures; None where there is none.
    """

    answer: FrameAnswer
    tracks: list[track_pb2.Track]
    problems: tuple[track_pb2.FrameProblem, ...]
    size: tuple[int, int] | None
    boxes: tuple[tuple[int, Corners], ...]
    seen: SeenFrame | None


@dataclass(frozen=True)
class _Finished:
    """A frame after the session's step: what the network saw, the answer, the state, messages about the first faces."""

    outputs: list[FaceOutputs]
    answer: FrameAnswer
    state: bytes
    digest: bytes
    tracks: list[track_pb2.Track]


@dataclass(frozen=True)
class LookedFrame:
    """A frame before the network has seen it, or after all that there is to do in threads.

    Attributes:
        pending: of the session.
        crops: of its faces.
        problems: the parts of the frame that could not be used.
        unusable: those of them that are of its picture.
        detections: faces that a detector found.
        finished: where the network had nothing else to do.
    """

    pending: Pending
    crops: list[U8]
    problems: tuple[track_pb2.FrameProblem, ...]
    unusable: tuple[track_pb2.FrameProblem, ...]
    detections: Sequence[LocatedFace]
    finished: _Finished | None = None


class SessionSteps:
    """The steps of one session, one at a time.

    What is seen of a frame's picture comes from `looked`, `thumbnail`, `detections`, `crops` and `outputs` alone.

    Args:
        pipeline: where stages run.
        session: the engine's; nobody else may touch it.
        options: how the session works.

    Attributes:
        noting: whether results say what was seen.
    """

    def __init__(self, pipeline: Pipeline, session: TrackingSession, options: TrackOptions) -> None:
        self._pipeline, self._session, self._options = pipeline, session, options
        self.noting = False

    async def frame(self, requested: RequestedFrame, record: SessionRecord, clock: StageClock) -> FrameStepResult:
        """Answer a frame.

        Raises:
            InvalidInputError: something in it contradicts itself, its picture or the session.
        """
        looked = await self.looked(requested, record, clock)
        taken, done = looked.pending.frame, looked.finished
        if done is None:
            outputs = await self.outputs(looked, clock)
            done = await self._pipeline.run_visit(clock, self._finish, looked, outputs, clock)
        answer, written = done.answer, done.tracks
        faces = _faces(answer)
        written += [await self._pipeline.run_visit(clock, self._track, a, clock) for a in faces[len(written) :]]
        tracks = iter(written)
        return FrameStepResult(
            tracks=[next(tracks) for _ in answer.tracks],
            revisions=[revision_message(r, [next(tracks) for _ in r.tracks]) for r in answer.revisions],
            state=done.state,
            state_hash=done.digest,
            boxes=tuple((t.track_id, _corners(t.given.box)) for t in answer.tracks),
            answer=answer,
            problems=looked.problems,
            size=record.size or taken.size,
            seen=SeenFrame.of(taken, looked.unusable, looked.detections, done.outputs) if self.noting else None,
        )

    async def moved_to(self, model: LiveModel, clock: StageClock) -> tuple[SessionSteps, list[track_pb2.FrameRevision]]:
        """The session as another model goes on with it, and the last revisions by this one."""
        revisions, _ = await self.close(clock)

        def move() -> TrackingSession:
            return self._session.moved_to(model.aligner, model.sessions.chain)

        moved = await model.pipeline.run_stage(clock, "hmm", move)
        return SessionSteps(model.pipeline, moved, self._options), revisions

    async def revise(self, requested: RequestedPastEvidence, record: SessionRecord, clock: StageClock) -> StepResult:
        """Take evidence about an earlier frame.

        Raises:
            InvalidInputError: it contradicts itself or the session.
            PreconditionError: the frame is older than the lag.
        """
        if requested.index > record.frame:
            text = f"is {requested.index}, must be a frame that was sent; the newest is {record.frame}"
            raise InvalidInputError.of("past_evidence.frame_index", text)
        if not record.boxes:
            raise InvalidInputError.of("past_evidence.evidence", "is about a face, and none is tracked")
        evidence = resolve(requested.evidence, {track_id: np.array(box) for track_id, box in record.boxes})
        session = self._session

        def step() -> tuple[tuple[RevisionAnswer, ...], bytes, bytes]:
            revisions = session.revise(requested.index, evidence, clock.check)
            state = session.encode()
            return revisions, state, state_hash(state)

        try:
            revisions, state, digest = await self._pipeline.run_stage(clock, "hmm", step)
        except InvalidInputError as e:
            raise e.below("past_evidence") from None
        except FrameTooOldError as e:
            raise PreconditionError("FRAME_TOO_OLD", f"past_evidence.{e}") from None
        return StepResult(state, digest, await self._revisions(revisions, clock))

    async def close(self, clock: StageClock) -> tuple[list[track_pb2.FrameRevision], track_pb2.TrackClosed]:
        """The last revisions; paths and suggestions, in a message without its summary."""
        suggestion = self._options.suggestion
        closing = await self._pipeline.run_stage(clock, "hmm", self._session.close, suggestion, clock.check)
        closed = track_pb2.TrackClosed(
            paths=[path_message(p) for p in closing.paths],
            suggestions=[suggestion_message(s) for s in closing.suggestions],
        )
        return await self._revisions(closing.revisions, clock), closed

    async def looked(self, requested: RequestedFrame, record: SessionRecord, clock: StageClock) -> LookedFrame:
        """Decode a frame, and do with it all that there is to do before the network: in one visit to a thread.

        Where the network has nothing else to do, all the rest of a small picture's frame is done in this visit as well.
        """
        picture, call = requested.picture, current_call.get()
        if picture is None:
            return self.look(requested, record, clock, None, ())

        def look(image: Pixels, *, small: bool = False) -> LookedFrame | InvalidInputError:
            try:
                looked = self.look(requested, record, clock, image, ())
                rows = self._pipeline.infer_here(looked.crops, clock, call) if small else None
                if rows is None:
                    return looked
                return replace(looked, finished=self._finish(looked, [row.outputs for row in rows], clock))
            except InvalidInputError as e:
                return e  # not a fault of the picture's

        try:
            then = look, partial(look, small=True)
            async with self._pipeline.opener.opened(picture, clock, self._wanted(record), *then) as looked:
                pass  # the crops are cut
        except InvalidInputError as e:
            return self.look(requested, record, clock, None, tuple(_problem(v) for v in e.violations))
        if isinstance(looked, InvalidInputError):
            raise looked
        return looked

    def look(
        self,
        requested: RequestedFrame,
        record: SessionRecord,
        clock: StageClock,
        image: Pixels | None,
        problems: tuple[track_pb2.FrameProblem, ...],
    ) -> LookedFrame:
        """Where the faces of a frame are looked for, and their crops. Blocks where there is a picture.

        Raises:
            InvalidInputError: something in the frame contradicts itself, its picture or the session.
        """
        session = self._session
        if image is not None and record.size is not None and image.shape[:2] != record.size:
            (h, w), (height, width) = image.shape[:2], record.size
            text = f"is {w} × {h} pixels, all frames of the session must have {width} × {height}"
            image, problems = None, (_problem(Violation("image", text)),)
        size, unusable = None if image is None else (image.shape[0], image.shape[1]), problems
        within = size or record.size  # a box also says where a hidden face is
        boxes = () if within is None else self._boxes(requested, within)
        known = {track_id: np.array(box) for track_id, box in record.boxes}
        known |= {track_id: place.box for track_id, place in boxes if track_id}
        evidence = () if not known else resolve(requested.evidence, known)
        small = b"" if image is None else clock.run("decode", self.thumbnail, image)
        frame = Frame(requested.index, size, boxes, evidence, size is None, small)
        pending = _in_frame(session.begin, frame)
        searched = pending.detect and image is not None
        detections = clock.run("detect", self.detections, image) if searched else ()
        places = _in_frame(session.places, pending, detections)
        if requested.evidence and not known:
            # σ of a click depends on the face, and only now there is one, if any.
            if places:
                # No key is 0, which is how a request says that it names no track.
                evidence = resolve(requested.evidence, {-1 - i: place.box for i, place in enumerate(places)})
                pending = _in_frame(session.begin, replace(frame, evidence=evidence))
                places = _in_frame(session.places, pending, detections)
            else:
                problems += (_problem(Violation("evidence", "is not used: no face is known in this frame")),)
        crops = [] if image is None else clock.run("decode", self.crops, image, places)
        return LookedFrame(pending, crops, problems, unusable, detections)

    def thumbnail(self, image: Pixels) -> bytes:
        """What tells a cut. Blocks."""
        return self._session.thumbnail(image)

    def detections(self, image: Pixels) -> Sequence[LocatedFace]:
        """All faces that the detector finds, best first. Blocks."""
        how = self._options.detection
        found = self._pipeline.aligner.locate(image, how.detector, min_score=how.min_score)
        self._pipeline.detected(how.detector, len(found))
        return found

    def crops(self, image: Pixels, places: Sequence[LocatedFace]) -> list[U8]:
        """(S, S, 3) uint8 RGB, one a place. Blocks."""
        return [self._pipeline.aligner.crop(image, place) for place in places]

    async def outputs(self, looked: LookedFrame, clock: StageClock) -> list[FaceOutputs]:
        """The network's, one a crop."""
        return [row.outputs for row in await self._pipeline.infer(looked.crops, clock, patient=True)]

    def _finish(self, looked: LookedFrame, outputs: list[FaceOutputs], clock: StageClock) -> _Finished:
        """The session's step; its state with its hash; the messages about the first faces. Blocks."""

        def step() -> tuple[FrameAnswer, bytes, bytes]:
            answer = self._session.finish(looked.pending, outputs, clock.check)
            state = self._session.encode()
            return answer, state, state_hash(state)

        answer, state, digest = clock.run("hmm", step)
        written = [self._track(a, clock) for a in _faces(answer)[:WRITTEN_AT_ONCE]]
        return _Finished(outputs, answer, state, digest, written)

    def _wanted(self, record: SessionRecord) -> Wanted:
        """How to open a frame: as its faces were last seen, or so that they can be found."""
        aligner, detector = self._pipeline.aligner, self._options.detection.detector
        known = [_located(np.array(box)) for _, box in record.boxes]
        # What is decoded first is no matter for the answers: every level is made where it is looked at.
        if known:
            return lambda shape: aligner.wanted_to_crop(known)
        return lambda shape: LevelsWanted(aligner.wanted_to_detect(shape, detector).first)

    def _boxes(self, requested: RequestedFrame, size: tuple[int, int]) -> tuple[tuple[int, LocatedFace], ...]:
        """The caller's boxes, checked against the picture.

        Raises:
            InvalidInputError: every box that is wrong.
        """
        violations = Violations("frame")
        add_misplaced(violations, {path: box for path, (_, box) in requested.boxes.items()}, size)
        violations.raise_if_any()
        place = self._pipeline.aligner.place
        return tuple((track_id, place(box.corners, box.source)) for track_id, box in requested.boxes.values())

    def _track(self, answer: TrackAnswer, clock: StageClock) -> track_pb2.Track:
        """The message about a face. Blocks."""
        # A frame's posterior lives in its session: it has no id in the cache of single pictures.
        return track_message(answer, self._pipeline.face_message(answer.given, self._options.views, clock))

    async def _revisions(self, answers: Sequence[RevisionAnswer], clock: StageClock) -> list[track_pb2.FrameRevision]:
        run = self._pipeline.run_visit
        return [revision_message(a, [await run(clock, self._track, t, clock) for t in a.tracks]) for a in answers]


def _faces(answer: FrameAnswer) -> list[TrackAnswer]:
    """Every face that a frame is answered with, its own first."""
    return [*answer.tracks, *(track for revision in answer.revisions for track in revision.tracks)]


def _in_frame(step: Callable[..., T], *args: object) -> T:
    """A step of the engine; the fields of its errors stand below the frame."""
    try:
        return step(*args)
    except InvalidInputError as e:
        raise e.below("frame") from None


def resolve(requested: Sequence[RequestedTrackEvidence], boxes: Mapping[int, NDArray[np.float64]]) -> Resolved:
    """Evidence with every σ filled in, from the face that it is about.

    Args:
        requested: as it was sent.
        boxes: (4,) face boxes known, at least one where there is evidence, by track id; image frame, pixels.
    """
    return tuple((piece.track_id, piece.resolve(_located(_box_of(piece, boxes)))) for piece in requested)


def _box_of(piece: RequestedTrackEvidence, boxes: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The box of the face that evidence is about, by the rule of the engine's session."""
    if piece.track_id in boxes:
        return boxes[piece.track_id]
    evidence = piece.evidence
    face = nearest_face([(c.x, c.y) for c in evidence.clicks], evidence.regions, boxes)
    # Without any place there is no σ to be filled in.
    return next(iter(boxes.values())) if face is None else boxes[face]


def _located(box: NDArray[np.float64]) -> LocatedFace:
    return LocatedFace(box, box, TRACK_BOX, False, None)


def _corners(box: NDArray[np.float64]) -> Corners:
    x0, y0, x1, y1 = (float(v) for v in box)
    return x0, y0, x1, y1


def _problem(violation: Violation) -> track_pb2.FrameProblem:
    return track_pb2.FrameProblem(field=violation.field, description=violation.description)
