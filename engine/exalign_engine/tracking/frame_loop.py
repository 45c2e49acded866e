"""A session driven in this process: each frame through detector, crops, network and session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from exalign_engine.face.aligner import Aligner, LocatedFace
from exalign_engine.geometry.levels import Pixels
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.tracking.answers import Frame, FrameAnswer
from exalign_engine.tracking.session import TrackingSession


def answer_frame(
    session: TrackingSession,
    aligner: Aligner,
    frame: Frame,
    image: Pixels,
    locate: Callable[[Pixels], list[LocatedFace]] | None = None,
) -> FrameAnswer:
    """The answer to one frame.

    Args:
        session: it moves on.
        aligner: the session's model.
        frame: with the size of ``image``.
        image: (H, W, 3) uint8 RGB, or its levels.
        locate: finds faces; None: the aligner's default detector.

    Raises:
        FrameTooOldError: the frame is not after all before it.
        InvalidInputError: names every wrong field of the frame.
    """
    pending = session.begin(replace(frame, thumbnail=session.thumbnail(image)))
    places = session.places(pending, (locate or aligner.locate)(image) if pending.detect else [])
    rows: list[FaceOutputs] = []
    if places:
        rows = aligner.runtime.infer(np.stack([aligner.crop(image, place) for place in places])).rows()
    return session.finish(pending, rows)
