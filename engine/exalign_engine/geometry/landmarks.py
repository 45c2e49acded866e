"""The 68-point iBUG landmark layout: names, groups and the mirror permutation (design words: 0-based)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_LANDMARKS = 68
NOSE_TIP = 30

#: Landmark groups, each a range of 0-based indices.
GROUPS: dict[str, range] = {
    "jaw": range(0, 17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
}


def _names() -> tuple[str, ...]:
    names = [f"jaw_{i}" for i in range(17)]
    names += [f"right_brow_{i}" for i in range(5)] + [f"left_brow_{i}" for i in range(5)]
    names += [f"nose_bridge_{i}" for i in range(4)] + [f"nose_base_{i}" for i in range(5)]
    names += [f"right_eye_{i}" for i in range(6)] + [f"left_eye_{i}" for i in range(6)]
    names += [f"outer_lip_{i}" for i in range(12)] + [f"inner_lip_{i}" for i in range(8)]
    names[NOSE_TIP] = "nose_tip"
    return tuple(names)


#: One name a landmark. "right" and "left" are the subject's own: right is on the image's left.
NAMES: tuple[str, ...] = _names()


def _mirror() -> NDArray[np.intp]:
    perm = np.arange(N_LANDMARKS)

    def swap(a: list[int], b: list[int]) -> None:
        perm[a], perm[b] = b, a

    swap(list(range(0, 8)), list(range(16, 8, -1)))
    swap(list(range(17, 22)), list(range(26, 21, -1)))
    swap([31, 32], [35, 34])
    swap([36, 37, 38, 39, 40, 41], [45, 44, 43, 42, 47, 46])
    swap([48, 49, 50, 58, 59, 60, 61, 67], [54, 53, 52, 56, 55, 64, 63, 65])
    return perm


#: MIRROR[n] is the landmark that n becomes when the image is flipped left to right; an involution.
MIRROR: NDArray[np.intp] = _mirror()


def mirror_shapes(shapes: NDArray[np.floating], width: float = 1.0) -> NDArray[np.floating]:
    """Flip shapes left to right.

    Args:
        shapes: (..., 68, 2), x and y.
        width: x becomes ``width - x``: 1.0 in the box frame, image width − 1 in pixels.

    Returns:
        (..., 68, 2) of the same dtype, with left and right landmarks exchanged.
    """
    flipped = shapes[..., MIRROR, :].copy()
    flipped[..., 0] = width - flipped[..., 0]
    return flipped
