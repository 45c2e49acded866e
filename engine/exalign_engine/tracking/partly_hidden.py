"""Where a face is of which a part is hidden, by the landmarks in view (docs/decisions/faces-in-motion.md).

What passes before a face pushes what is found of it aside, and makes it smaller: its tight box is soon another one. So
where landmarks are hidden, the box is that of the shape when it was last in full view, fitted to what is in view now,
and a little to where the face was looked for:

    min over c, a:  Σ_n w_n ‖y_n − c − a q_n‖² + κ (‖c − c₀‖² + (a − a₀)²),    w_n = max(0, 1 − o_n / ω)            (P1)

y are the landmarks, q those of the full view in sides of their own box, about its centre; c₀, a₀ centre and side of the
box that was looked at; o_n the probability that landmark n is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.geometry.landmarks import N_LANDMARKS


@dataclass(frozen=True)
class PartlyHiddenSettings:
    """Constants of Eq. P1.

    Attributes:
        hidden: Σ_n o_n from which a face counts as partly hidden.
        in_view: ω; a landmark that is hidden with this probability tells nothing.
        prior: κ: how many landmarks the place that was looked at is worth.
        mostly: Σ_n o_n from which no way is taken from where the face was found: what is in view may be another thing.
    """

    # docs/decisions/faces-in-motion.md
    hidden: float = 2.0
    in_view: float = 0.3
    prior: float = 4.0
    mostly: float = 15.0


PARTLY_HIDDEN = PartlyHiddenSettings()


def hidden_bytes(occluded: F64 | None) -> bytes:
    """(68 bytes) probabilities that landmarks are hidden, in 255ths; empty: nothing tells."""
    return b"" if occluded is None else np.rint(occluded * 255).astype(np.uint8).tobytes()


def hidden_count(hidden: bytes) -> float:
    """How many landmarks are hidden, by expectation; 0 where nothing tells."""
    return sum(hidden) / 255


def is_partly_hidden(hidden: bytes) -> bool:
    """Whether the landmarks that are hidden are so many that their place tells nothing of the box's."""
    return hidden_count(hidden) >= PARTLY_HIDDEN.hidden


def full_view(points: F64) -> bytes:
    """(272 bytes) q of (68, 2) landmarks, image frame, as float16."""
    return (BoxFrame.from_box(tight_box(points)).from_image(points) - 0.5).astype(np.float16).tobytes()


def box_in_view(points: F64, hidden: bytes, full: bytes, looked_at: F64) -> F64:
    """(4,) the box of a face that is partly hidden, image frame, pixels (Eq. P1).

    Args:
        points: (68, 2) its landmarks, image frame.
        hidden: `hidden_bytes` of the same frame.
        full: `full_view` of an earlier one.
        looked_at: (4,) the box that was cropped.
    """
    q: NDArray[np.float64] = np.frombuffer(full, "<f2").reshape(N_LANDMARKS, 2).astype(np.float64)
    w = np.maximum(0.0, 1 - np.frombuffer(hidden, np.uint8) / 255 / PARTLY_HIDDEN.in_view)
    frame, k = BoxFrame.from_box(looked_at), PARTLY_HIDDEN.prior
    # About the weighted means, side and centre are found one after the other.
    weight = w.sum() + k
    start = np.array([frame.cx, frame.cy])
    mean_y, mean_q = (w @ points + k * start) / weight, (w @ q) / weight
    y, r = points - mean_y, q - mean_q
    at_start, of_nothing = start - mean_y, -mean_q
    square = float(w @ (r * r).sum(axis=1) + k * (of_nothing @ of_nothing) + k)
    side = float(w @ (r * y).sum(axis=1) + k * (of_nothing @ at_start) + k * frame.side) / square
    centre = mean_y - side * mean_q
    return np.concatenate([centre + side * q.min(axis=0), centre + side * q.max(axis=0)])
