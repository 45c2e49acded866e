"""The iBUG layout of the 68 landmarks (0-based), as the contract fixes it: names and groups."""

from __future__ import annotations

N_LANDMARKS = 68

#: Landmark groups, each a range of indices.
GROUPS: dict[str, range] = {
    "jaw": range(0, 17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
}

#: One name a landmark. "right" and "left" are the subject's own: right is on the image's left.
NAMES: tuple[str, ...] = (
    *(f"jaw_{i}" for i in range(17)),
    *(f"{side}_brow_{i}" for side in ("right", "left") for i in range(5)),
    *(f"nose_bridge_{i}" for i in range(3)),
    "nose_tip",
    *(f"nose_base_{i}" for i in range(5)),
    *(f"{side}_eye_{i}" for side in ("right", "left") for i in range(6)),
    *(f"outer_lip_{i}" for i in range(12)),
    *(f"inner_lip_{i}" for i in range(8)),
)


def group_of(landmark: int) -> str:
    """The group that a landmark belongs to."""
    return next(name for name, indices in GROUPS.items() if landmark in indices)
