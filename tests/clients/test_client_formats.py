"""Files of other tools: where each has its half pixel and its visibility, that nothing is lost, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from exalign_client.commands.cli import main
from exalign_client.formats import (
    FORMATS,
    FormatError,
    LabelledFace,
    LabelledPicture,
    checked_face,
    format_of,
    in_layout,
    labeling_config,
    oks_sigmas,
    point_names,
)
from fake_server import FakeService

#: Formats that hold one face a file, or have no size.
WITHOUT_VISIBILITY, WITHOUT_SIZE = ("pts",), ("pts",)


def face(seed: int = 0, track_id: int | None = None, points: int = 68) -> LabelledFace:
    """A face of random points, of every visibility; sixteenths of a pixel are exact in every file."""
    rng = np.random.default_rng(seed)
    xy = np.round(rng.uniform(10, 90, (points, 2)), 2)
    seen = np.array([2, 1, 2, 2, 1] * 14)[:points]
    box = np.array([5.0, 6.0, 95.0, 93.0])
    return LabelledFace(xy, seen.astype(np.uint8), box, 0.75, track_id, np.tile(np.eye(2), (points, 1, 1)))


def pictures(tracked: bool = False) -> list[LabelledPicture]:
    if tracked:  # the second track is not in frame 1
        frames = [(face(0, 1), face(1, 2)), (face(2, 1),), (face(3, 1), face(4, 2))]
        return [LabelledPicture("clip.mp4", (100, 96), faces, n, n / 25) for n, faces in enumerate(frames)]
    return [
        LabelledPicture("a.jpg", (100, 96), (face(0), face(1))),
        LabelledPicture("b.jpg", (120, 100), (face(2),)),
    ]


def out_of(name: str, folder: Path) -> Path:
    return folder / ("files" if name == "pts" else f"out{FORMATS[name].suffixes[0]}")


def faces_of(found: Sequence[LabelledPicture]) -> list[LabelledFace]:
    return [one for picture in found for one in picture.faces]


@pytest.mark.parametrize("points", [68, 66, 51, 5])
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_again(name: str, points: int, tmp_path: Path) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    tracked, out = name == "cvat-video", out_of(name, tmp_path)
    given = [in_layout(picture, points) for picture in pictures(tracked)]
    FORMATS[name].write(given, out)
    assert format_of(out) is FORMATS[name]
    found = FORMATS[name].read(out)
    assert len(faces_of(found)) == len(faces_of(given))
    for before, after in zip(faces_of(given), faces_of(found), strict=True):
        np.testing.assert_allclose(after.points, before.points, atol=0.0101)
        if name not in WITHOUT_VISIBILITY:
            np.testing.assert_array_equal(after.visibility, before.visibility)
        if tracked:
            assert after.track_id == before.track_id
    if name not in WITHOUT_SIZE:
        assert [picture.size for picture in found] == [picture.size for picture in given]


def one_pixel(name: str, folder: Path, size: tuple[int, int] = (200, 100)) -> Path:
    """A file about a face whose first point is the centre of the top-left pixel."""
    xy = face().points.copy()
    xy[0] = 0
    out = out_of(name, folder)
    one = LabelledFace(xy, face().visibility, np.array([0.0, 0.0, 99.0, 49.0]), 0.75, 1)
    FORMATS[name].write([LabelledPicture("a.jpg", size, (one,), 0 if name == "cvat-video" else None)], out)
    return out


def test_pts_begins_with_pixel_one(tmp_path: Path) -> None:
    lines = (one_pixel("pts", tmp_path) / "a.pts").read_text().splitlines()
    assert lines[:4] == ["version: 1", "n_points: 68", "{", "1.000 1.000"]


def test_coco_counts_pixels_and_measures_boxes(tmp_path: Path) -> None:
    (found,) = json.loads(one_pixel("coco", tmp_path).read_text())["annotations"]
    assert found["keypoints"][:3] == [0, 0, 2]
    assert found["bbox"] == [0.5, 0.5, 99, 49]
    assert (found["area"], found["num_keypoints"]) == (99 * 49, 68)


@pytest.mark.parametrize("name", ["cvat-images", "cvat-video"])
def test_cvat_measures_from_the_corner(name: str, tmp_path: Path) -> None:
    points = next(ET.parse(one_pixel(name, tmp_path)).iter("points"))
    assert (points.get("label"), points.get("points")) == ("jaw_0", "0.50,0.50")


@pytest.mark.parametrize("whose", ["task", "job"])
def test_the_size_of_cvats_video_is_found_in_a_task_and_beside_a_job(whose: str, tmp_path: Path) -> None:
    out = one_pixel("cvat-video", tmp_path)
    root = ET.parse(out).getroot()
    meta = next(root.iter("meta"))
    (task,) = meta
    task.tag = whose
    if whose == "job":  # as CVAT writes a job: its size stands behind it, and it has neither name nor source
        for tag in ("name", "source", "original_size"):
            (found,) = task.findall(tag)
            task.remove(found)
        meta.append(found)
    out.write_bytes(ET.tostring(root))
    assert [picture.size for picture in FORMATS["cvat-video"].read(out)] == [(200, 100)]


def test_label_studio_has_percent_of_what_is_measured_from_the_corner(tmp_path: Path) -> None:
    (task,) = json.loads(one_pixel("label-studio", tmp_path).read_text())
    box, point = task["predictions"][0]["result"][:2]
    assert (point["value"]["x"], point["value"]["y"]) == (0.25, 0.5)
    assert (box["value"]["x"], box["value"]["width"], box["value"]["height"]) == (0.25, 49.5, 49.0)
    assert point["parentID"] == box["id"]


def test_openface_has_its_columns_and_frames_from_one(tmp_path: Path) -> None:
    head, row = one_pixel("openface", tmp_path).read_text().splitlines()
    assert head.startswith("frame,face_id,timestamp,confidence,success,x_0,x_1,")
    assert row.startswith("1,1,,0.75,1,0.000,")


def test_visibility_is_what_the_confidence_and_the_track_say(service: FakeService, picture: Path) -> None:
    out = picture.with_name("faces.json")
    assert main(["predict", str(picture), "--server", service.address, "--format", "coco", "--out", str(out)]) == 0
    content = json.loads(out.read_text())
    rows = np.array(content["annotations"][0]["keypoints"]).reshape(68, 3)
    # The fake server's confidences rise from 0 to 1 over the landmarks.
    assert (np.diff(rows[:, 2]) >= 0).all()
    assert set(rows[:, 2]) == {1, 2}
    assert content["images"][0]["file_name"] == picture.name
    assert content["categories"][0]["keypoints"] == list(point_names(68))
    assert len(oks_sigmas()) == 68


def test_a_track_is_ended_where_it_is_not(tmp_path: Path) -> None:
    out = out_of("cvat-video", tmp_path)
    FORMATS["cvat-video"].write(pictures(tracked=True), out)
    second = ET.parse(out).findall("track")[1]
    states = [(s.get("frame"), {p.get("outside") for p in s}) for s in second.findall("skeleton")]
    assert states == [("0", {"0"}), ("1", {"1"}), ("2", {"0"})]


def test_derived_points_are_where_they_belong() -> None:
    before = pictures()[0]
    five, inner = in_layout(before, 5).faces[0], in_layout(before, 51).faces[0]
    np.testing.assert_allclose(five.points[0], before.faces[0].points[36:42].mean(axis=0))
    np.testing.assert_array_equal(five.points[2:], before.faces[0].points[[30, 48, 54]])
    np.testing.assert_array_equal(inner.points, before.faces[0].points[17:])
    assert five.covariances is None
    assert inner.covariances is not None
    assert {"inner_lip_0", "inner_lip_4"} == set(point_names(68)) - set(point_names(66))
    with pytest.raises(FormatError, match="cannot be turned"):
        in_layout(in_layout(before, 5), 68)


@pytest.mark.parametrize("name", ["coco", "cvat-images", "label-studio", "openface"])
def test_an_absent_point_stays_absent(name: str, tmp_path: Path) -> None:
    xy, seen = face().points.copy(), face().visibility.copy()
    xy[3], seen[3] = np.nan, 0
    FORMATS[name].write([LabelledPicture("a.jpg", (9, 9), (LabelledFace(xy, seen),))], out_of(name, tmp_path))
    (after,) = faces_of(FORMATS[name].read(out_of(name, tmp_path)))
    np.testing.assert_array_equal(after.visibility, seen)


def test_points_of_two_faces_stay_apart_in_label_studio(tmp_path: Path) -> None:
    FORMATS["label-studio"].write(pictures(), tmp_path / "a.json")
    tasks = json.loads((tmp_path / "a.json").read_text())
    prediction = tasks[0]["predictions"][0]
    for region in prediction["result"]:
        region.pop("parentID", None)
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    assert len(FORMATS["label-studio"].read(tmp_path / "a.json")[0].faces) == 2  # each after its rectangle
    prediction["result"] = [region for region in prediction["result"] if region["type"] == "keypointlabels"]
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    with pytest.raises(FormatError, match="twice in one face"):
        FORMATS["label-studio"].read(tmp_path / "a.json")
    assert labeling_config(68).count("<Label ") == 69


def test_files_convert_and_no_input_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pts, coco, xml = (one_pixel("pts", tmp_path), tmp_path / "a.json", tmp_path / "a.xml")
    assert main(["convert", str(pts), str(coco), "--to", "coco"]) == 0
    assert main(["convert", str(coco), str(xml), "--to", "cvat-images", "--size", "200x100", "--points", "5"]) == 0
    (picture,) = FORMATS["cvat-images"].read(xml)
    assert picture.size == (200, 100)
    assert len(picture.faces[0].points) == 5
    capsys.readouterr()
    assert main(["convert", str(coco), str(tmp_path / "b.json")]) == 1
    assert "does not say which format: coco or label-studio" in capsys.readouterr().err
    assert main(["convert", str(pts / "a.pts"), str(pts), "--to", "pts"]) == 2
    assert "is an input" in capsys.readouterr().err
    assert main(["convert", str(pts), str(tmp_path / "c.json"), "--to", "label-studio"]) == 1
    assert "give --size" in capsys.readouterr().err


BROKEN = {
    "a.pts": ["", "n_points: 3\n{\n1 2\n3 4\n5 6\n}", "n_points: 5 {\n1 2\n", "n_points: 5 {\nnan nan\n}"],
    "a.json": ["{}", "[]x", '{"images": 1, "annotations": [], "categories": []}', "[1]", "[" * 100_000],
    "a.xml": ["<a>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "<a><image><skeleton/></image></a>"],
    "a.csv": ["", "frame,face_id\n1,1\n", "x_0,y_0\n1,2\n", "x_0,y_0\na\n"],
}


@pytest.mark.parametrize(("file", "text"), [(file, text) for file, texts in BROKEN.items() for text in texts])
def test_a_broken_file_is_named_in_one_line(
    file: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / file).write_text(text)
    source = {".json": ["--from", "coco" if text[:1] == "{" else "label-studio"], ".pts": ["--from", "pts"]}
    options = source.get((tmp_path / file).suffix, [])
    assert main(["convert", str(tmp_path / file), str(tmp_path / "out.csv"), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert file in line
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("points", "options"),
    [([[0, 0]] * 7, {}), ([[0, "x"]] * 5, {}), ([[0, np.inf]] * 5, {}), ([[0, 0]] * 5, {"visibility": [3] * 5})],
)
def test_a_face_that_is_none_is_refused(points: object, options: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        checked_face(points, **options)  # type: ignore[arg-type]
