"""The iBUG layout of the 68 landmarks (0-based), as the contract fixes it: groups, and lines between them."""

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

#: Lines of a face as (group, indices, closed).
CONTOURS: tuple[tuple[str, range, bool], ...] = (
    ("jaw", range(0, 17), False),
    ("brows", range(17, 22), False),
    ("brows", range(22, 27), False),
    ("nose", range(27, 31), False),
    ("nose", range(31, 36), False),
    ("eyes", range(36, 42), True),
    ("eyes", range(42, 48), True),
    ("mouth", range(48, 60), True),
    ("mouth", range(60, 68), True),
)
