"""300-W folders and .pts files: which files are faces, how they are written, and one error for every damage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from exalign_engine.data import open_faces
from exalign_engine.data.pts import read_pts
from exalign_engine.errors import DataError

if TYPE_CHECKING:
    from toy_faces import MakeShapes


def pts(points: Any) -> str:
    rows = "\n".join(f"{x} {y}" for x, y in points)
    return f"version: 1\nn_points:  {len(points)}\n{{\n{rows}\n}}\n"


@pytest.fixture
def folder_300w(tmp_path: Path, make_shapes: MakeShapes) -> Path:
    """Two faces below test/, 1-based; shapes span pixels 10 to 60 of the 0-based frame."""
    for i, suffix in enumerate((".png", ".JPG")):
        folder = tmp_path / "test" / f"set_{i}"
        folder.mkdir(parents=True)
        (folder / f"face_{i}.pts").write_text(pts(make_shapes(2, 0)[i] * 50 + 11))
        cv2.imwrite(str(folder / f"face_{i}{suffix}"), np.full((70, 80, 3), (0, 0, 200), np.uint8))
    return tmp_path


def test_a_300w_folder_gives_zero_based_points(folder_300w: Path, make_shapes: MakeShapes) -> None:
    faces = open_faces(folder_300w, "test")
    assert list(faces.ids) == ["face_0", "face_1"]
    assert list(faces.origins) == ["set_0", "set_1"]
    np.testing.assert_allclose(faces.landmarks, make_shapes(2, 0) * 50 + 10, atol=1e-9)
    image = faces.image(0)
    assert image.shape == (70, 80, 3)
    assert image[0, 0].tolist() == [200, 0, 0]


GOOD = [(float(i), float(i * i % 7)) for i in range(68)]


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (pts(GOOD[:67]), 71, "67 points where 68"),
        (pts([*GOOD, (1, 1)]), 73, "69 points where 68"),
        (pts([*GOOD[:3], ("nan", 2), *GOOD[4:]]), 7, "not finite"),
        (pts([*GOOD[:3], ("1", "inf"), *GOOD[4:]]), 7, "not finite"),
        (pts([*GOOD[:3], ("left", "eye"), *GOOD[4:]]), 7, "not two numbers"),
        (pts([*GOOD[:3], ("1", "2 3"), *GOOD[4:]]), 7, "not two numbers"),
        (pts([*GOOD[:3], ("1", ""), *GOOD[4:]]), 7, "not two numbers"),
        (pts([(5.0, 5.0)] * 68), 72, "box is empty"),
        (pts(GOOD).removesuffix("}\n"), 71, "no closing brace"),
        ("", 0, "no closing brace"),
    ],
)
def test_damage_in_a_pts_file_is_one_error_that_names_file_and_line(
    tmp_path: Path, content: str, line: int, says: str
) -> None:
    path = tmp_path / "face.pts"
    path.write_text(content)
    with pytest.raises(DataError, match=says) as caught:
        read_pts(path)
    assert caught.value.path == path
    assert caught.value.line == (line or None)


def test_a_pts_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "face.pts").write_bytes(b"\xff\xfe\x81{")
    with pytest.raises(DataError, match=r"face\.pts"):
        read_pts(tmp_path / "face.pts")


def test_a_pts_file_without_an_image_is_refused(folder_300w: Path) -> None:
    (folder_300w / "test" / "set_1" / "face_1.JPG").unlink()
    with pytest.raises(DataError, match=r"face_1\.pts: no image beside it"):
        open_faces(folder_300w, "test")


def test_an_image_beside_a_pts_file_that_cannot_be_decoded_is_named(folder_300w: Path) -> None:
    (folder_300w / "test" / "set_0" / "face_0.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"face_0\.png: cannot be decoded"):
        open_faces(folder_300w, "test").image(0)


# Which files are the data set, and .pts files as people have them


@pytest.mark.parametrize("hidden", ["._face_0.pts", ".face_9.pts", "__MACOSX/._face_0.pts", ".trash/face_9.pts"])
def test_hidden_files_are_no_faces_and_are_said_to_be_left_out(
    folder_300w: Path, caplog: pytest.LogCaptureFixture, hidden: str
) -> None:
    before = open_faces(folder_300w, "test").ids
    caplog.clear()
    path = folder_300w / "test" / "set_0" / hidden
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(100))
    faces = open_faces(folder_300w, "test")
    assert faces.ids == before
    (record,) = caplog.records
    assert f"left out: hidden files: 1 ({path.name})" in record.getMessage()


def test_a_picture_without_an_annotation_is_counted_and_named(
    folder_300w: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(5):
        shutil.copyfile(folder_300w / "test" / "set_0" / "face_0.png", folder_300w / "test" / f"other_{i}.PNG")
    open_faces(folder_300w, "test")
    (record,) = caplog.records
    assert "pictures without an annotation: 5 (other_0.PNG, other_1.PNG, other_2.PNG and 2 more)" in record.getMessage()


def test_where_nothing_is_left_out_nothing_is_said(folder_300w: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_faces(folder_300w, "test")
    assert not caplog.records


def test_a_folder_of_hidden_files_alone_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._a.pts").write_bytes(b"\0")
    (tmp_path / "._training_frames_keypoints.csv").write_bytes(b"\0")
    with pytest.raises(DataError, match="but 1 hidden"):
        open_faces(tmp_path, "train")


@pytest.mark.parametrize(
    ("suffix", "picture"), [(".PTS", ".png"), (".Pts", ".Png"), (".pts", ".Jpg"), (".pts", ".JPEG")]
)
def test_suffixes_may_be_spelled_in_capitals(tmp_path: Path, suffix: str, picture: str) -> None:
    (tmp_path / f"a{suffix}").write_text(pts(GOOD))
    kind = ".png" if picture.lower() == ".png" else ".jpg"
    (tmp_path / f"a{picture}").write_bytes(cv2.imencode(kind, np.zeros((200, 200, 3), np.uint8))[1].tobytes())
    faces = open_faces(tmp_path, "train")
    assert faces.ids == ["a"]
    assert faces.image(0).shape == (200, 200, 3)


ROWS = "\n".join(f"{x} {y}" for x, y in GOOD)


@pytest.mark.parametrize(
    "data",
    [
        f"version: 1\nn_points: 68 {{\n{ROWS}\n}}\n".encode(),
        f"version: 1\r\nn_points: 68\r\n{{\r\n{ROWS}\r\n}}".encode(),
        f"\ufeffversion: 1\nn_points: 68\n{{\n{ROWS}\n}}\n".encode(),
        f"version: 1\nn_points: 68\n{{\n{ROWS}\n}}\n".encode("utf-16"),
        f"// a face {{\n# of mine\nversion: 1 % here\n{{ // 68\n\n{ROWS} ; the last\n}} # end\n".encode(),
        f"n_points: 68\n{{ {ROWS} }}\n".encode(),
    ],
    ids=["one line", "CRLF", "byte order mark", "UTF-16", "comments", "braces beside points"],
)
def test_a_pts_file_is_read_as_people_have_it(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.pts"
    path.write_bytes(data)
    np.testing.assert_allclose(read_pts(path), np.array(GOOD, dtype=np.float64) - 1.0)


def test_points_that_all_lie_outside_their_picture_are_refused_with_the_reason(folder_300w: Path) -> None:
    path = folder_300w / "test" / "set_0" / "face_0.pts"
    path.write_text(pts([(x + 1000.0, y) for x, y in GOOD]))
    with pytest.raises(DataError, match=r"all points .* lie outside their picture face_0\.png") as caught:
        open_faces(folder_300w, "test")
    assert caught.value.path == path


def test_points_outside_of_the_upright_picture_are_refused_when_it_is_read(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (400, 100)).save(tmp_path / "a.jpg", exif=exif)  # 100 wide and 400 high, upright
    (tmp_path / "a.pts").write_text(pts([(x + 200.0, y) for x, y in GOOD]))
    faces = open_faces(tmp_path, "train")
    with pytest.raises(DataError, match=r"a\.pts: all points .* outside their picture a\.jpg, 100 × 400 pixels"):
        faces.image(0)


def test_one_point_inside_is_enough(folder_300w: Path) -> None:
    shifted = [(x + 1000.0, y) for x, y in GOOD[:-1]] + [(20.0, 20.0)]
    (folder_300w / "test" / "set_0" / "face_0.pts").write_text(pts(shifted))
    open_faces(folder_300w, "test").image(0)
