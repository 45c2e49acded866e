"""Frames: boxes, box frames and the crop's geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.geometry.frames import BoxFrame, diagonal, extract_crop, iou, tight_box

F64 = NDArray[np.float64]

coordinates = st.floats(-1e4, 1e4)
sides = st.floats(0.5, 1e4)


def ramp(height: int, width: int) -> NDArray[np.uint8]:
    """An image whose red is its column and whose green is its row: sampled, it says where it was sampled."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)


def sampled_at(frame: BoxFrame, margin: float, size: int) -> F64:
    """(size, size, 2) image-frame x, y of every crop pixel's centre, by its definition."""
    pixel = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1)
    return frame.to_image((pixel - (size - 1) / 2) * margin / size + 0.5)


@given(coordinates, coordinates, sides, st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5))
def test_points_return_from_the_box_frame_unchanged(
    cx: float, cy: float, side: float, points: list[tuple[float, float]]
) -> None:
    frame = BoxFrame(cx, cy, side)
    np.testing.assert_allclose(frame.to_image(frame.from_image(points)), points, atol=1e-7)


@given(coordinates, coordinates, sides, sides)
def test_the_square_about_a_box_has_its_centre_and_its_longer_side(x: float, y: float, w: float, h: float) -> None:
    frame = BoxFrame.from_box((x, y, x + w, y + h))
    assert frame.side == pytest.approx(max(w, h), rel=1e-6)
    np.testing.assert_allclose(frame.box, BoxFrame.from_box(frame.box).box, atol=1e-6)
    np.testing.assert_allclose(frame.from_image(frame.box.reshape(2, 2)), [[0, 0], [1, 1]], atol=1e-6)
    np.testing.assert_allclose(frame.from_image([x + w / 2, y + h / 2]), [0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", range(4))
def test_a_box_that_is_not_finite_is_refused_wherever_it_is_not(place: int, value: float) -> None:
    box = [0.0, 0.0, 8.0, 4.0]
    box[place] = value
    with pytest.raises(ValueError, match="box"):
        BoxFrame.from_box(box)


@pytest.mark.parametrize("box", [(1, 1, 1, 1), (5, 5, 3, 3)])
def test_a_box_without_extent_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="no extent"):
        BoxFrame.from_box(box)


def test_a_moved_square_is_off_by_its_own_sides() -> None:
    assert BoxFrame(10.0, 20.0, 4.0).moved(0.5, -0.25, 2.0) == BoxFrame(12.0, 19.0, 8.0)


@pytest.mark.parametrize(
    ("frame", "size"),
    [
        (BoxFrame(100.0, 90.0, 80.0), 112),  # enlarged
        (BoxFrame(100.3, 91.7, 86.15), 112),  # about one to one
        (BoxFrame(120.0, 120.0, 140.0), 112),  # shrunk without averaging
        (BoxFrame(60.2, 61.9, 35.5), 33),
    ],
)
def test_a_crop_samples_the_image_where_the_formula_says(frame: BoxFrame, size: int) -> None:
    crop = extract_crop(ramp(240, 250), frame, 1.3, size)
    # Half a grey level of rounding and OpenCV's 1/32 pixel of sampling.
    np.testing.assert_allclose(crop[..., :2], sampled_at(frame, 1.3, size), atol=0.5 + 1 / 32)
    assert crop.dtype == np.uint8
    assert crop.flags.c_contiguous


@pytest.mark.parametrize("side", [90.0, 113.4, 170.0])
@pytest.mark.parametrize("centre", [(124.0, 118.0), (125.37, 119.81)])
def test_a_large_face_is_averaged_without_being_moved(side: float, centre: tuple[float, float]) -> None:
    frame, size = BoxFrame(*centre, side), 32
    crop = extract_crop(ramp(240, 250), frame, 1.3, size)
    assert 1.3 * side / size > 2  # the path under test
    error = crop[..., :2].astype(np.float64) - sampled_at(frame, 1.3, size)
    assert np.abs(error[1:-1, 1:-1]).max() <= 1.1  # two roundings, in image pixels of which a crop pixel has 4 to 7
    assert np.abs(error.mean(axis=(0, 1))).max() <= 0.15


def test_the_crop_does_not_jump_where_averaging_begins() -> None:
    rng = np.random.default_rng(0)
    wave = 128 + 100 * np.sin(np.arange(200) / 9.0)[:, None] * np.cos(np.arange(200) / 11.0 + rng.uniform())
    image = np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)
    below, above = (extract_crop(image, BoxFrame(100, 100, s), 1.0, 64) for s in (127.9, 128.1))
    assert np.abs(below.astype(int) - above).max() <= 4


@pytest.mark.parametrize("size", [16, 112])
def test_outside_the_image_its_border_is_repeated(size: int) -> None:
    image = ramp(60, 80)
    crop = extract_crop(image, BoxFrame(79.0, 30.0, 40.0), 1.0, size)
    assert (crop[:, -size // 4 :, 0] >= 78).all()
    crop = extract_crop(image, BoxFrame(500.0, 30.0, 40.0), 1.0, size)
    assert (crop[..., 0] == 79).all()


def test_averaging_keeps_fine_stripes_from_turning_into_others() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[:, ::2] = 255
    crop = extract_crop(image, BoxFrame(200, 200, 300.0), 1.0, 40)
    assert np.ptp(crop.astype(int)) <= 80  # unaveraged, it would be 255


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1.0),
        ((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3),
        ((0, 0, 4, 4), (1, 1, 3, 3), 0.25),
        ((0, 0, 1, 1), (1, 0, 2, 1), 0.0),
        ((0, 0, 1, 1), (5, 5, 6, 6), 0.0),
        ((0, 0, 0, 0), (0, 0, 1, 1), 0.0),
    ],
)
def test_intersection_over_union_by_hand(a: tuple[float, ...], b: tuple[float, ...], expected: float) -> None:
    assert iou(a, b) == pytest.approx(expected)
    assert iou(b, a) == pytest.approx(expected)


def test_the_tight_box_and_its_diagonal() -> None:
    box = tight_box([[3.0, 1.0], [0.0, 5.0], [1.0, 2.0]])
    assert box.tolist() == [0.0, 1.0, 3.0, 5.0]
    assert diagonal(box) == 5.0
