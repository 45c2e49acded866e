"""Fig. 4: how many exemplars lie within τ of each training face, and which faces have many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.errors import BundleError
from exalign_engine.evaluation.reproduction.tables import Row
from exalign_engine.exemplars.exemplars import squared_distances
from exalign_engine.geometry.head_pose import ROLL, YAW, solve_pose
from exalign_engine.geometry.landmarks import N_LANDMARKS

#: Ranks are reported in so many equal parts.
PARTS = 40

#: Faces at a time; bounds memory to block × K floats.
BLOCK = 128


def membership_sizes(bundle: Bundle) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The training faces (M, 68, 2) in their box frames, and the sizes |M_i| (M,) of their membership sets (Eq. 6).

    Raises:
        BundleError: the bundle's exemplars are k-means centres: it does not know its faces.
    """
    recipe = bundle.exemplars.recipe
    if recipe is None:
        raise BundleError(bundle.path, "its exemplars are k-means centres; membership needs the training faces")
    limit = bundle.manifest.tau**2
    blocks = (recipe.faces[start : start + BLOCK] for start in range(0, len(recipe.faces), BLOCK))
    sizes = [(squared_distances(faces, bundle.exemplars.shapes) <= limit).sum(axis=1) for faces in blocks]
    return recipe.faces, np.concatenate(sizes)


def membership_rows(bundle: Bundle) -> list[Row]:
    """Faces ranked by the size of their membership set, the largest first, in `PARTS` parts.

    Returns:
        Rows with rank_from, rank_to, members (mean), least, most, and the means of \\|yaw\\| and \\|roll\\| in degrees
        and of the distance from the mean shape (``deviation``, box sides).
    """
    faces, sizes = membership_sizes(bundle)
    pose = np.abs(solve_pose(faces, bundle.poses.mean_face))
    deviation = np.sqrt(((faces - faces.mean(axis=0)) ** 2).sum(axis=(1, 2)) / N_LANDMARKS)
    rows = []
    first = 0
    for part in np.array_split(np.argsort(-sizes, kind="stable"), min(PARTS, len(sizes))):
        rows.append(
            {
                "bundle": bundle.id[:12],
                "k": bundle.exemplars.count,
                "tau": bundle.manifest.tau,
                "rank_from": first + 1,
                "rank_to": first + len(part),
                "members": round(float(sizes[part].mean()), 2),
                "least": int(sizes[part].min()),
                "most": int(sizes[part].max()),
                "yaw": round(float(pose[part, YAW].mean()), 3),
                "roll": round(float(pose[part, ROLL].mean()), 3),
                "deviation": round(float(deviation[part].mean()), 5),
            }
        )
        first += len(part)
    return rows
