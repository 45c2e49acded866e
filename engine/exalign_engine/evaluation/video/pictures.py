"""Some frames of some clips as one picture: the truth and what three methods answered."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from exalign_engine.arrays import F64, U8
from exalign_engine.evaluation.sheet import write_sheet
from exalign_engine.evaluation.video.clips import SIZE, Clip, ClipMaker
from exalign_engine.evaluation.video.methods import answers, watch
from exalign_engine.face.aligner import Aligner
from exalign_engine.hmm.chain import Chain

#: Rows and columns of the picture, enlargement of the frames, and height of the captions.
SHOWN_CLIPS, SHOWN_FRAMES, ZOOM, CAPTION = 6, 8, 2, 28

#: RGB by method.
COLOURS = {"truth": (240, 240, 240), "per_frame": (255, 90, 70), "filter": (70, 220, 120), "smoother": (90, 160, 255)}


def draw_clips(aligner: Aligner, chain: Chain, maker: ClipMaker, count: int, out: Path) -> None:
    """Write the picture: rows are clips, columns frames of them.

    Args:
        aligner: the model.
        chain: of its exemplars.
        maker: of the clips.
        count: how many clips there are; at most `SHOWN_CLIPS` are drawn.
        out: the file.

    Raises:
        OSError: the file cannot be written.
    """
    lines = [_captions()]
    for index in range(min(SHOWN_CLIPS, count)):
        clip = maker.clip(index)
        given = answers(watch(aligner, clip), chain, ("per_frame", "filter", "smoother"))
        shapes = {"truth": clip.truth} | {name: np.stack([a.points for a in g]) for name, g in given.items()}
        lines.append(np.concatenate([_tile(clip, shapes, t) for t in _shown(clip)], axis=1))
    write_sheet(out, np.concatenate(lines))


def _shown(clip: Clip) -> list[int]:
    """Evenly spaced frames; of a clip that cuts, the last before it and the first after it among them."""
    if clip.cut is not None:
        return [clip.cut + d for d in (-6, -3, -1, 0, 1, 2, 3, 6)]
    hidden = np.flatnonzero(clip.covered > 0)
    first, last = (int(hidden[0]), int(hidden[-1])) if len(hidden) else (0, len(clip) - 1)
    return [int(t) for t in np.linspace(first, last, SHOWN_FRAMES).round()]


def _tile(clip: Clip, shapes: dict[str, F64], t: int) -> U8:
    tile = np.asarray(cv2.resize(clip.frames[t], None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC), np.uint8)
    for name, points in shapes.items():
        for x, y in np.rint((points[t] + 0.5) * ZOOM - 0.5):
            cv2.circle(tile, (int(x), int(y)), 2, COLOURS[name], -1, cv2.LINE_AA)
    text = f"{t}: {clip.phase(t) or 'between'}, {100 * clip.covered[t]:.0f} % covered"
    cv2.putText(tile, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0), 1, cv2.LINE_AA)
    return tile


def _captions() -> U8:
    strip = np.full((CAPTION, ZOOM * SIZE * SHOWN_FRAMES, 3), 24, np.uint8)
    for i, (name, colour) in enumerate(COLOURS.items()):
        at = (8 + 120 * i, 19)
        cv2.putText(strip, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return strip
