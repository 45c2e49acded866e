"""The interface of every face reader, and the function that picks the reader for a folder."""

from __future__ import annotations

from pathlib import Path

from exalign_engine.data.face_source import FaceSource
from exalign_engine.errors import DataError


def open_faces(folder: Path | str, split: str) -> FaceSource:
    """Open the faces of one split.

    What a folder is is told by what it holds, in this order:

    - ``index.csv``: the prepared format (`exalign_engine.data.prepared`);
    - ``*_frames_keypoints.csv``: frames of YouTube Faces (`exalign_engine.data.keypoints_csv`);
    - folders with ``vid.avi`` and ``annot``: 300VW (`exalign_engine.data.annotated_videos`);
    - ``.pts`` beside images, below it or below its sub-folder ``split``: 300-W (`exalign_engine.data.pts`);
    - ``.mat`` beside images, likewise: 300W-LP (`exalign_engine.data.mat`).

    Hidden files and those that a Mac leaves (``._name``, ``__MACOSX``) are none of these. What a reader leaves out is
    counted and named in one line of the log.

    A 300-W folder without sub-folders train, val or test is one split under any name; of the others' data sets, which
    have no ``val``, a tenth of the clips, persons or faces is kept out of ``train`` for it.

    Raises:
        DataError: the folder is none of these, or a file in it is wrong (path and line are named).
    """
    from exalign_engine.data.annotated_videos import VideoFaces, is_video_folder
    from exalign_engine.data.files import files_below
    from exalign_engine.data.keypoints_csv import TABLE, KeypointsCsvFaces
    from exalign_engine.data.mat import MatFaces
    from exalign_engine.data.prepared import PreparedFaces
    from exalign_engine.data.pts import PtsFaces

    root = Path(folder)
    if not root.is_dir():
        raise DataError(root, "no such folder")
    if (root / "index.csv").is_file():
        return PreparedFaces(root, split)
    if any(not path.name.startswith(".") for path in root.glob(f"*{TABLE}")):
        return KeypointsCsvFaces(root, split)
    if is_video_folder(root):
        return VideoFaces(root, split)
    splits = [name for name in ("train", "val", "test") if (root / name).is_dir()]
    if splits and not (root / split).is_dir():
        # Reading the whole folder instead would mix what must be kept apart.
        raise DataError(root, f"no split {split!r}; there are {', '.join(splits)}")
    candidate = root / split if splits else root
    (points, hidden_points), (variables, hidden_variables) = (files_below(candidate, (s,)) for s in (".pts", ".mat"))
    if points:
        return PtsFaces(candidate)
    if variables:
        return MatFaces(candidate, None if splits else split)
    hidden = len(hidden_points) + len(hidden_variables)
    but = f" but {hidden} hidden" if hidden else ""
    known = f"no index.csv, no table of frames, no clip, no .pts or .mat file{but}"
    raise DataError(root, f"neither the prepared format nor a data set that is known here ({known})")
