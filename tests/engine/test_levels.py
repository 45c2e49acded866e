"""A picture decoded at a scale: the right pixels at the right place, for every orientation, whoever looked before."""

from __future__ import annotations

import io

import numpy as np
import pytest
import skimage.data
from PIL import Image

from exalign_engine import Aligner, Face
from exalign_engine.arrays import F64, U8
from exalign_engine.errors import InvalidInputError
from exalign_engine.face.crops import Cropper
from exalign_engine.geometry.frames import BoxFrame, diagonal, extract_crop, tight_box
from exalign_engine.geometry.image import decode, examine
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_engine.geometry.levels import (
    Levels,
    LevelsWanted,
    coarsest_step,
    level_about,
    open_levels,
    scalable,
    seen_at,
    step_of_side,
    whole,
)

#: Neither side is a multiple of 8: the last row and column of a level reach out of the picture.
WIDTH, HEIGHT = 701, 523
#: The face in it, and some of its surroundings.
FACE = BoxFrame(352.0, 216.0, 260.0)


def photograph(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """The astronaut's head and shoulders, enlarged."""
    part = Image.fromarray(skimage.data.astronaut()).crop((100, 20, 100 + 335, 20 + 250))
    return part.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, orientation: int = 1, **keywords: object) -> bytes:
    """Encoded so that it is ``image`` once it is turned upright."""
    undone = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = image if orientation == 1 else image.transpose(undone[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "JPEG", exif=exif, **{"quality": 92} | keywords)  # type: ignore[arg-type]
    return buffer.getvalue()


JPEG = jpeg(photograph())


def levels(data: bytes, first: int | None = None, coarsest: int = 8) -> Levels:
    opened = open_levels(examine(data), lambda shape: LevelsWanted(first, coarsest))
    assert isinstance(opened, Levels)
    return opened


def shift(seen: F64, expected: F64) -> F64:
    """(2,) x, y by how many pixels ``seen`` shows a place too far right and down: least squares over the gradient."""
    down, right = np.gradient(expected, axis=(0, 1))
    (moved, *_) = np.linalg.lstsq(
        np.stack([right.ravel(), down.ravel()], axis=1), (expected - seen).ravel(), rcond=None
    )
    return np.asarray(moved)


def block_means(image: U8, step: int, corner: F64, shape: tuple[int, ...]) -> F64:
    """The slow twin of a level: means of step × step pixels from a corner, the border repeated outwards."""
    rows = np.clip(np.arange(step * shape[0]) + int(corner[1]), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(step * shape[1]) + int(corner[0]), 0, image.shape[1] - 1)
    grown = image[rows][:, columns].astype(np.float64)
    return grown.reshape(shape[0], step, shape[1], step, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("step", [2, 4, 8])
def test_a_pixel_of_a_level_is_the_mean_of_those_that_it_covers(orientation: int, step: int) -> None:
    data = jpeg(photograph(), orientation)
    full, level = decode(data), levels(data).level(step)
    assert (full.shape, levels(data).shape) == ((HEIGHT, WIDTH, 3), (HEIGHT, WIDTH, 3))
    assert (level.step, level.pixels.dtype, level.pixels.flags.c_contiguous) == (step, np.uint8, True)
    twin = block_means(full, step, level.corner, level.pixels.shape)
    assert np.sqrt(np.mean((level.pixels - twin) ** 2)) < 1.5
    assert np.abs(step * shift(level.pixels.astype(np.float64), twin)).max() < 0.05  # pixels of the picture


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0])
def test_a_crop_of_a_level_shows_what_the_whole_picture_shows_there(
    orientation: int, subsampling: int, scale: float
) -> None:
    data = jpeg(photograph(), orientation, subsampling=subsampling)
    cropper = Cropper(1.3, round(160 / scale))  # the level is 2, 4 and 8
    seen = cropper.crop(levels(data), FACE).astype(float)
    twin = extract_crop(decode(data), FACE, 1.3, cropper.size).astype(float)
    step = 1.3 * FACE.side / cropper.size
    assert coarsest_step(step) == 2 * scale
    # Half a pixel of the picture is the promise; cv2.warpAffine rounds places to 1/32 of what it samples.
    assert np.abs(step * shift(seen, twin)).max() < 0.05 + step / 32
    assert np.sqrt(np.mean((seen - twin) ** 2)) < 6


@pytest.mark.parametrize("square", [FACE.box, np.array([-50.0, 300.0, 300.0, 900.0]), np.array([690.0, 500, 900, 600])])
@pytest.mark.parametrize("step", [2, 4, 8])
def test_of_pixels_that_are_there_a_part_is_halved(square: F64, step: int) -> None:
    image = np.asarray(photograph())
    level = level_about(image, square, step)
    np.testing.assert_array_equal(level.corner % step, 0)
    assert np.abs(level.pixels - block_means(image, step, level.corner, level.pixels.shape)).max() <= 1.5
    end = level.corner + step * np.array(level.pixels.shape[1::-1])
    assert (level.corner <= np.clip(square[:2], 0, (WIDTH - 1, HEIGHT - 1))).all()
    assert (end >= np.clip(square[2:], 0, (WIDTH, HEIGHT))).all()


def test_a_part_that_lies_outside_is_seen_all_the_same() -> None:
    level = level_about(np.asarray(photograph()), np.array([5000.0, -900.0, 6000.0, -100.0]), 4)
    assert min(level.pixels.shape) > 0


def test_a_wrong_offset_of_half_a_pixel_would_be_seen() -> None:
    cropper, moved = Cropper(1.3, 160), BoxFrame(FACE.cx + 0.5, FACE.cy, FACE.side)
    seen = cropper.crop(levels(JPEG), moved).astype(float)
    twin = extract_crop(decode(JPEG), FACE, 1.3, 160).astype(float)
    assert 1.3 * FACE.side / 160 * shift(seen, twin)[0] == pytest.approx(-0.5, abs=0.1)


def test_the_landmarks_are_those_of_the_whole_picture(default_aligner: Aligner) -> None:
    data = jpeg(photograph(1402, 1046))
    full, manifest = decode(data), default_aligner.bundle.manifest
    place = default_aligner.locate(full, max_faces=1)[0]
    (seen,) = default_aligner.locate(levels(data, 4, coarsest=4), max_faces=1)
    assert np.abs(seen.box - place.box).max() < 0.02 * place.frame.side

    def landmarks(crop: U8) -> F64:
        return Face(place, default_aligner.posterior(default_aligner.runtime.infer(crop[None]).row(0))).landmarks

    twin = landmarks(extract_crop(full, place.frame, manifest.margin, manifest.input_size))
    for image in (levels(data), full):
        moved = np.linalg.norm(landmarks(default_aligner.crop(image, place)) - twin, axis=1)
        assert moved.mean() < 0.003 * diagonal(tight_box(twin))


def test_what_is_seen_does_not_depend_on_what_was_looked_at_before() -> None:
    cropper = Cropper(1.3, 112)
    alone = cropper.crop(levels(JPEG), FACE)
    for first in (1, 2, 4, 8):
        opened = levels(JPEG, first)
        cropper.crop(opened, BoxFrame(350.0, 200.0, 20.0))
        np.testing.assert_array_equal(cropper.crop(opened, FACE), alone)


def test_what_a_detector_saw_serves_coarser_crops_too() -> None:
    opened = levels(JPEG, 2, coarsest=2)
    assert opened.level(8) is opened.level(2)
    assert opened.level(1).step == 1


def test_the_whole_picture_is_that_of_decode() -> None:
    np.testing.assert_array_equal(whole(levels(JPEG)), decode(JPEG))
    image = decode(JPEG)
    assert whole(image) is image
    assert level_about(image, FACE.box, 1).pixels is image


@pytest.mark.parametrize(
    "data",
    [
        jpeg(photograph(512, 512)),
        jpeg(photograph(), progressive=True),
        jpeg(photograph().convert("CMYK")),
    ],
    ids=["small", "progressive", "CMYK"],
)
def test_what_gains_nothing_or_cannot_be_scaled_is_decoded_whole(data: bytes) -> None:
    examined = examine(data)
    assert not scalable(examined)
    opened = open_levels(examined, lambda shape: pytest.fail("nobody asks"))
    assert isinstance(opened, np.ndarray)
    np.testing.assert_array_equal(opened, decode(data))


def test_a_grey_jpeg_is_scaled_to_three_channels() -> None:
    level = levels(jpeg(photograph().convert("L"))).level(4)
    assert level.pixels.shape == (131, 176, 3)
    assert np.ptp(level.pixels, axis=2).max() == 0


@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_a_jpeg_without_its_end_is_refused_at_every_scale(step: int) -> None:
    for part in (0.2, 0.5, 0.9):
        cut = JPEG[: int(part * len(JPEG))] + b"\xff\xd9"
        with pytest.raises(InvalidInputError, match="is a truncated or damaged JPEG"):
            levels(cut, step)


def test_limits_are_those_of_the_whole_picture() -> None:
    with pytest.raises(InvalidInputError, match="pixels"):
        examine(JPEG, ImageLimits(max_pixels=WIDTH * HEIGHT - 1))


def test_pixels_that_are_there_are_halved_for_who_shrinks_them() -> None:
    image = decode(JPEG)
    level = seen_at(image, 150)
    assert (level.step, level.pixels.shape) == (4, (130, 175, 3))
    twin = block_means(image, 4, level.corner, level.pixels.shape)
    assert np.abs(level.pixels - twin).max() <= 1.0
    small = image[:100, :100]
    assert seen_at(small, 10).pixels is small


@pytest.mark.parametrize(("shape", "step"), [((48, 64), 1), ((640, 480), 2), ((720, 1280), 4), ((9000, 100), 8)])
def test_a_level_has_the_pixels_that_a_detector_wants(shape: tuple[int, int], step: int) -> None:
    assert step_of_side(shape, 320) == step


def test_no_level_is_coarser_than_a_crop() -> None:
    assert [coarsest_step(s) for s in (0.1, 1.0, 1.99, 2.0, 3.99, 4.0, 8.0, 100.0)] == [1, 1, 1, 2, 2, 4, 8, 8]
