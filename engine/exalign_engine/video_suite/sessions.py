"""Videos followed by the service's own `TrackingSession`, which finds its boxes itself; it may be told the first.

Each method follows by itself, as each would in service: its answers decide where it looks next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.aligner import Aligner
from exalign_engine.frames import BoxFrame
from exalign_engine.hmm import Chain
from exalign_engine.tracking import (
    Frame,
    FrameAnswer,
    SessionOptions,
    TemporalModel,
    TrackAnswer,
    TrackingSession,
    TrackState,
)
from exalign_engine.video_suite.methods import Answer

U8 = NDArray[np.uint8]

#: Methods that a session offers as its temporal model.
SESSION_METHODS = tuple(
    model.value for model in (TemporalModel.PER_FRAME, TemporalModel.LOW_PASS, TemporalModel.FILTER)
)


@dataclass(frozen=True)
class Followed(Answer):
    """An answer of a session.

    Attributes:
        state: of the track.
    """

    state: TrackState


def follow(
    aligner: Aligner, chain: Chain, method: str, frames: Iterable[U8], start: BoxFrame | None = None
) -> list[Followed | None]:
    """Follow one face of a video.

    Args:
        aligner: the model, with the default detector.
        chain: of its exemplars.
        method: of `SESSION_METHODS`.
        frames: (H, W, 3) uint8 RGB, all of one size.
        start: where the face is in the first frame; None: the detector's best. A still may show a bystander as well.

    Returns:
        One answer a frame, of the oldest track; None where there is no track.
    """
    session = TrackingSession(aligner, chain, SessionOptions(TemporalModel(method)))
    found: list[Followed | None] = []
    for index, image in enumerate(frames):
        found.append(_first(_step(session, aligner, index, image, start if index == 0 else None).tracks))
    return found


def _step(session: TrackingSession, aligner: Aligner, index: int, image: U8, place: BoxFrame | None) -> FrameAnswer:
    """One frame through detector, crops, network and session."""
    height, width = image.shape[:2]
    given = () if place is None else ((0, aligner.place(place.box)),)
    pending = session.begin(Frame(index, (height, width), given))
    places = session.places(pending, aligner.locate(image) if pending.detect else [])
    scores = np.zeros((0, aligner.model.exemplars.count), np.float32)
    if places:
        scores = aligner.runtime.infer(np.stack([aligner.crop(image, place) for place in places])).scores
    return session.finish(pending, scores)


def _first(tracks: tuple[TrackAnswer, ...]) -> Followed | None:
    """The oldest track's answer."""
    if not tracks:
        return None
    given = tracks[0].given
    return Followed(given.face.landmarks, given.face.posterior.probabilities, tracks[0].state)
