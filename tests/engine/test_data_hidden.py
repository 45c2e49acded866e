"""What a Mac leaves beside every file is no face, in the data set of any owner; it is counted and named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from exalign_engine.data import open_faces

#: (68, 2) pixels from 0, inside of every picture here.
POINTS = np.array([(10.0 + i % 20, 10.0 + i) for i in range(68)])


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((100, 100, 3), 90, np.uint8))


def faces_300w_lp(root: Path) -> Path:
    scipy_io = pytest.importorskip("scipy.io", reason="writing .mat files needs scipy (extra 'train')")
    for name in ("AFW_1_1_0", "AFW_2_1_0", "AFW_3_1_0"):
        picture(root / "AFW" / f"{name}.jpg")
        scipy_io.savemat(root / "AFW" / f"{name}.mat", {"pt2d": POINTS.T + 1})
    return root / "AFW" / "._AFW_1_1_0.mat"


def faces_ytf(root: Path) -> Path:
    names = [f"Person{i}_0.jpg" for i in range(3)]
    for name in names:
        picture(root / "training" / name)
    rows = [f"{name}," + ",".join(map(str, POINTS.ravel())) for name in names]
    head = "," + ",".join(str(i) for i in range(136))
    (root / "training_frames_keypoints.csv").write_text("\n".join([head, *rows]) + "\n")
    (root / "._training_frames_keypoints.csv").write_bytes(b"\0")
    return root / "training" / "._Person0_0.jpg"


def faces_300vw(root: Path) -> Path:
    rows = "\n".join(f"{x} {y}" for x, y in POINTS + 1)
    for clip in ("001", "002"):
        (root / clip / "annot").mkdir(parents=True)
        (root / clip / "vid.avi").touch()
        (root / clip / "annot" / "000001.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
    (root / ".trash" / "annot").mkdir(parents=True)
    return root / "001" / "annot" / "._000001.pts"


@pytest.mark.parametrize("make", [faces_300w_lp, faces_ytf, faces_300vw])
def test_what_a_mac_leaves_is_no_face(make: object, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert callable(make)
    left: Path = make(tmp_path)
    before = open_faces(tmp_path, "train").ids
    assert not caplog.records
    left.write_bytes(bytes(100))
    assert open_faces(tmp_path, "train").ids == before
    assert f"hidden files: 1 ({left.name})" in caplog.text
