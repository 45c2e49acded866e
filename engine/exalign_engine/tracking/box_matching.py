"""Which box belongs to which track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.geometry.frames import iou


@dataclass(frozen=True)
class BoxMatchingSettings:
    """Constants of the matching of boxes to tracks.

    Attributes:
        min_overlap: IoU from which a box is that of a track.
        near: a hidden face is found again by a box whose centre is within so many box sides of where it is expected,
        farther: and so many more for each frame since it was seen, but at most ``farthest``.
        farthest: see there.
        near_lost: a lost face is found again within so many box sides of where it was lost.
        alike: ... and whose side is within this factor of its own.
        recentre_below: a detection re-centres a visible track only where their IoU is below. Above, the track's own
            box is the better one, and changing to the detector's and back would only add noise to the answer.
        same_place: a detection that overlaps a track more has nothing to add to it.
        surer: by so much more a face must be there at a detection, to count in place of the prediction,
        surest: or, where that is less, by this share of what the prediction lacks to certainty.
        same_face: two tracks whose boxes overlap more (IoU) are of one face.
        through_cut: IoU from which a face behind a cut is taken for that of the track that was there.
    """

    min_overlap: float = 0.2
    near: float = 1.5
    farther: float = 0.1
    farthest: float = 3.0
    near_lost: float = 1.5
    alike: float = 2.0
    recentre_below: float = 0.5
    same_place: float = 0.8
    surer: float = 0.25
    # docs/decisions/faces-in-motion.md
    surest: float = 0.9
    same_face: float = 0.65
    through_cut: float = 0.5


BOX_MATCHING = BoxMatchingSettings()


def match(tracks: Sequence[F64], boxes: Sequence[F64], min_overlap: float) -> dict[int, int]:
    """Pair tracks with boxes, the greatest overlap first.

    Args:
        tracks: n boxes (4,).
        boxes: m boxes (4,).
        min_overlap: IoU below which two are no pair.

    Returns:
        Index of a box → index of its track. Equal overlaps go to the first track, then the first box.
    """
    pairs = [(iou(t, b), i, j) for i, t in enumerate(tracks) for j, b in enumerate(boxes)]
    found: dict[int, int] = {}
    for overlap, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if overlap >= min_overlap and j not in found and i not in found.values():
            found[j] = i
    return found


def near(track: F64, box: F64, frames: int | None, settings: BoxMatchingSettings = BOX_MATCHING) -> float | None:
    """How far a box is from where a face is expected, in its box sides; None where it cannot be that face.

    Args:
        track: (4,) box of the face.
        box: (4,) that was found.
        frames: since the face was seen; None where it is lost.
        settings: constants.
    """
    side = float(max(track[2] - track[0], track[3] - track[1]))
    other = float(max(box[2] - box[0], box[3] - box[1]))
    apart = float(np.hypot(*((box[:2] + box[2:] - track[:2] - track[2:]) / 2))) / side
    alike = side / settings.alike <= other <= side * settings.alike
    hidden = settings.near_lost if frames is None else settings.near + settings.farther * frames
    reach = min(hidden, settings.farthest)
    return apart if alike and apart <= reach else None
