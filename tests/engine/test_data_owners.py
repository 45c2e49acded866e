"""Data sets as their owners distribute them: what is read, and one error that names the place for every damage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.data import open_faces
from exalign_engine.data.annotated_videos import CATEGORIES, FrameReader, open_clips
from exalign_engine.data.holdout import held_out
from exalign_engine.data.keypoints_csv import person
from exalign_engine.data.mat import face_of
from exalign_engine.errors import DataError
from made_clips import break_packet, packets_of

scipy_io = pytest.importorskip("scipy.io", reason="scipy writes the .mat files of these tests")

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

Damage = Callable[[Path], object]


def shape(seed: int = 0) -> F64:
    """(68, 2) 0-based pixels of a 60 × 80 picture, no two alike."""
    return np.random.default_rng(seed).uniform(5, 55, (68, 2)).round(2)


def picture(red: int = 200) -> U8:
    return np.full((60, 80, 3), (0, 0, red), np.uint8)


def fails(root: Path, split: str, file: Path, line: int | None, says: str, read: bool = False) -> None:
    """Opening the faces (``read``: reading their first image) raises one line that names file and line."""
    with pytest.raises(DataError) as caught:
        open_faces(root, split) if not read else open_faces(root, split).image(0)
    assert caught.value.path == file
    assert caught.value.line == line
    assert says in caught.value.problem
    assert "\n" not in str(caught.value)


# A tenth held out


def test_the_tenth_that_is_held_out_depends_on_names_alone(tmp_path: Path) -> None:
    names = [f"person_{i}" for i in range(31)]
    kept = held_out(names, tmp_path)
    assert len(kept) == 4
    assert held_out(reversed(names * 2), tmp_path) == kept
    assert kept < set(names)


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_faces_that_all_belong_together_are_not_divided(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(DataError, match="train and val need one each"):
        held_out(names, tmp_path)


# 300W-LP


def write_mat(path: Path, points: F64, **more: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy_io.savemat(path, {"pt2d": points, "Pose_Para": np.zeros((1, 7)), **more})


@pytest.fixture
def folder_lp(tmp_path: Path) -> Path:
    """Three faces in two poses each, with the folders that come beside them."""
    for i, (folder, face) in enumerate((("AFW", "AFW_1_1"), ("HELEN", "HELEN_2_1"), ("HELEN", "HELEN_3_2"))):
        for pose in (0, 1):
            stem = tmp_path / folder / f"{face}_{pose}"
            write_mat(stem.with_suffix(".mat"), (shape(2 * i + pose) + 1).T)
            cv2.imwrite(str(stem.with_suffix(".jpg")), picture())
    write_mat(tmp_path / "landmarks" / "AFW" / "AFW_1_1_0_pts.mat", shape())
    write_mat(tmp_path / "AFW_Flip" / "AFW_1_1_0.mat", shape().T)
    write_mat(tmp_path / "Code" / "Model.mat", shape())
    return tmp_path


def test_300w_lp_gives_zero_based_points_and_leaves_flips_and_code_out(folder_lp: Path) -> None:
    train, val = open_faces(folder_lp, "train"), open_faces(folder_lp, "val")
    assert (len(train), len(val)) == (4, 2)
    # Both poses of a face are on one side.
    assert not {face_of(Path(i)) for i in train.ids} & {face_of(Path(i)) for i in val.ids}
    ids = [*train.ids, *val.ids]
    assert sorted(ids) == ["AFW_1_1_0", "AFW_1_1_1", "HELEN_2_1_0", "HELEN_2_1_1", "HELEN_3_2_0", "HELEN_3_2_1"]
    at = ids.index("HELEN_2_1_1")
    points = np.concatenate([train.landmarks, val.landmarks])
    np.testing.assert_allclose(points[at], shape(3), atol=1e-9)
    assert [*train.origins, *val.origins][at] == "HELEN"
    assert train.image(0).shape == (60, 80, 3)
    assert train.image(0)[0, 0, 0] > 190


def test_300w_lp_in_folders_named_by_split_is_taken_whole(folder_lp: Path) -> None:
    for split, name in (("train", "AFW"), ("val", "HELEN")):
        (folder_lp / split).mkdir()
        (folder_lp / name).rename(folder_lp / split / name)
    assert len(open_faces(folder_lp, "train")) == 2
    assert len(open_faces(folder_lp, "val")) == 4


def test_300w_lp_has_no_test_split(folder_lp: Path) -> None:
    fails(folder_lp, "test", folder_lp, None, "no split 'test'; there are train and val")


def mat_cut(share: float) -> Damage:
    def damage(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])

    return damage


def mat_with(points: object) -> Damage:
    return lambda path: scipy_io.savemat(path, {"pt2d": points})


def nan_point(path: Path) -> None:
    points = shape().T.copy()
    points[1, 5] = np.nan
    scipy_io.savemat(path, {"pt2d": points})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(b""), "not a MATLAB file"),
        (lambda path: path.write_bytes(b"hello" * 100), "not a MATLAB file"),
        (lambda path: path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF"), "MATLAB 7.3"),
        (mat_cut(0.5), "not a MATLAB file, or cut off"),
        (lambda path: scipy_io.savemat(path, {"pt3d": shape()}), "no variable 'pt2d'"),
        (mat_with(shape()), "has shape (68, 2)"),
        (mat_with(shape().T[:, :21]), "has shape (2, 21)"),
        (mat_with("none"), "dtype <U4"),
        (nan_point, "point 5"),
        (mat_with(np.ones((2, 68))), "box is empty"),
        (lambda path: path.with_suffix(".jpg").unlink(), "no image beside it"),
    ],
)
def test_damage_in_300w_lp_is_one_error_that_names_the_file(folder_lp: Path, damage: Damage, says: str) -> None:
    (folder_lp / "train").mkdir()
    (folder_lp / "AFW").rename(folder_lp / "train" / "AFW")
    path = folder_lp / "train" / "AFW" / "AFW_1_1_0.mat"
    damage(path)
    fails(folder_lp, "train", path, None, says)


@pytest.mark.parametrize("share", np.linspace(0.02, 0.98, 25))
@pytest.mark.parametrize("compressed", [False, True])
def test_a_mat_file_cut_anywhere_is_refused_or_read_whole(tmp_path: Path, share: float, compressed: bool) -> None:
    path = tmp_path / "train" / "a_1.mat"
    path.parent.mkdir()
    scipy_io.savemat(path, {"pt2d": shape().T + 1, "tail": np.zeros(200)}, do_compression=compressed)
    cv2.imwrite(str(path.with_suffix(".jpg")), picture())
    mat_cut(share)(path)
    found: F64 | None = None
    with contextlib.suppress(DataError):  # anything else is a failure
        found = open_faces(tmp_path, "train").landmarks[0]
    if found is not None:
        np.testing.assert_allclose(found, shape(), atol=1e-9)


def test_an_image_of_300w_lp_that_cannot_be_decoded_is_named(folder_lp: Path) -> None:
    for image in folder_lp.rglob("*.jpg"):
        image.write_bytes(b"not a picture")
    faces = open_faces(folder_lp, "val")
    with pytest.raises(DataError, match=rf"{faces.ids[0]}\.jpg: cannot be decoded"):
        faces.image(0)


# YouTube Faces


def table(rows: dict[str, F64]) -> str:
    head = "," + ",".join(str(i) for i in range(136))
    return "\n".join([head, *(f"{name}," + ",".join(map(str, p.ravel())) for name, p in rows.items())]) + "\n"


PEOPLE = {f"Person_{i // 2}_{i % 2}1.jpg": shape(i) for i in range(6)}


@pytest.fixture
def folder_ytf(tmp_path: Path) -> Path:
    for name, rows in (("training", PEOPLE), ("test", {"Other_One_02.jpg": shape(9)})):
        (tmp_path / f"{name}_frames_keypoints.csv").write_text(table(rows))
        (tmp_path / name).mkdir()
        for image in rows:
            cv2.imwrite(str(tmp_path / name / image), picture())
    return tmp_path


def test_a_table_of_frames_is_divided_by_persons(folder_ytf: Path) -> None:
    train, val, test = (open_faces(folder_ytf, split) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (4, 2, 1)
    assert not {person(i) for i in train.ids} & {person(i) for i in val.ids}
    for faces in (train, val):
        for name, points in zip(faces.ids, faces.landmarks, strict=True):
            np.testing.assert_array_equal(points, PEOPLE[f"{name}.jpg"])
    assert list(test.ids) == ["Other_One_02"]
    assert list(test.origins) == ["ytf"]
    assert test.image(0).shape == (60, 80, 3)


def edited(old: str, new: str) -> Damage:
    def damage(root: Path) -> None:
        path = root / "training_frames_keypoints.csv"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return damage


FIRST = f"{shape(0)[0, 0]}"


@pytest.mark.parametrize(
    ("damage", "line", "says"),
    [
        (edited("\nPerson_0_01.jpg,", "\nPerson_0_01.jpg,7,"), 2, "138 columns where 137"),
        (edited(f",{FIRST},", ","), 2, "136 columns where 137"),
        (edited(",134,135\n", ",134\n"), 1, "136 columns where 137"),
        (edited(f",{FIRST},", ",left,"), 2, "'left' in column 2 is not a number"),
        (edited(f",{FIRST},", ",nan,"), 2, "point 0"),
        (edited(",".join(map(str, shape(0).ravel())), ",".join(["3.0"] * 136)), 2, "box is empty"),
        (edited("Person_1_01", "Nobody_1_01"), 4, "there is no image"),
        (edited("Person_1_01.jpg", ""), 4, "there is no image"),
        (lambda root: (root / "training" / "Person_2_11.jpg").unlink(), 7, "there is no image"),
        (lambda root: (root / "training_frames_keypoints.csv").write_text(table({})), None, "has no rows"),
        (lambda root: (root / "training_frames_keypoints.csv").write_bytes(b""), None, "has no rows"),
        (lambda root: (root / "training_frames_keypoints.csv").write_bytes(b"\xff\xfe\x00"), None, "not text"),
        (lambda root: (root / "training_frames_keypoints.csv").unlink(), None, "no such file"),
        (lambda root: [edited(f"Person_{i}_", "Same_0_")(root) for i in (0, 1, 2) for _ in "12"], 2, "no image"),
    ],
)
def test_damage_in_a_table_of_frames_is_one_error_that_names_its_line(
    folder_ytf: Path, damage: Damage, line: int | None, says: str
) -> None:
    damage(folder_ytf)
    fails(folder_ytf, "train", folder_ytf / "training_frames_keypoints.csv", line, says)


def test_one_person_alone_cannot_be_divided(folder_ytf: Path) -> None:
    path = folder_ytf / "training_frames_keypoints.csv"
    path.write_text(table({k: v for k, v in PEOPLE.items() if "_0_" in k}))
    fails(folder_ytf, "val", path, None, "train and val need one each")


def test_a_table_of_frames_has_three_splits(folder_ytf: Path) -> None:
    fails(folder_ytf, "tset", folder_ytf, None, "no split 'tset'; there are train, val and test")


def test_a_frame_that_cannot_be_decoded_is_named(folder_ytf: Path) -> None:
    (folder_ytf / "test" / "Other_One_02.jpg").write_bytes(b"not a picture")
    fails(folder_ytf, "test", folder_ytf / "test" / "Other_One_02.jpg", None, "cannot be decoded", read=True)


# 300VW


def pts(points: F64) -> str:
    rows = "\n".join(f"{x} {y}" for x, y in points + 1)
    return f"version: 1\nn_points:  68\n{{\n{rows}\n}}\n"


def write_clip(folder: Path, frames: int, seed: int = 0) -> None:
    """A clip whose frame n (from 1) is grey of 10 n, with a shape a frame."""
    (folder / "annot").mkdir(parents=True)
    video = cv2.VideoWriter(str(folder / "vid.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (80, 60))
    for n in range(1, frames + 1):
        video.write(np.full((60, 80, 3), 10 * n, np.uint8))
        (folder / "annot" / f"{n:06d}.pts").write_text(pts(shape(seed + n)))
    video.release()


@pytest.fixture
def folder_vw(tmp_path: Path) -> Path:
    """Two clips to train on, one of category 1 and one of category 3."""
    for i, (name, frames) in enumerate((("001", 21), ("002", 11), ("114", 3), ("410", 2))):
        write_clip(tmp_path / name, frames, 100 * i)
    return tmp_path


def test_the_lists_are_those_of_the_benchmark() -> None:
    assert [len(CATEGORIES[c]) for c in (1, 2, 3)] == [31, 19, 14]
    assert len(frozenset.union(*CATEGORIES.values())) == 64


def test_300vw_tests_on_every_frame_and_trains_on_every_tenth(folder_vw: Path) -> None:
    test = open_faces(folder_vw, "test")
    assert list(test.ids) == ["114_000001", "114_000002", "114_000003", "410_000001", "410_000002"]
    assert list(test.origins) == ["300vw-1"] * 3 + ["300vw-3"] * 2
    np.testing.assert_allclose(test.landmarks[2], shape(203), atol=1e-9)
    train, val = open_faces(folder_vw, "train"), open_faces(folder_vw, "val")
    clips = {"001": ["001_000001", "001_000011", "001_000021"], "002": ["002_000001", "002_000011"]}
    assert sorted([*train.ids, *val.ids]) == clips["001"] + clips["002"]
    assert list(train.ids) in clips.values()
    assert set(train.origins) == {"300vw"}


def test_a_frame_is_that_of_its_number_in_whatever_order_they_are_asked_for(folder_vw: Path) -> None:
    faces = open_faces(folder_vw, "test")
    for i in (2, 0, 4, 1, 1, 3):
        grey = faces.image(i)
        assert grey.shape == (60, 80, 3)
        assert abs(float(grey.mean()) - 10 * int(faces.ids[i][-1])) < 3
    with FrameReader(folder_vw / "001" / "vid.avi") as reader:
        assert [round(float(reader.frame(n).mean()) / 10) for n in (5, 21, 2, 3)] == [5, 21, 2, 3]


def test_a_broken_frame_is_named_and_those_behind_it_keep_their_numbers(folder_vw: Path) -> None:
    path = folder_vw / "001" / "vid.avi"
    break_packet(path, 4)
    with FrameReader(path) as reader:
        assert [round(float(reader.frame(n).mean()) / 10) for n in (4, 6, 21)] == [4, 6, 21]
        with pytest.raises(DataError, match=r"vid\.avi: frame 5 cannot be decoded"):
            reader.frame(5)


def test_a_video_that_is_cut_off_says_so_where_a_frame_is_missing(folder_vw: Path) -> None:
    path = folder_vw / "114" / "vid.avi"
    at, _, _ = packets_of(path)[2]
    path.write_bytes(path.read_bytes()[:at])
    with FrameReader(path) as reader, pytest.raises(DataError, match=r"ends after frame 2, .*\(is cut off: "):
        reader.frame(3)


def test_a_clip_gives_its_annotated_frames_in_order(folder_vw: Path) -> None:
    (folder_vw / "114" / "annot" / "000002.pts").unlink()
    clip = next(c for c in open_clips(folder_vw) if c.name == "114")
    assert (clip.category, clip.numbers) == (1, (1, 3))
    seen = list(clip.frames())
    np.testing.assert_allclose([points for points, _ in seen], [shape(201), shape(203)], atol=1e-9)
    assert [round(float(image.mean()) / 10) for _, image in seen] == [1, 3]


@pytest.mark.parametrize(
    ("damage", "file", "line", "says"),
    [
        (lambda clip: (clip / "vid.avi").unlink(), "vid.avi", None, "no such file"),
        (lambda clip: [f.unlink() for f in (clip / "annot").iterdir()], "annot", None, "no .pts file"),
        (lambda clip: (clip / "annot" / "a.pts").write_text("x"), "annot/a.pts", None, "not named by a frame's number"),
        (lambda clip: (clip / "annot" / "000000.pts").write_text("x"), "annot/000000.pts", None, "not named"),
        (lambda clip: (clip / "annot" / "000002.pts").write_text("{\n1 2\n}"), "annot/000002.pts", 3, "1 points"),
        (lambda clip: (clip / "annot" / "000002.pts").write_text("{\n1 x\n}"), "annot/000002.pts", 2, "two numbers"),
        (lambda clip: (clip / "annot" / "000002.pts").write_text("{\n1 2"), "annot/000002.pts", 2, "no closing brace"),
    ],
)
def test_damage_in_300vw_is_one_error_that_names_its_place(
    folder_vw: Path, damage: Damage, file: str, line: int | None, says: str
) -> None:
    damage(folder_vw / "114")
    fails(folder_vw, "test", folder_vw / "114" / file, line, says)


@pytest.mark.parametrize(
    ("data", "says"), [(b"", "cannot be opened as a video"), (b"not a video" * 99, "cannot be opened as a video")]
)
def test_a_video_that_cannot_be_opened_is_named(folder_vw: Path, data: bytes, says: str) -> None:
    path = folder_vw / "114" / "vid.avi"
    path.write_bytes(data)
    fails(folder_vw, "test", path, None, says, read=True)


def test_a_video_that_ends_before_its_annotations_is_named(folder_vw: Path) -> None:
    (folder_vw / "114" / "annot" / "000009.pts").write_text(pts(shape()))
    faces = open_faces(folder_vw, "test")
    with pytest.raises(DataError, match=r"114/vid\.avi: ends after frame 3, frame 9 is annotated"):
        faces.image(3)


@pytest.mark.parametrize(
    ("keep", "split", "says"),
    [
        (("001", "002"), "test", "no clip of split 'test'"),
        (("114",), "train", "train and val need one each"),
        (("114",), "tset", "no split 'tset'"),
    ],
)
def test_a_split_of_300vw_that_is_not_there_is_refused(
    tmp_path: Path, keep: tuple[str, ...], split: str, says: str
) -> None:
    for name in keep:
        write_clip(tmp_path / name, 1)
    fails(tmp_path, split, tmp_path, None, says)


def test_a_folder_without_clips_has_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no clip"):
        open_clips(tmp_path)
