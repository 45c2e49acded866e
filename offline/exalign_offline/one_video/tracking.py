"""One video through the engine, from its checkpoint on: a line of JSON a frame."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from exalign.video.frames import VideoError, VideoFrame
from exalign.video.reader import open_video_file
from exalign_client.errors import ExalignClientError, Violation
from exalign_engine.errors import ExalignError
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.tracking import Frame, FrameAnswer, RevisionAnswer, StateError, TrackingSession
from exalign_offline.one_video.answers import OpenFrame
from exalign_offline.one_video.outputs import completed
from exalign_offline.one_video.place import Checkpoint, Done, Place, Report
from exalign_offline.one_video.settings import OpenModel, RunSettings
from exalign_offline.videos import VideoFile


def track_video(model: OpenModel, settings: RunSettings, video: VideoFile, out: Path) -> Report:
    """Track a video to its end, unless it is done, and write what is wanted of it.

    May be called again after whatever happened, by anybody: the results are the same, bit for bit.

    Args:
        model: opened with these settings.
        settings: of the run.
        video: the file.
        out: directory of all results.

    Returns:
        What came of it. Its ``error`` says why it cannot be read, or its results cannot be written.
    """
    try:
        place = Place(out, video.name, Path(video.path), model.name)
        with place.locked():
            done = place.done()
            if done is None:
                done = VideoTracking(model, settings, video, place).run()
            return completed(place, done, settings).report
    except VideoError as error:
        return Report(video.name, error=error.reason)
    except (ExalignError, ExalignClientError) as error:
        return Report(video.name, error=str(error))
    except OSError as error:
        where = "" if error.filename in (None, video.path) else f"{error.filename}: "
        return Report(video.name, error=f"{where}{error.strerror or error}")


class VideoTracking:
    """A video on its way, by whoever holds its lock.

    Args:
        model: answers.
        settings: of the run.
        video: the file.
        place: where its work is kept.
    """

    def __init__(self, model: OpenModel, settings: RunSettings, video: VideoFile, place: Place) -> None:
        self._model, self._settings, self._video, self._place = model, settings, video, place
        self._session, kept = self._resumed()
        self._kept, self._report, self._size = kept, kept.report, kept.size
        self._waiting = deque(OpenFrame.of_kept(frame) for frame in kept.waiting)

    def _resumed(self) -> tuple[TrackingSession, Checkpoint]:
        """From where it goes on; from the beginning where the checkpoint's state cannot be read here."""
        aligner, chain, options = self._model.aligner, self._model.chain, self._settings.session
        kept = self._place.checkpoint()
        if kept is not None:
            if kept.ended:
                return TrackingSession(aligner, chain, options), kept
            try:
                return TrackingSession.decode(kept.state, aligner, chain, options), kept
            except StateError:
                pass  # of another version of this software
        return TrackingSession(aligner, chain, options), Checkpoint(self._place.key, Report(self._video.name))

    def run(self) -> Done:
        """To the last frame."""
        if not self._kept.ended:
            with self._place.lines_from(self._kept.written) as lines:
                self._track(lines)
        report = self._report
        return Done(self._place.key, report, self._size)

    def _track(self, lines: BinaryIO) -> None:
        with open_video_file(Path(self._video.path)) as reader:
            for _ in range(self._report.frames):
                reader.read(pixels=False)
            since = 0
            while (frame := reader.read()) is not None:
                self._take(frame)
                self._settle(lines, self._settings.session.smoothing_lag)
                since += 1
                if since == self._settings.checkpoint_frames:
                    self._save(lines, reader.count)
                    since = 0
            self._report = replace(self._report, short=reader.short or "")
        self._revise(self._session.close().revisions)
        self._settle(lines, 0)
        self._save(lines, self._report.frames, ended=True)

    def _take(self, read: VideoFrame) -> None:
        """Answer a frame; one whose picture cannot be used is one in which nothing is seen."""
        pixels, problem = read.pixels, read.problem
        if pixels is not None:
            size = (pixels.shape[1], pixels.shape[0])
            self._size = self._size or size
            if size != self._size:
                (w, h), (width, height) = size, self._size
                problem = f"is {w} × {h} pixels, all frames of a session must have {width} × {height}"
        blind = pixels is None or problem is not None
        shape = None if pixels is None or blind else (pixels.shape[0], pixels.shape[1])
        frame = Frame(read.index, shape, occluded=blind)
        answer = self._answered(frame, read)
        report = self._report
        problems: tuple[Violation, ...] = ()
        if blind:
            text = problem or "has no picture"
            problems = (Violation("image", text),)
            first = report.first_problem or f"frame {read.index} {text}"
            report = replace(report, problems=report.problems + 1, first_problem=first)
        self._report = replace(report, frames=report.frames + 1)
        self._waiting.append(OpenFrame.of(answer, float(read.time), problems))
        self._revise(answer.revisions)

    def _answered(self, frame: Frame, read: VideoFrame) -> FrameAnswer:
        """As `exalign_engine.tracking.frame_loop.answer_frame`, of frames without a picture too."""
        session, aligner, pixels = self._session, self._model.aligner, read.pixels
        pending = session.begin(frame)
        if frame.blind or pixels is None:
            session.places(pending, ())
            return session.finish(pending, ())
        found = aligner.locate(pixels, self._settings.detector) if pending.detect else ()
        places = session.places(pending, found)
        rows: list[FaceOutputs] = []
        if places:
            rows = aligner.runtime.infer(np.stack([aligner.crop(pixels, place) for place in places])).rows()
        return session.finish(pending, rows)

    def _revise(self, revisions: tuple[RevisionAnswer, ...]) -> None:
        for revision in revisions:
            for frame in self._waiting:
                if frame.index == revision.frame_index:
                    frame.revise(revision)

    def _settle(self, lines: BinaryIO, lag: int) -> None:
        """Write the frames that nothing will revise any more: all but the newest ``lag``."""
        while len(self._waiting) > lag:
            lines.write(self._waiting.popleft().line(self._video.name, self._model.aligner.bundle.id))

    def _save(self, lines: BinaryIO, count: int | None, *, ended: bool = False) -> None:
        waiting = tuple(frame.kept() for frame in self._waiting)
        state = b"" if ended else self._session.encode()
        size, at = self._size, lines.seek(0, os.SEEK_CUR)
        self._place.save(Checkpoint(self._place.key, self._report, count, ended, size, at, waiting, state), lines)
