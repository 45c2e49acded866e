"""The bare pipeline: what a tracked frame costs where nothing is tracked."""

from __future__ import annotations

import time

import numpy as np
from benchmarks.streams.pictures import Clip

from exalign_engine import Aligner, Face, LocatedFace
from exalign_engine.face.inputs import open_image
from exalign_engine.geometry.levels import LevelsWanted


def bare_seconds(aligner: Aligner, clip: Clip, count: int, warm_up: int) -> float:
    """CPU-seconds a frame: decode, crop where the face was before, run the network, read the posterior.

    There is no detector after the first frame, no chain, no message. Frames are opened as a server opens them.

    Args:
        aligner: on one thread.
        clip: its frames, to and fro.
        count: frames that count.
        warm_up: frames before them.
    """
    place: LocatedFace | None = None

    def wanted(shape: tuple[int, ...]) -> LevelsWanted:
        return aligner.wanted_to_detect(shape) if place is None else aligner.wanted_to_crop([place])

    start, turns = 0.0, clip.to_and_fro()
    for i in range(warm_up + count):
        if i == warm_up:
            start = time.process_time()
        pixels = open_image(next(turns), wanted)
        if place is None:
            place = next(iter(aligner.locate(pixels, max_faces=1)), None)
        if place is not None:
            row = aligner.runtime.infer(aligner.crop(pixels, place)[None]).row(0)
            points = Face(place, aligner.posterior(row)).compute().landmarks
            place = aligner.place(np.concatenate([points.min(axis=0), points.max(axis=0)]))
    return (time.process_time() - start) / count
