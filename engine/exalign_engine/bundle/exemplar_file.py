"""exemplars.npz: the K classes and their poses, by the recipe that makes them or, of k-means centres, one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.bundle.npz import Layout, check_arrays, read_arrays
from exalign_engine.errors import BundleError
from exalign_engine.exemplars.building import SHAPE_UNIT, mirrored_exemplars, mirrored_shapes
from exalign_engine.exemplars.exemplars import Exemplars, Recipe
from exalign_engine.exemplars.poses import Poses
from exalign_engine.geometry.head_pose import MIRROR_SIGN
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.posterior.kernels import kernel_layout
from exalign_engine.tables.store import Layout as TableLayout
from exalign_engine.tables.store import Tables

IN_EVERY_FILE: Layout = {
    "variance": ("f", (None,)),
    "source_ids": ("U", (None,)),
    "mean_face": ("f", (N_LANDMARKS, 3)),
    "pose": ("f", (None, 3)),
    "pose_variance": ("f", (None, 3)),
}
OF_A_RECIPE: Layout = {
    "faces": ("i", (None, N_LANDMARKS, 2)),
    "transforms": ("f", (None, None, 6)),
    "depth_face": ("f", (N_LANDMARKS, 3)),
}
OF_SHAPES: Layout = {
    "shapes": ("i", (None, N_LANDMARKS, 2)),
    "mirror_of": ("i", (None,)),
    "source": ("i", (None,)),
}


def write_exemplars(path: Path, exemplars: Exemplars, poses: Poses) -> None:
    """Write exemplars.npz: the recipe where there is one, otherwise the shapes; of mirrored pairs one half.

    Raises:
        ValueError: a coordinate lies outside the range that can be stored, -2 to 2 box sides.
    """
    recipe, rows = exemplars.recipe, slice(None)
    shapes = exemplars.shapes if recipe is None else recipe.faces
    units = np.round(shapes / SHAPE_UNIT)
    limit = np.iinfo(np.int16)
    if not ((units >= limit.min) & (units <= limit.max)).all():  # NaN fails too
        raise ValueError("an exemplar's coordinate is not within -2 to 2 box sides: its box is too small for it")
    arrays: dict[str, NDArray[Any]]
    if recipe is None:
        arrays = {"shapes": units.astype(np.int16), "mirror_of": exemplars.mirror_of, "source": exemplars.source}
    else:
        arrays = {"faces": units.astype(np.int16), "transforms": recipe.transforms, "depth_face": recipe.mean_face}
        rows = slice(exemplars.count // 2)
    np.savez_compressed(
        path,
        **arrays,  # type: ignore[arg-type]
        variance=exemplars.variance[rows],
        source_ids=np.array(exemplars.source_ids, dtype=np.str_),
        mean_face=poses.mean_face,
        pose=poses.pose[rows],
        pose_variance=poses.variance[rows],
    )


def read_exemplars(path: Path, tables: Tables | None = None) -> tuple[Exemplars, Poses]:
    """Read exemplars.npz, and follow its recipe where it holds one.

    Args:
        path: the file.
        tables: of the bundle that it belongs to; None keeps nothing.

    Raises:
        BundleError: with the array that is wrong.
    """
    a = read_arrays(path, IN_EVERY_FILE)
    follows = "faces" in a
    check_arrays(path, a, OF_A_RECIPE if follows else OF_SHAPES)
    for key in ("variance", "pose_variance"):
        if not (a[key] > 0).all():
            raise BundleError(path, f"{key} holds a value that is not above 0")
    per_class = (
        ("variance", "pose", "pose_variance")
        if follows
        else ("variance", "mirror_of", "source", "pose", "pose_variance")
    )
    if follows:
        variants, faces = a["transforms"].shape[:2]
        for key in ("faces", "source_ids"):
            if len(a[key]) != faces:
                raise BundleError(path, f"{key} has {len(a[key])} entries, transforms has {faces} columns")
        k = variants * faces
    else:
        k = len(a["shapes"])
    for key in per_class:
        if len(a[key]) != k:
            raise BundleError(path, f"{key} has {len(a[key])} entries, {'the recipe' if follows else 'shapes'} has {k}")
    kept = Tables() if tables is None else tables
    return _from_recipe(a, kept) if follows else _from_shapes(path, a, kept)


def _from_recipe(a: dict[str, NDArray[Any]], tables: Tables) -> tuple[Exemplars, Poses]:
    recipe = Recipe(a["faces"].astype(np.float64) * SHAPE_UNIT, a["transforms"].astype(np.float32), a["depth_face"])
    count = 2 * recipe.transforms.shape[0] * recipe.transforms.shape[1]
    # As the kernels read them: everybody else sees them through a view, so that there is one copy.
    layout: TableLayout = {"shapes": (np.float32, (count, 2, N_LANDMARKS))}
    made = tables.arrays("exemplars", layout, lambda: {"shapes": kernel_layout(mirrored_shapes(recipe))})
    exemplars = mirrored_exemplars(
        recipe,
        np.concatenate([a["variance"]] * 2).astype(np.float32),
        tuple(str(s) for s in a["source_ids"]),
        np.swapaxes(made["shapes"], 1, 2),
    )
    pose = np.concatenate([a["pose"], a["pose"] * MIRROR_SIGN.astype(np.float32)]).astype(np.float32)
    return replace(exemplars, tables=tables), Poses(
        a["mean_face"].astype(np.float64), pose, np.concatenate([a["pose_variance"]] * 2).astype(np.float32)
    )


def _from_shapes(path: Path, a: dict[str, NDArray[Any]], tables: Tables) -> tuple[Exemplars, Poses]:
    k = len(a["shapes"])
    if k and not (a["mirror_of"].min() >= 0 and a["mirror_of"].max() < k):
        raise BundleError(path, f"mirror_of points outside 0 … {k - 1}")
    if k and not (a["source"].min() >= -1 and a["source"].max() < len(a["source_ids"])):
        raise BundleError(path, "source points outside source_ids")
    poses = Poses(
        a["mean_face"].astype(np.float64), a["pose"].astype(np.float32), a["pose_variance"].astype(np.float32)
    )
    exemplars = Exemplars(
        shapes=np.swapaxes(kernel_layout(a["shapes"].astype(np.float32) * np.float32(SHAPE_UNIT)), 1, 2),
        variance=a["variance"].astype(np.float32),
        mirror_of=a["mirror_of"].astype(np.int32),
        source=a["source"].astype(np.int32),
        source_ids=tuple(str(s) for s in a["source_ids"]),
        tables=tables,
    )
    return exemplars, poses
