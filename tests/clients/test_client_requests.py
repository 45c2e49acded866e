"""Arguments become requests; wrong ones are refused before anything is sent, all at once, by name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from exalign.v1 import geometry_pb2, image_pb2, service_pb2
from exalign_client import Box, InvalidRequestError
from exalign_client.calls import methods

JPEG = b"\xff\xd8 as good as any"


def predict_request(*arguments: Any, **options: Any) -> service_pb2.PredictLandmarksRequest:
    request = methods.predict(*arguments, **options).request
    assert isinstance(request, service_pb2.PredictLandmarksRequest)
    return request


def _wrong_fields(*arguments: Any, **options: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        predict_request(*arguments, **options)
    return {violation.field: violation.description for violation in caught.value.violations}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_sent_as_they_are(kind: Any) -> None:
    assert predict_request(kind(JPEG)).image.encoded == JPEG


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_sends_the_files_bytes(kind: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    assert predict_request(kind(tmp_path / "a.jpg")).image.encoded == JPEG


def test_a_missing_file_is_pythons_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.jpg"):
        predict_request(tmp_path / "absent.jpg")


def test_a_colour_array_is_sent_row_by_row_whatever_its_strides() -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    view = pixels[::-1, ::2]
    raw = predict_request(view).image.raw
    assert (raw.width, raw.height, raw.row_stride) == (3, 4, 0)
    assert raw.pixel_format == image_pb2.PIXEL_FORMAT_RGB8
    assert raw.data == b"".join(bytes(row.ravel().tolist()) for row in view)


def test_a_grey_array_is_sent_as_grey() -> None:
    raw = predict_request(np.full((2, 5), 9, np.uint8)).image.raw
    assert (raw.width, raw.height, raw.pixel_format) == (5, 2, image_pb2.PIXEL_FORMAT_GRAY8)
    assert raw.data == b"\x09" * 10


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.zeros((4, 4, 3), np.float32), "dtype float32"),
        (np.zeros((4, 4, 4), np.uint8), "4×4×4"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (b"", "no bytes"),
        (17, "a int is no path"),
    ],
)
def test_an_image_that_is_none_is_refused(image: Any, expected: str) -> None:
    assert expected in _wrong_fields(image)["image"]


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    assert "empty.jpg is empty" in _wrong_fields(tmp_path / "empty.jpg")["image"]


def test_boxes_come_as_tuples_arrays_and_boxes() -> None:
    request = predict_request(JPEG, [(1, 2, 3, 4), np.array([5.5, 6, 7, 8]), Box(1, 1, 9, 9, "mtcnn")])
    expected = [
        geometry_pb2.Box(x0=1, y0=2, x1=3, y1=4),
        geometry_pb2.Box(x0=5.5, y0=6, x1=7, y1=8),
        geometry_pb2.Box(x0=1, y0=1, x1=9, y1=9, detector="mtcnn"),
    ]
    assert list(request.boxes) == expected


def test_every_wrong_argument_is_named_at_once() -> None:
    wrong = _wrong_fields(
        np.zeros((2, 2), np.int32),
        [(0, 0, 1, 1), (0, math.nan, math.inf, 1e39), (5, 9, 5, 8), (1, 2, 3), 4.0],
        max_faces=0,
        top_exemplars=-1,
        groups=["nostrils", [0, 68], [3, 3], [], "jaw"],
    )
    assert set(wrong) == {
        "image",
        "boxes[1].y0",
        "boxes[1].x1",
        "boxes[1].y1",
        "boxes[2].x1",
        "boxes[2].y1",
        "boxes[3]",
        "boxes[4]",
        "max_faces",
        "top_exemplars",
        "groups[0]",
        "groups[1]",
        "groups[2]",
        "groups[3]",
    }
    assert wrong["boxes[2].x1"] == "5 must be greater than x0 = 5"


def test_absent_options_stay_absent_so_that_the_servers_defaults_hold() -> None:
    request = predict_request(JPEG)
    assert not request.detection.HasField("max_faces")
    assert not request.landmarks.HasField("top_exemplars")
    assert list(request.boxes) == []


def test_options_are_sent() -> None:
    request = predict_request(
        JPEG, detector="mtcnn", max_faces=cast(int, np.int64(3)), top_exemplars=0, groups=["mouth", [30, 8]]
    )
    assert (request.detection.detector, request.detection.max_faces) == ("mtcnn", 3)
    assert request.landmarks.HasField("top_exemplars")
    assert request.landmarks.groups[0].group == geometry_pb2.LANDMARK_GROUP_MOUTH
    assert list(request.landmarks.groups[1].landmarks.indices) == [30, 8]
