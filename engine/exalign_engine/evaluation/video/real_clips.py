"""Real videos, which nobody annotated: how calm the answers are, whether the face is lost, and whether they drift.

flicker = mean ‖y_t − 2 y_{t−1} + y_{t−2}‖ ÷ diagonal of the answer's box, over landmarks and frames in a row
loss    = share of frames in which the track is lost or there is none
drift   = mean ‖y_t − ŷ_t‖ ÷ diagonal, ŷ_t the answer to frame t alone in the box that a detector found in it
path_gap = no path through the last frames, at most 256, scores more nats above the one that max-product found
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exalign_engine.arrays import F64, U8
from exalign_engine.data.annotated_videos import open_video
from exalign_engine.errors import DataError
from exalign_engine.evaluation.video.sessions import SESSION_METHODS, SessionAnswer, track_video
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import diagonal, iou, tight_box
from exalign_engine.hmm.chain import Chain
from exalign_engine.tracking import MAX_PATH_FRAMES, TemporalModel, TrackState

#: Drift is measured in every n-th frame, against the detection that overlaps the track by at least this IoU.
DRIFT_EVERY, SAME_FACE = 10, 0.3

#: The method whose session also finds a path.
PATH_METHOD = TemporalModel.FILTER.value


def videos(folder: Path) -> list[Path]:
    """The .mp4 files of a folder, by name; none where there is no such folder."""
    return sorted(folder.glob("*.mp4"))


def read_video(path: Path) -> Iterator[U8]:
    """The frames of a video, (H, W, 3) uint8 RGB.

    Raises:
        DataError: it cannot be read to its end: what is measured would be about another video.
    """
    with open_video(path) as video:
        for frame in video:
            if frame.pixels is None:
                raise DataError(path, f"frame {frame.index} {frame.problem}")
            yield frame.pixels
    if video.short is not None:
        raise DataError(path, video.short)
    if not video.frames:
        raise DataError(path, "holds no frame that can be decoded")


def real_clip_rows(aligner: Aligner, chain: Chain, path: Path) -> list[dict[str, Any]]:
    """Flicker, loss and drift of every method on one video, and the gap of the filter's path."""
    alone = _alone(aligner, path)
    rows = []
    for method in SESSION_METHODS:
        path_frames = MAX_PATH_FRAMES if method == PATH_METHOD else 0
        video = track_video(aligner, chain, method, read_video(path), path_frames=path_frames)
        answers = video.answers
        drift = _drift(answers, alone)
        row = {"video": path.name, "method": method, "n": len(answers), "flicker": _rounded(flicker(answers))}
        lost = [a is None or a.state is TrackState.LOST for a in answers]
        row |= {"loss": round(100 * float(np.mean(lost)), 4), "drift": _rounded(drift)}
        rows.append(row | {"path_gap": _rounded(video.path_gap)})
    return rows


def flicker(answers: Sequence[SessionAnswer | None]) -> float | None:
    """See the top of this module; None where no three frames in a row have an answer."""
    jerks = []
    for three in zip(answers, answers[1:], answers[2:], strict=False):
        a, b, c = three
        if a is not None and b is not None and c is not None:
            jerk = np.linalg.norm(c.points - 2 * b.points + a.points, axis=1).mean()
            jerks.append(float(jerk) / diagonal(tight_box(b.points)))
    return float(np.mean(jerks)) if jerks else None


def _alone(aligner: Aligner, path: Path) -> dict[int, list[F64]]:
    """(68, 2) landmarks of every detected face in every `DRIFT_EVERY`-th frame by itself."""
    return {
        t: [face.landmarks for face in aligner.align(image)]
        for t, image in enumerate(read_video(path))
        if t % DRIFT_EVERY == 0
    }


def _drift(answers: Sequence[SessionAnswer | None], alone: dict[int, list[F64]]) -> float | None:
    """See the top of this module; None where no detection is of the same face."""
    apart = []
    for t, faces in alone.items():
        answer = answers[t]
        if answer is None or not faces:
            continue
        box = tight_box(answer.points)
        best = max(faces, key=lambda points: iou(tight_box(points), box))
        if iou(tight_box(best), box) >= SAME_FACE:
            distance = np.linalg.norm(answer.points - best, axis=1).mean()
            apart.append(float(distance) / diagonal(tight_box(best)))
    return float(np.mean(apart)) if apart else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
