"""The protocol of 300VW: every frame of the 64 test videos, by category (the paper's Table 2).

Each frame's face is the one of the true box, or of the detection that overlaps it most; a frame in which the detector
misses it is a failure. The rows build on one another:

- ``classification``: the most probable exemplar. ``mixture``: the mean of the mixture, which the paper has not.
- ``regressor``: the mean after the displacement; only where the bundle has a residual. The baseline of the rows below.
- ``low_pass``: the mean of the landmarks over three frames, this one and the two before it. The paper's smoothing.
- ``filter``, ``smoother``: the K-state HMM as the service runs it, in the same boxes; the smoother looks some frames
  ahead. Where the detector misses the face, they look where the track should be, so that they may well answer.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from exalign_engine.arrays import F64, U8
from exalign_engine.data.annotated_videos import AnnotatedClip
from exalign_engine.detect import MISS_IOU
from exalign_engine.evaluation.photos import Boxes
from exalign_engine.face.aligner import Aligner, LocatedFace
from exalign_engine.geometry.frames import iou, tight_box
from exalign_engine.geometry.landmark_formats import format_error
from exalign_engine.hmm.chain import Chain
from exalign_engine.metrics.accuracy import summarise
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.progress import Progress
from exalign_engine.tracking import Frame, SessionOptions, TemporalModel, TrackAnswer, TrackingSession

#: All rows of the table, in its order.
METHODS = ("classification", "mixture", "regressor", "low_pass", "filter", "smoother")

#: Frames of the low-pass, and of the smoother's look-ahead.
LOW_PASS, LAG = 3, 6

#: The paper's Table 2: (method, category) → AUC and failures in %. Its boxes are detections, refined.
PAPER = {
    ("classification", 1): (0.678, 2.398),
    ("classification", 3): (0.635, 3.431),
    ("regressor", 1): (0.774, 2.221),
    ("regressor", 3): (0.709, 3.189),
    ("low_pass", 1): (0.777, 2.462),
    ("low_pass", 3): (0.718, 3.298),
}


@dataclass(frozen=True)
class FrameError:
    """How good one method's answer to one frame is.

    Attributes:
        category: of the clip.
        clip: its name.
        number: of the frame, from 1.
        method: of `METHODS`.
        error: NRMSE; infinite where there is no answer.
    """

    category: int
    clip: str
    number: int
    method: str
    error: float


@dataclass(frozen=True)
class Protocol:
    """How the clips are answered.

    Attributes:
        aligner: the model, and the detector where one is used.
        chain: of its exemplars.
        boxes: "truth" or "detector".
        detector: used for "detector".
        points: format of the errors, see `exalign_engine.geometry.landmark_formats`.
        limit: at most so many frames of each clip, from the first; 0 takes all.
    """

    aligner: Aligner
    chain: Chain
    boxes: Boxes = "truth"
    detector: str | None = None
    points: int = 68
    limit: int = 0

    def run(self, clips: Sequence[AnnotatedClip], progress: Progress | None = None) -> list[FrameError]:
        """Answer every annotated frame of the clips that have a category.

        Args:
            clips: of `exalign_engine.data.annotated_videos.open_clips`.
            progress: told how many frames are done.

        Raises:
            DataError: a video or annotation is wrong.
        """
        found: list[FrameError] = []
        done = 0
        for clip in clips:
            if clip.category is None:
                continue
            truths, answers = self._answers(clip)
            for method, points in answers.items():
                for number, truth, point in zip(clip.numbers, truths, points, strict=False):
                    error = math.inf if point is None else format_error(point, truth, self.points)
                    found.append(FrameError(clip.category, clip.name, number, method, error))
            done += len(truths)
            if progress:
                progress(done)
        return found

    def _answers(self, clip: AnnotatedClip) -> tuple[list[F64], dict[str, list[F64 | None]]]:
        """The truth, and every method's answer to every frame, image frame; None where it has none."""
        truths: list[F64] = []
        alone = [m for m in METHODS[:3] if m != "regressor" or self.aligner.model.displacer is not None]
        found: dict[str, list[F64 | None]] = {m: [] for m in (*alone, "low_pass")}
        filtered, smoothed = _Follower(self, 0), _Follower(self, LAG)
        recent: deque[F64] = deque(maxlen=LOW_PASS)
        for index, (truth, image) in enumerate(islice(clip.frames(), self.limit or None)):
            truths.append(truth)
            place = self._place(image, truth)
            row = None if place is None else self._row(image, place)
            for method, points in self._alone(place, row).items():
                if method in found:
                    found[method].append(points)
            newest = found[alone[-1]][-1]
            if newest is None:
                recent.clear()
            else:
                recent.append(newest)
            found["low_pass"].append(np.mean(recent, axis=0) if recent else None)
            for follower in (filtered, smoothed):
                follower.take(index, image, place, row)
        return truths, found | {"filter": filtered.close(), "smoother": smoothed.close()}

    def _place(self, image: U8, truth: F64) -> LocatedFace | None:
        box = tight_box(truth)
        if self.boxes == "truth":
            return self.aligner.place(box)
        detections = self.aligner.locate(image, self.detector)
        best = max(detections, key=lambda d: iou(d.box, box), default=None)
        return best if best is not None and iou(best.box, box) >= MISS_IOU else None

    def _row(self, image: U8, place: LocatedFace) -> FaceOutputs:
        return self.aligner.runtime.infer(self.aligner.crop(image, place)[None]).row(0)

    def _alone(self, place: LocatedFace | None, row: FaceOutputs | None) -> dict[str, F64 | None]:
        """What the frame by itself answers."""
        if place is None or row is None:
            return dict.fromkeys(METHODS[:3])
        posterior, frame = self.aligner.posterior(row), place.frame
        exemplar = self.aligner.bundle.exemplars.shapes[posterior.map_index]
        shapes = (exemplar, posterior.mixture_mean, posterior.mean)
        return {method: frame.to_image(shape) for method, shape in zip(METHODS[:3], shapes, strict=True)}


class _Follower:
    """One `TrackingSession` over a clip; keeps its landmarks only, for a posterior is as long as K."""

    def __init__(self, protocol: Protocol, lag: int) -> None:
        options = SessionOptions(TemporalModel.FILTER, smoothing_lag=lag)
        self._protocol = protocol
        self._session = TrackingSession(protocol.aligner, protocol.chain, options)
        self._found: list[F64 | None] = []

    def take(self, index: int, image: U8, place: LocatedFace | None, row: FaceOutputs | None) -> None:
        """Answer the next frame, in the place that was found or else where the session looks itself."""
        aligner, height, width = self._protocol.aligner, *image.shape[:2]
        given = () if place is None else ((0, place),)
        pending = self._session.begin(Frame(index, (height, width), given))
        detections = aligner.locate(image, self._protocol.detector) if pending.detect and aligner.detectors else []
        places = self._session.places(pending, detections)
        # With one face at most, the only place is the one that was given: it has been scored already.
        rows = [row] if row is not None else []
        if row is None and places:
            rows = aligner.runtime.infer(np.stack([aligner.crop(image, p) for p in places])).rows()
        answer = self._session.finish(pending, rows)
        self._found.append(_first(answer.tracks))
        for revision in answer.revisions:
            self._found[revision.frame_index] = _first(revision.tracks)

    def close(self) -> list[F64 | None]:
        """(68, 2) landmarks of every frame, those of its last revision; None where there is no track."""
        for revision in self._session.close().revisions:
            self._found[revision.frame_index] = _first(revision.tracks)
        return self._found


def _first(tracks: Sequence[TrackAnswer]) -> F64 | None:
    return tracks[0].given.face.landmarks if tracks else None


def table_2(found: Sequence[FrameError]) -> list[dict[str, Any]]:
    """One row a method and category, with the paper's figures where it has them; and over all frames ("all")."""
    return [row for method in METHODS for row in _rows(method, [f for f in found if f.method == method])]


def _rows(method: str, part: Sequence[FrameError]) -> Iterator[dict[str, Any]]:
    for category in (1, 2, 3, None):
        errors = [f.error for f in part if category in (None, f.category)]
        if not errors:
            continue
        row = {"method": method, "category": "all" if category is None else category} | summarise(errors)
        auc, failures = PAPER.get((method, category or 0), (None, None))
        yield row | {"paper_auc": auc, "paper_failure_rate": failures}
