"""Overlays: drawn where the landmarks are, in the frame of the upright picture, large enough to see."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

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


def test_the_callers_pixels_stay_as_they_are() -> None:
    pixels = np.full((HEIGHT * 10, WIDTH * 10, 3), 60, np.uint8)
    draw_overlay(pixels, _prediction(10.0, WIDTH * 10, HEIGHT * 10))
    assert (pixels == 60).all()


def test_a_small_face_is_enlarged_about_pixel_centres() -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    drawn = draw_overlay(pixels, _prediction())
    scale = 480 / 60
    assert drawn.shape == (HEIGHT * scale, WIDTH * scale, 3)
    x, y = np.round((points()[30] + 0.5) * scale - 0.5).astype(int)
    np.testing.assert_allclose(drawn[y, x].astype(int), COLOURS["nose"], atol=12)


def test_a_wide_uncertainty_is_drawn_along_its_longer_axis() -> None:
    message = face()
    message.landmarks.covariances[:] = [1e-4, 0.0, 1e-4] * 68
    message.landmarks.covariances[3 * 30 : 3 * 30 + 3] = [25.0, 25.0, 25.0]  # along the diagonal x = y
    narrow = _prediction()
    wide = prediction_from(
        service_pb2.PredictLandmarksResponse(faces=[message], image_width=WIDTH, image_height=HEIGHT)
    )
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    difference = np.abs(draw_overlay(pixels, wide).astype(int) - draw_overlay(pixels, narrow).astype(int)).sum(axis=2)
    centre = (points()[30] + 0.5) * 8 - 0.5
    along, across = np.array([1, 1]) * 8 * 5, np.array([1, -1]) * 8 * 5  # 5·√2 px: one standard deviation
    for sign in (1, -1):
        x, y = np.round(centre + sign * along).astype(int)
        assert difference[y - 1 : y + 2, x - 1 : x + 2].any()
        x, y = np.round(centre + sign * across).astype(int)
        assert not difference[y - 3 : y + 4, x - 3 : x + 4].any()


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
