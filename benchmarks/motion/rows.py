"""The figures of one photo at rest, and of one clip in which two faces cross."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from benchmarks.motion.crossing import SIDE, Scene
from numpy.typing import NDArray

from exalign_engine import Aligner
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.hmm.chain import Chain
from exalign_engine.tracking import Frame, SessionOptions, TemporalModel, TrackingSession, TrackState
from exalign_engine.tracking.frame_loop import answer_frame

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]

Row = dict[str, Any]

#: How often a photo is shown.
AGAIN = 12

#: A track is on a face whose landmarks' mean is within so many box sides of its own.
ON = 0.35

#: Frames of a face in full view from which its track is taken.
TAKEN_AFTER = 3


def rest_row(aligner: Aligner, chain: Chain, image: U8) -> list[Row]:
    """A photo shown again and again, by two temporal models."""
    rows = []
    for model in (TemporalModel.PER_FRAME, TemporalModel.FILTER):
        session = TrackingSession(aligner, chain, SessionOptions(model))
        points: list[F64] = []
        for index in range(AGAIN):
            answer = answer_frame(session, aligner, Frame(index, (image.shape[0], image.shape[1])), image)
            if not answer.tracks:
                break
            points.append(answer.tracks[0].given.face.landmarks)
        if len(points) < AGAIN:
            continue  # the detector finds nobody
        steps = np.linalg.norm(np.diff(points, axis=0), axis=2).max(axis=1) / diagonal(tight_box(points[-1]))
        still = next((t for t in range(1, AGAIN) if not steps[t - 1 :].any()), AGAIN)
        row = {"model": model.value, "first_step": round(100 * float(steps[0]), 3)}
        rows.append(row | {"late_step": round(100 * float(steps[2:].max()), 4), "still_from": still})
    return rows


def crossing_row(aligner: Aligner, chain: Chain, scenes: Iterable[Scene]) -> Row:
    """Swaps; frames in full view without the face's own track after crossing, and after coming back; new tracks."""
    session = TrackingSession(aligner, chain, SessionOptions(max_faces=2))
    own: list[int | None] = [None, None]
    missing, longest, in_view = [0, 0], {"crossed": 0, "returned": 0}, [0, 0]
    swapped, met, was_gone = [False, False], False, [False, False]
    known: set[int] = set()
    for t, scene in enumerate(scenes):
        answer = answer_frame(session, aligner, Frame(t, (scene.pixels.shape[0], scene.pixels.shape[1])), scene.pixels)
        known |= {track.track_id for track in answer.tracks}
        for i in (0, 1):
            if not scene.seen[i]:
                met, in_view[i], missing[i] = met or t > 5, 0, 0
                was_gone[i] = was_gone[i] or _out(scene.truth[i], scene.pixels)
                continue
            in_view[i] += 1
            on = [
                track.track_id
                for track in answer.tracks
                if track.state is TrackState.VISIBLE and _near(track.given.face.landmarks, scene.truth[i])
            ]
            if own[i] is None and on and in_view[i] >= TAKEN_AFTER and not met:
                own[i] = on[0]
            swapped[i] = swapped[i] or (own[1 - i] in on and own[i] not in on)
            missing[i] = 0 if own[i] in on else missing[i] + 1
            if met:
                when = "returned" if was_gone[i] else "crossed"
                longest[when] = max(longest[when], missing[i])
    return {"swaps": int(all(swapped)), "taken": int(any(swapped)), **longest, "new_ids": len(known) - 2}


def _near(points: F64, truth: F64) -> bool:
    return bool(np.linalg.norm(points.mean(axis=0) - truth.mean(axis=0)) < ON * SIDE)


def _out(truth: F64, pixels: U8) -> bool:
    """Whether all of a face is out of the picture."""
    x0, _, x1, _ = tight_box(truth)
    return bool(x1 < 0 or x0 > pixels.shape[1])
