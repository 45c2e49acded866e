"""300W-LP: one ``.mat`` file beside each ``.jpg``, as its owners distribute it.

The faces are those of AFW, HELEN, IBUG and LFPW, each turned to several yaws; ``AFW_134212_1_4`` is the fourth picture
made of the face ``AFW_134212_1``. The variable ``pt2d`` (2, 68) holds the landmarks as MATLAB counts pixels, from 1. On
a turned face its jaw is the outline of a 3-D model, also where the cheek hides it.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.face_source import check_landmarks
from exalign_engine.data.files import LeftOut, files_below, report_left_out
from exalign_engine.data.holdout import held_out
from exalign_engine.data.pictures import check_place, image_beside, read_annotated
from exalign_engine.errors import DataError
from exalign_engine.geometry.landmarks import N_LANDMARKS

#: Folders that hold no faces of their own: code, other copies of the landmarks, and (``*_Flip``) mirror images.
#: Training mirrors every face itself; reading the flips too would make each class twice.
_NOT_FACES = re.compile(r"code|landmarks|.*_flip", re.IGNORECASE)

_VARIABLE = "pt2d"


class MatFaces:
    """The faces of a 300W-LP folder, sorted by path; the collection's name is the sub-folder's.

    Args:
        root: the folder. Sub-folders ``Code``, ``landmarks`` and ``*_Flip`` are left out.
        split: "train" or "val": all pictures of a tenth of the faces are ``val`` (`exalign_engine.data.holdout`);
            None takes everything.

    Attributes:
        left_out: what is not read below the folder; the log says it too.

    Raises:
        DataError: a .mat file is malformed, has no image beside it or no point in that, there is none, or the split is
            unknown.
    """

    def __init__(self, root: Path, split: str | None = None) -> None:
        files, left_out = mat_files(root)
        if not files:
            raise DataError(root, "no .mat file of a face")
        if split is not None:
            if split not in ("train", "val"):
                raise DataError(root, f"300W-LP has no split {split!r}; there are train and val")
            kept = held_out((face_of(f) for f in files), root)
            files = [f for f in files if (face_of(f) in kept) == (split == "val")]
        self.files = files
        self.images = [image_beside(f) for f in files]
        self.ids = [f.stem for f in files]
        self.origins = [f.parent.name for f in files]
        self.landmarks = np.stack([read_mat(f) for f in files])
        for image, points, file in zip(self.images, self.landmarks, files, strict=True):
            check_place(image, points, file)
        self.left_out = report_left_out(root, left_out)

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; see `FaceSource.image`."""
        return read_annotated(self.images[index], self.landmarks[index], self.files[index])


def mat_files(root: Path) -> tuple[list[Path], list[LeftOut]]:
    """The .mat files below a folder that stand for faces, sorted; and those that do not."""
    found, hidden = files_below(root, (".mat",))
    other = [f for f in found if any(_NOT_FACES.fullmatch(part) for part in f.relative_to(root).parts[:-1])]
    left_out = [
        LeftOut("hidden files", tuple(hidden)),
        LeftOut("files of flips, code and other copies of the landmarks", tuple(other)),
    ]
    skipped = set(other)
    return [f for f in found if f not in skipped], left_out


def face_of(path: Path) -> str:
    """The face that a file shows, whatever the pose it was turned to."""
    return re.sub(r"_\d+$", "", path.stem)


def read_mat(path: Path) -> NDArray[np.float64]:
    """Read the landmarks of one .mat file.

    Returns:
        (68, 2) float64, image frame (0-based: the file's 1-based values minus 1).

    Raises:
        DataError: the file or its variable ``pt2d`` is wrong, or scipy is not installed.
    """
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as e:
        raise DataError(path, f"reading .mat files needs scipy ({e}); pip install 'exalign[train]'") from e
    try:
        variables = loadmat(path, variable_names=[_VARIABLE])
    except NotImplementedError as e:
        raise DataError(path, "is a MATLAB 7.3 file (HDF5); 300W-LP's are of version 5") from e
    except (MatReadError, OSError, EOFError, ValueError, TypeError, KeyError, IndexError, zlib.error) as e:
        raise DataError(path, f"not a MATLAB file, or cut off: {e}") from e
    if _VARIABLE not in variables:
        raise DataError(path, f"no variable {_VARIABLE!r}")
    points = variables[_VARIABLE]
    if points.shape != (2, N_LANDMARKS) or points.dtype.kind not in "fiu":
        found = f"shape {points.shape} and dtype {points.dtype}"
        raise DataError(path, f"{_VARIABLE!r} has {found}, must have shape (2, {N_LANDMARKS}) and real numbers")
    shape: NDArray[np.float64] = points.T.astype(np.float64) - 1.0
    check_landmarks(shape, path, None, _VARIABLE)
    return shape
