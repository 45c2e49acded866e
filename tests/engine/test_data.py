"""Readers of annotated faces: right answers, and one error with file and line for every damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from exalign_engine.data import box_frame_shapes, open_faces
from exalign_engine.data.prepared import annotated_photos
from exalign_engine.errors import DataError

if TYPE_CHECKING:
    from toy_faces import MakePrepared

SPLITS = ("train", "val", "train", "test")


@pytest.fixture
def prepared(tmp_path: Path, make_prepared: MakePrepared) -> Path:
    make_prepared(tmp_path / "data", SPLITS)
    return tmp_path / "data"


def rewrite(name: str, **change: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Damage: replace arrays of an .npz (or the one array "array" of an .npy)."""

    def damage(folder: Path) -> None:
        path = folder / name
        if path.suffix == ".npy":
            np.save(path, change["array"](np.load(path)))
            return
        with np.load(path) as z:
            arrays = {k: change.get(k, lambda a: a)(z[k]) for k in z.files}
        np.savez(path, **{k: a for k, a in arrays.items() if a is not None})

    return damage


def text(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Damage: replace a piece of a text file."""

    def damage(folder: Path) -> None:
        before = (folder / name).read_text()
        assert old in before
        (folder / name).write_text(before.replace(old, new, 1))

    return damage


def write(name: str, data: bytes) -> Callable[[Path], object]:
    """Damage: other bytes in a file."""
    return lambda folder: (folder / name).write_bytes(data)


def cut(name: str, share: float) -> Callable[[Path], None]:
    """Damage: a file that stops early."""

    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * share)])

    return damage


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def poke(row: int, point: Any, value: Any) -> Callable[[Path], None]:
    """Damage: other numbers in landmarks.npy."""

    def change(a: Any) -> Any:
        a[(row, *point) if isinstance(point, tuple) else (row, point)] = value
        return a

    return rewrite("landmarks.npy", array=change)


def test_the_prepared_format_gives_the_rows_of_one_split(tmp_path: Path, make_prepared: MakePrepared) -> None:
    landmarks = make_prepared(tmp_path, SPLITS)
    faces = open_faces(tmp_path, "train")
    assert len(faces) == 2
    assert list(faces.ids) == ["face_0", "face_2"]
    assert list(faces.origins) == ["a", "a"]
    assert faces.landmarks.dtype == np.float64
    np.testing.assert_array_equal(faces.landmarks, landmarks[[0, 2]])
    with np.load(tmp_path / "faces.npz") as z:
        stream = z["jpeg"][z["offset"][2] : z["offset"][3]]
    expected = cv2.cvtColor(cv2.imdecode(stream, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(faces.image(1), expected)


@pytest.mark.parametrize(
    ("damage", "file", "line", "says"),
    [
        (poke(2, 5, np.nan), "index.csv", 4, "point 5"),
        (poke(0, (5, 1), np.inf), "index.csv", 2, "not finite"),
        (poke(2, slice(None), 7.0), "index.csv", 4, "box is empty"),
        (poke(0, (slice(None), 1), 7.0), "index.csv", 2, "box is empty"),
        (rewrite("landmarks.npy", array=lambda a: a[:, :67]), "index.csv", 2, "67 points where 68"),
        (rewrite("landmarks.npy", array=lambda a: np.pad(a, ((0, 0), (0, 0), (0, 1)))), "index.csv", 2, "68, 3"),
        (rewrite("landmarks.npy", array=lambda a: a[:3]), "landmarks.npy", None, "3 shapes for 4 rows"),
        (rewrite("landmarks.npy", array=lambda a: a[0, 0, 0]), "landmarks.npy", None, "shape"),
        (rewrite("landmarks.npy", array=lambda a: a.astype(str)), "landmarks.npy", None, "<U32"),
        (remove("landmarks.npy"), "landmarks.npy", None, "no such file"),
        (write("landmarks.npy", b""), "landmarks.npy", None, "not a NumPy array"),
        (write("landmarks.npy", b"hello"), "landmarks.npy", None, "not a NumPy array"),
        (cut("landmarks.npy", 0.5), "landmarks.npy", None, "not a NumPy array"),
        (remove("faces.npz"), "faces.npz", None, "no such file"),
        (write("faces.npz", b"hello"), "faces.npz", None, "cannot be read"),
        (write("faces.npz", b""), "faces.npz", None, "cannot be read"),
        (cut("faces.npz", 0.5), "faces.npz", None, "cannot be read"),
        (rewrite("faces.npz", offset=lambda a: None), "faces.npz", None, "no array 'offset'"),
        (rewrite("faces.npz", jpeg=lambda a: None), "faces.npz", None, "no array 'jpeg'"),
        (rewrite("faces.npz", offset=lambda a: a[:-1]), "faces.npz", None, "offset has shape (4,)"),
        (rewrite("faces.npz", offset=lambda a: a * 0.5), "faces.npz", None, "float64"),
        (rewrite("faces.npz", jpeg=lambda a: a.astype(np.float32)), "faces.npz", None, "float32"),
        (text("index.csv", "split", "spilt"), "index.csv", 1, "no column 'split'"),
        (text("index.csv", "id", "name"), "index.csv", 1, "no column 'id'"),
        (text("index.csv", "0,face_0,a,train", "0,face_0"), "index.csv", 2, "source"),
        (write("index.csv", b""), "index.csv", 1, "no column"),
        (write("index.csv", b"\xff\xfe\x00id"), "index.csv", None, "not text"),
    ],
)
def test_damage_in_the_prepared_format_is_one_error_that_names_file_and_line(
    prepared: Path, damage: Callable[[Path], object], file: str, line: int | None, says: str
) -> None:
    damage(prepared)
    with pytest.raises(DataError) as caught:
        open_faces(prepared, "train")
    assert caught.value.path == prepared / file
    assert caught.value.line == line
    assert says in caught.value.problem
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        rewrite("faces.npz", offset=lambda a: a * 0),
        rewrite("faces.npz", offset=lambda a: a + 10**9),
        rewrite("faces.npz", jpeg=lambda a: a * 0),
    ],
)
def test_an_image_that_is_not_there_is_an_error_when_it_is_read(prepared: Path, damage: Callable[[Path], None]) -> None:
    damage(prepared)
    with pytest.raises(DataError, match=r"faces\.npz: image of row 2 is missing"):
        open_faces(prepared, "train").image(1)


def test_damage_in_another_split_does_not_matter(prepared: Path) -> None:
    poke(3, 0, np.nan)(prepared)
    assert len(open_faces(prepared, "train")) == 2


@pytest.mark.parametrize("splits", [("train",), ()])
def test_an_unknown_split_is_named_beside_the_known_ones(
    tmp_path: Path, make_prepared: MakePrepared, splits: tuple[str, ...]
) -> None:
    make_prepared(tmp_path, ["train"])
    if not splits:
        (tmp_path / "index.csv").write_text("row,id,source,split\n")
        np.save(tmp_path / "landmarks.npy", np.zeros((0, 68, 2)))
    with pytest.raises(DataError, match="no row of split 'tset'; there are " + (splits[0] if splits else "no rows")):
        open_faces(tmp_path, "tset")


@pytest.mark.parametrize(("name", "says"), [("missing", "no such folder"), (".", "neither the prepared format")])
def test_a_folder_without_faces_is_refused(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        open_faces(tmp_path / name, "train")


def test_the_real_faces_open_with_the_documented_counts(data_folder: Path) -> None:
    for split, n in (("train", 4217), ("val", 608), ("test", 760)):
        faces = open_faces(data_folder, split)
        assert len(faces) == len(faces.ids) == len(faces.origins) == n
        shapes = box_frame_shapes(faces.landmarks)
        assert (np.abs(shapes - 0.5).max(axis=(1, 2)) <= 0.5 + 1e-9).all()
        assert faces.image(n - 1).shape == (160, 160, 3)


GOOD = [(float(i), float(i * i % 7)) for i in range(68)]


# frames/frames.json


def listing(**change: Any) -> list[dict[str, Any]]:
    face = {"id": "f", "landmarks": GOOD}
    return [{"file": "a.jpg", "source": "s", "split": "test", "faces": [face, face], **change}]


def write_listing(folder: Path, value: Any) -> Path:
    path = folder / "frames" / "frames.json"
    path.parent.mkdir()
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_photos_come_with_all_their_faces(tmp_path: Path) -> None:
    path = write_listing(tmp_path, listing() + listing(split="val"))
    (path.parent / "a.jpg").write_bytes(b"jpeg")
    (photo,) = annotated_photos(tmp_path, "test")
    assert photo.ids == ("f", "f")
    assert photo.origin == "s"
    np.testing.assert_array_equal(photo.landmarks, [GOOD, GOOD])
    assert photo.encoded() == b"jpeg"
    photo.path.unlink()
    with pytest.raises(DataError, match=r"a\.jpg: no such file"):
        photo.encoded()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (listing(split="val"), "no photo of split 'test'"),
        (listing(faces=[{"id": "f", "landmarks": GOOD[:5]}]), "5 points where 68"),
        (listing(faces=[{"id": "f", "landmarks": [*GOOD[:67], (float("nan"), 1)]}]), "point 67"),
        (listing(faces=[{"id": "f", "landmarks": [*GOOD[:67], (1,)]}]), "landmarks"),
        (listing(faces=[{"id": "f", "landmarks": "none"}]), "landmarks"),
        (listing(faces=[{"id": "f"}]), "landmarks"),
        (listing(faces=[]), "a.jpg"),
        ([{"file": "a.jpg", "source": "s", "faces": []}], "split"),
        ({"file": "a.jpg"}, "list"),
        ("[{", "not JSON"),
    ],
)
def test_damage_in_the_list_of_photos_is_one_error_that_names_it(tmp_path: Path, value: Any, says: str) -> None:
    path = write_listing(tmp_path, value)
    with pytest.raises(DataError) as caught:
        annotated_photos(tmp_path, "test")
    assert caught.value.path == path
    assert says in caught.value.problem


def test_a_missing_list_of_photos_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"frames\.json: no such file"):
        annotated_photos(tmp_path, "test")
