"""Overlays: drawn where the landmarks are, in the frame of the upright picture, large enough to see."""

from __future__ import annotations

import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest

from exalign.canvas import DARK, Canvas
from exalign.v1 import service_pb2
from exalign_client import InvalidRequestError, Prediction
from exalign_client.pictures.decode import decode_picture
from exalign_client.pictures.overlay import COLOURS, draw_overlay
from exalign_client.results.faces import prediction_from
from fake_server import BOX, IMAGE_SIZE, face, points

WIDTH, HEIGHT = IMAGE_SIZE


def _prediction(factor: float = 1.0, width: int = WIDTH, height: int = HEIGHT) -> Prediction:
    """The fake server's face, its landmarks and box multiplied by ``factor``."""
    message = face()
    message.landmarks.points[:] = (points() * factor).ravel().tolist()
    message.landmarks.covariances[:] = [0.25, 0.0, 0.25] * 68
    for name, value in zip(("x0", "y0", "x1", "y1"), BOX, strict=True):
        setattr(message.box, name, value * factor)
    response = service_pb2.PredictLandmarksResponse(faces=[message], image_width=width, image_height=height)
    return prediction_from(response)


@pytest.mark.parametrize("background", [0, 127, 255])
def test_every_landmark_is_drawn_at_its_place_in_its_colour(background: int) -> None:
    pixels = np.full((HEIGHT * 10, WIDTH * 10, 3), background, np.uint8)
    drawn = draw_overlay(pixels, _prediction(10.0, WIDTH * 10, HEIGHT * 10))
    assert drawn.shape == pixels.shape  # the face is 600 px wide: nothing to enlarge
    for n, (x, y) in enumerate(np.round(points() * 10).astype(int)):
        group = next(
            g for g, last in (("jaw", 16), ("brows", 26), ("nose", 35), ("eyes", 47), ("mouth", 67)) if n <= last
        )
        np.testing.assert_allclose(drawn[y, x].astype(int), COLOURS[group], atol=12)


def test_a_landmark_that_something_hides_is_a_ring() -> None:
    prediction = _prediction(10.0, WIDTH * 10, HEIGHT * 10)
    hidden = np.arange(68) % 5 == 0
    known = replace(prediction[0], occluded_probabilities=np.where(hidden, 0.5, 0.4).astype(np.float32))
    pixels = np.full((HEIGHT * 10, WIDTH * 10, 3), 127, np.uint8)
    plain = draw_overlay(pixels, prediction)
    drawn = draw_overlay(pixels, replace(prediction, faces=(known,)))
    x, y = np.round(points() * 10).astype(int).T
    np.testing.assert_array_equal((drawn[y, x] != plain[y, x]).any(axis=1), hidden)
    np.testing.assert_allclose(drawn[y, x][hidden].astype(int), [DARK] * int(hidden.sum()), atol=12)


def test_the_callers_pixels_stay_as_they_are() -> None:
    pixels = np.full((HEIGHT * 10, WIDTH * 10, 3), 60, np.uint8)
    draw_overlay(pixels, _prediction(10.0, WIDTH * 10, HEIGHT * 10))
    assert (pixels == 60).all()


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0, 40.0])
def test_the_picture_keeps_its_size_and_the_face_its_place(factor: float) -> None:
    height, width = round(HEIGHT * factor), round(WIDTH * factor)
    pixels = np.zeros((height, width, 3), np.uint8)
    drawn = draw_overlay(pixels, _prediction(factor, width, height))
    assert drawn.shape == pixels.shape
    assert drawn.any()
    if factor < 1:  # lines of a pixel lie on one another
        return
    x, y = np.round(points()[24] * factor).astype(int)
    yellow = drawn[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).astype(int).max(axis=0)
    assert yellow[0] > 1.5 * yellow[2]  # of the brows


@pytest.mark.parametrize(("factor", "least"), [(1.0, 7), (3.0, 7), (40.0, 30)])
def test_the_letters_of_a_label_can_be_read_in_small_and_huge_pictures(factor: float, least: int) -> None:
    """Their height is that of the rows, above the face, in which something white is on dark."""
    height, width = round(HEIGHT * 2 * factor), round(WIDTH * factor)
    message = _prediction(factor, width, height)
    pixels = np.full((height, width, 3), 90, np.uint8)
    drawn = draw_overlay(pixels, message)
    changed = np.flatnonzero((drawn[: round(BOX[1] * factor) - 2] > 130).all(axis=2).any(axis=1))
    assert len(changed) >= least


@pytest.mark.parametrize("width", [30, 60, 120, 400, 1200])
def test_a_label_says_less_where_there_is_less_room_and_never_leaves_the_picture(width: int) -> None:
    """What stands left and right of the plate is as it was."""
    factor = width / WIDTH
    pixels = np.full((round(HEIGHT * factor), width, 3), 255, np.uint8)
    drawn = draw_overlay(pixels, _prediction(factor, width, pixels.shape[0]))
    plate = np.flatnonzero((drawn[: max(round(BOX[1] * factor) - 3, 1)] != 255).any(axis=(0, 2)))
    assert len(plate) <= max(2.2 * (BOX[2] - BOX[0]) * factor, 12)


def test_a_wide_uncertainty_is_drawn_along_its_longer_axis() -> None:
    factor = 8
    message = face()
    message.landmarks.points[:] = (points() * factor).ravel().tolist()
    message.landmarks.covariances[:] = [1e-4, 0.0, 1e-4] * 68
    for name, value in zip(("x0", "y0", "x1", "y1"), BOX, strict=True):
        setattr(message.box, name, value * factor)
    size = {"image_width": WIDTH * factor, "image_height": HEIGHT * factor}
    narrow = prediction_from(service_pb2.PredictLandmarksResponse(faces=[message], **size))
    message.landmarks.covariances[3 * 30 : 3 * 30 + 3] = [1600.0, 1600.0, 1600.0]  # along the diagonal x = y
    wide = prediction_from(service_pb2.PredictLandmarksResponse(faces=[message], **size))
    pixels = np.zeros((HEIGHT * factor, WIDTH * factor, 3), np.uint8)
    difference = np.abs(draw_overlay(pixels, wide).astype(int) - draw_overlay(pixels, narrow).astype(int)).sum(axis=2)
    centre = points()[30] * factor
    along, across = np.array([40, 40]), np.array([40, -40])  # one standard deviation
    for sign in (1, -1):
        x, y = np.round(centre + sign * along).astype(int)
        assert difference[y - 1 : y + 2, x - 1 : x + 2].any()
        x, y = np.round(centre + sign * across).astype(int)
        assert not difference[y - 3 : y + 4, x - 3 : x + 4].any()


def test_a_face_draws_itself_over_its_picture_and_on_a_plain_ground() -> None:
    (one,) = _prediction(4.0, WIDTH * 4, HEIGHT * 4)
    picture = np.full((HEIGHT * 4, WIDTH * 4, 3), (200, 10, 10), np.uint8)
    plain, over = one.draw(), one.draw(picture, width=200)
    assert (plain.shape, over.shape) == ((480, 480, 3), (200, 200, 3))
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) > 50
    assert (over == (200, 10, 10)).all(axis=2).mean() > 0.1
    for wrong in (picture[..., 0], picture.astype(float), 3):
        with pytest.raises(InvalidRequestError, match="pixels: "):
            one.draw(wrong)  # type: ignore[arg-type]  # that is the point


def test_a_plus_minus_is_one_sign_in_every_version_of_opencv() -> None:
    canvas = Canvas(np.zeros((60, 200, 3), np.uint8))
    canvas.text("\N{PLUS-MINUS SIGN}", (20, 40), 1.0)
    plus = Canvas(np.zeros((60, 200, 3), np.uint8))
    plus.text("+", (20, 40), 1.0)
    rows = [np.flatnonzero(c.pixels.any(axis=(1, 2))) for c in (canvas, plus)]
    columns = [np.flatnonzero(c.pixels.any(axis=(0, 2))) for c in (canvas, plus)]
    assert rows[0][-1] > rows[1][-1]  # a line below the plus
    assert len(columns[0]) <= len(columns[1]) + 2
    assert canvas.text_size("1 ± 2", 0.5) == canvas.text_size("1 + 2", 0.5)


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="100×80 pixels, but the answer is about 120×80"):
        draw_overlay(np.zeros((80, 100, 3), np.uint8), _prediction())


def test_a_picture_is_decoded_upright() -> None:
    stored = np.zeros((40, 60, 3), np.uint8)
    stored[:20, :30] = (0, 0, 255)  # BGR: red at the top left as stored
    jpeg = cv2.imencode(".jpg", stored)[1].tobytes()
    # EXIF orientation 6: to be turned by 90° clockwise.
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + tiff
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    upright = decode_picture(turned)
    assert upright.shape == (60, 40, 3)
    np.testing.assert_allclose(upright[10, 30].astype(int), (255, 0, 0), atol=12)  # red is now at the top right


@pytest.mark.parametrize("data", [b"", b"GIF89a not really"])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="cannot decode"):
        decode_picture(data)
