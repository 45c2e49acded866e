"""One video: its frames, and the answers about the face in it given all that was said of any frame.

A click in one frame goes through the whole video again, forward by the filter and backward by its smoothing. Until that
is through, the frame itself is answered at once, by its picture alone.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from exalign.cli_support import describe
from exalign_annotator.project.documents import FrameEvidence
from exalign_annotator.project.tracks import FrameAnswer, KeyFrame, Track
from exalign_annotator.solving.faces import MEAN_POSE, answer_of
from exalign_annotator.solving.frames import Frame, extract
from exalign_annotator.solving.link import ModelLink
from exalign_client.errors import ExalignClientError
from exalign_client.requests.messages import SuggestionOptions
from exalign_client.track.requests import TrackFrame
from exalign_client.track.results import TrackResult, TrackRevision

#: Frames before a click that it reaches: the longest smoothing lag.
REACH = 30

#: Seconds between two looks whether a frame was read.
_LOOK = 0.02

#: Frames that a suggestion covers, from the end: the longest path.
COVERED = 256


class TrackedVideo:
    """A video that is open on the page.

    Args:
        path: its file.
        link: to the model.

    Attributes:
        frames: those that were read so far.
        size: of a frame, pixels; None: none was read yet.
        answers: one a frame; None: not yet.
        state: "reading", "tracking", "ready" or "failed".
        detail: why it failed.
        through: frames that the run in progress has answered.
        revision: of the evidence that the answers rest on; None: of none yet.
    """

    def __init__(self, path: Path, link: ModelLink) -> None:
        self._path, self._link = path, link
        self._folder = tempfile.TemporaryDirectory(prefix="exalign-frames-")
        self._reading: asyncio.Task[None] | None = None
        self._tracking: asyncio.Task[None] | None = None
        #: Counts the runs through the video; all but the newest end early.
        self._run = 0
        self.frames: list[Frame] = []
        self.size: tuple[int, int] | None = None
        self.answers: list[FrameAnswer | None] = []
        self.suggestions: tuple[KeyFrame, ...] = ()
        self.state, self.detail, self.through = "reading", "", 0
        self.revision: int | None = None

    def begin(self) -> None:
        """Read the frames; once."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read())

    async def has(self, frame: int) -> bool:
        """Whether there is such a frame; waits until it is read."""
        while len(self.frames) <= frame and self._reading is not None and not self._reading.done():
            await asyncio.sleep(_LOOK)
        return frame < len(self.frames)

    def adopt(self, track: Track) -> None:
        """Take answers that were kept: they are shown while the frames are read."""
        self.answers, self.suggestions = list(track.frames), track.suggestions
        self.size, self.revision = track.size, track.revision

    def track(self, said: Mapping[int, FrameEvidence], revision: int) -> asyncio.Task[None]:
        """Have the whole video answered given this evidence; a run in progress is given up."""
        self.begin()
        self._run += 1
        self._tracking = asyncio.ensure_future(self._track(dict(said), revision, self._run, self._tracking))
        return self._tracking

    def answered(self) -> Track | None:
        """All answers; None as long as one is missing, or they rest on no evidence that was saved."""
        found = [one for one in self.answers if one is not None]
        if self.size is None or self.revision is None or not found or len(found) != len(self.frames):
            return None
        return Track(self.revision, self.size, tuple(found), self.suggestions)

    def answer_at_once(self, frame: int, answer: FrameAnswer) -> None:
        """Put an answer about one frame in the place of what was said before."""
        self.answers[frame] = answer

    async def close(self) -> None:
        """Give up what is in progress, and remove the frames."""
        self._run += 1
        tasks = [task for task in (self._reading, self._tracking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._folder.cleanup()

    async def _read(self) -> None:
        try:
            source = extract(self._path, Path(self._folder.name))
            while (found := await asyncio.to_thread(next, source, None)) is not None:
                frame, self.size = found
                self.frames.append(frame)
        except (ExalignClientError, OSError) as error:
            self.state, self.detail = "failed", describe(error)
            raise
        if len(self.answers) > len(self.frames):
            del self.answers[len(self.frames) :]  # another file has taken its place
        self.answers += [None] * (len(self.frames) - len(self.answers))
        if self.revision is not None:
            self.state = "ready"

    async def _track(
        self, said: dict[int, FrameEvidence], revision: int, run: int, before: asyncio.Task[None] | None
    ) -> None:
        try:
            if before is not None:
                await before  # it runs out of frames: its session ends in good order, and is not kept by the server
            if self._reading is not None:
                await asyncio.shield(self._reading)
            if run != self._run:
                return
            self.state, self.through = "tracking", 0
            client = await self._link.client()
            lag = min(REACH, max(len(self.frames) - 1, 0))
            stream = client.track(
                self._given(said, run),
                smoothing_lag=lag,
                path_frames=min(len(self.frames), COVERED),
                suggestion=SuggestionOptions(max_suggestions=5),
                pose=MEAN_POSE,
            )
            async with stream as video:
                async for event in video:
                    if run == self._run and isinstance(event, (TrackResult, TrackRevision)):
                        self._note(event)
                found = video.closed.suggestions if video.closed is not None else ()
            if run != self._run:
                return
            self.suggestions = tuple(
                KeyFrame(one.frame_index, one.suggestion.landmark, one.suggestion.error_reduction) for one in found
            )
            self.state, self.revision = "ready", revision
        except (ExalignClientError, OSError) as error:
            self.state, self.detail = "failed", describe(error)

    def _given(self, said: Mapping[int, FrameEvidence], run: int) -> Iterator[TrackFrame]:
        nothing = FrameEvidence()
        for number, frame in enumerate(self.frames):
            if run != self._run:
                return
            yield TrackFrame(
                frame.path if frame.readable else None,
                index=number,
                media_time=frame.time,
                evidence=said.get(number, nothing).evidence,
                occluded=not frame.readable,
            )

    def _note(self, event: TrackResult | TrackRevision) -> None:
        number = event.frame_index
        if isinstance(event, TrackResult):
            self.through = number + 1
        track = event.tracks[0] if event.tracks else None
        if track is None:
            if isinstance(event, TrackResult):
                self.answers[number] = FrameAnswer(self.frames[number].time, "lost", None)
            return
        outcome = "conditioned" if track.evidence_outcome is None else track.evidence_outcome.value
        answer = answer_of(track.face, outcome, track.surprise)
        self.answers[number] = FrameAnswer(self.frames[number].time, track.state.value, answer)


def shares_of(answers: list[FrameAnswer | None]) -> list[float | None]:
    """Uncertainty of each frame, in shares of the box's diagonal; None: there is no answer."""
    return [None if one is None or one.uncertainty is None else round(one.uncertainty, 5) for one in answers]


def without_evidence(said: Mapping[int, FrameEvidence], frame: int, now: FrameEvidence) -> dict[int, FrameEvidence]:
    """The evidence of a video with that of one frame replaced; nothing at all is left out."""
    found = {**said, frame: now}
    if not now.evidence and not now.hidden:
        del found[frame]
    return found
