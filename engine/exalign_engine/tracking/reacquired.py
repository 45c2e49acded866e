"""Is a face that turns up one that was lost? Told by its shape.

    o_i = exp(a − b ln max(d_i, d₀))      P_i = o_i / (1 + Σ_j o_j)                                             (R1)

d_i is the distance between the shape that turns up and the one of lost face i when it was last surely seen, each in its
own tight box. a and b were fitted to pairs of pictures of one video and of different people, as many of the one as of
the other: before the shape is looked at, it is the same face as likely as not. Place and motion decide which track goes
on (`exalign_engine.tracking.placement`); they are not in P. Nothing else describes a face here, and it ends with its
track (docs/decisions/faces-in-motion.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from exalign_engine.arrays import F16, F64
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.tracking.answers import Reacquired
from exalign_engine.tracking.track import TRACK, Track


def own_shape(points: F64) -> F16:
    """(68, 2) float16: landmarks in the frame of their own tight box."""
    return np.asarray(BoxFrame.from_box(tight_box(points)).from_image(points), dtype=np.float16)


def reacquired(points: F64, lost: Sequence[Track]) -> Reacquired | None:
    """The likeliest of some lost faces (Eq. R1).

    Args:
        points: (68, 2) of the face that turned up, image frame.
        lost: tracks, each of which may be its.

    Returns:
        None where none of them was ever surely seen.
    """
    known = [track for track in lost if track.shape.any()]
    if not known:
        return None
    odds = [_odds(own_shape(points), track.shape) for track in known]
    best = max(range(len(known)), key=odds.__getitem__)
    return Reacquired(known[best].track_id, odds[best] / (1 + sum(odds)))


def _odds(shape: F16, other: F16) -> float:
    squared = np.square(shape.astype(np.float64) - other.astype(np.float64)).sum(axis=1).mean()
    offset, slope, least = TRACK.same_face
    return math.exp(offset - slope * math.log(max(math.sqrt(float(squared)), least)))
