"""Decoding: right pixels for every orientation and mode, one clear error for everything else."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.image import decode
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_engine.geometry.raw_image import from_raw
from properties import examples

ASTRONAUT = np.ascontiguousarray(skimage.data.astronaut()[40:240, 120:330])  # (200, 210, 3): not square


def encoded(image, fmt, **keywords):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, fmt, **keywords)
    return buffer.getvalue()


def refusal(data, limits=None):
    with pytest.raises(InvalidInputError) as caught:
        decode(data, limits)
    assert {v.field for v in caught.value.violations} == {"image.encoded"}
    assert "\n" not in str(caught.value)
    return str(caught.value)


def png_header(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


JPEG = encoded(ASTRONAUT, "JPEG", quality=90)
PROGRESSIVE = encoded(ASTRONAUT, "JPEG", quality=90, progressive=True)
WEBP = encoded(ASTRONAUT, "WEBP", quality=90)
PNG = encoded(ASTRONAUT, "PNG")
BMP = encoded(ASTRONAUT, "BMP")


@pytest.mark.parametrize("data", [PNG, BMP, encoded(ASTRONAUT, "WEBP", lossless=True)], ids=["png", "bmp", "webp"])
def test_lossless_formats_return_the_pixels(data):
    out = decode(data)
    assert out.dtype == np.uint8
    assert out.flags.c_contiguous
    np.testing.assert_array_equal(out, ASTRONAUT)


@pytest.mark.parametrize("data", [JPEG, PROGRESSIVE, WEBP], ids=["jpeg", "progressive", "webp"])
def test_lossy_formats_agree_with_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(decode(data) - expected).max() <= 2


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_pillow_does(fmt, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(ASTRONAUT, fmt, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    out = decode(data)
    assert out.shape == ((210, 200, 3) if orientation >= 5 else (200, 210, 3))
    assert out.flags.c_contiguous
    assert np.abs(out - expected).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_written_into_memory_that_is_given(fmt, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(ASTRONAUT, fmt, exif=exif)
    memory = np.zeros(ASTRONAUT.size, np.uint8)
    image = decode(data, into=memory)
    assert np.shares_memory(image, memory)
    np.testing.assert_array_equal(image, decode(data))


@pytest.mark.parametrize("orientation", [1, 6])
def test_beside_what_pillow_holds_no_whole_picture_is_made(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(np.tile(ASTRONAUT, (10, 10, 1)), "PNG", exif=exif, compress_level=1)
    memory = np.zeros(100 * ASTRONAUT.size, np.uint8)
    decode(data, into=memory)  # loads what decodes it
    tracemalloc.start()  # of Pillow's own memory it knows nothing
    try:
        decode(data, into=memory)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < memory.size / 3


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(encoded(ASTRONAUT, "PNG", exif=exif)), ASTRONAUT)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_cost_the_picture():
    data = encoded(ASTRONAUT, "JPEG", quality=90, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    np.testing.assert_array_equal(decode(data), decode(JPEG))


def test_a_thumbnails_end_marker_is_not_the_pictures():
    data = encoded(ASTRONAUT, "JPEG", quality=90, exif=b"Exif\0\0" + JPEG)
    np.testing.assert_array_equal(decode(data), decode(JPEG))
    assert "truncated" in refusal(data[: len(data) // 2 + 1000])


@pytest.mark.parametrize("data", [JPEG, PROGRESSIVE], ids=["baseline", "progressive"])
def test_a_jpeg_cut_anywhere_is_refused(data):
    for end in [*range(1, 700, 7), *range(700, len(data), 301), len(data) - 2, len(data) - 1]:
        refusal(data[:end])


@pytest.mark.parametrize("data", [PNG, WEBP, BMP], ids=["png", "webp", "bmp"])
@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_other_formats_cut_are_refused(data, part):
    refusal(data[: int(len(data) * part)])


def test_what_follows_a_complete_jpeg_is_ignored():
    np.testing.assert_array_equal(decode(JPEG + b"trailer of a telephone"), decode(JPEG))


def test_the_first_picture_of_an_mpo_is_read():
    data = encoded(Image.fromarray(ASTRONAUT), "MPO", save_all=True, append_images=[Image.new("RGB", (210, 200))])
    assert np.abs(decode(data).astype(int) - ASTRONAUT).mean() < 5


def test_an_empty_image_is_refused():
    assert "0 bytes" in refusal(b"")


def test_other_formats_are_refused():
    for data in (encoded(ASTRONAUT, "GIF"), encoded(ASTRONAUT, "TIFF"), b"<svg/>", b"hello"):
        assert "JPEG, PNG, WebP or BMP" in refusal(data)


def test_a_gif_bomb_is_refused_by_its_format():
    bomb = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + b"\0" * 6 + b"," + b"\0" * 9
    assert "it is a GIF file" in refusal(bomb)


@pytest.mark.parametrize("fmt", ["PNG", "WEBP"])
def test_animations_are_refused(fmt):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    assert "animated" in refusal(encoded(frames[0], fmt, save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("filter_action", ["default", "error"])
@pytest.mark.parametrize("size", [(30_000, 30_000), (12_000, 12_000), (7_000, 7_000)])
def test_a_header_that_claims_too_many_pixels_is_refused(size, filter_action):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if filter_action == "default" else filter_action)
        assert "at most 40,000,000" in refusal(png_header(*size))


def test_a_side_too_long_is_refused_with_every_limit_it_breaks():
    assert "at most 16,384" in refusal(png_header(20_000, 10))
    both = refusal(png_header(300, 200), ImageLimits(max_pixels=100, max_side=250))
    assert "300 × 200 = 60,000 pixels, at most 100" in both
    assert "at most 250" in both


def test_too_many_bytes_are_refused_before_they_are_read():
    assert "at most 1,000" in refusal(b"\0" * 1001, ImageLimits(max_bytes=1000))


@pytest.mark.parametrize(("name", "value"), [("max_bytes", 0), ("max_pixels", 10**8), ("max_side", 40_000)])
def test_limits_that_could_not_be_kept_are_refused(name, value):
    with pytest.raises(InvalidInputError, match=name):
        ImageLimits(**{name: value})


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "BMP"])
def test_grey_becomes_three_equal_channels(fmt):
    out = decode(encoded(Image.fromarray(ASTRONAUT).convert("L"), fmt))
    assert out.shape == ASTRONAUT.shape
    assert (out == out[..., :1]).all()


@pytest.mark.parametrize("fmt", ["PNG", "WEBP"])
def test_alpha_is_dropped(fmt):
    rgba = np.dstack([ASTRONAUT, np.full(ASTRONAUT.shape[:2], 128, np.uint8)])
    keywords = {"lossless": True, "exact": True} if fmt == "WEBP" else {}
    np.testing.assert_array_equal(decode(encoded(rgba, fmt, **keywords)), ASTRONAUT)


def test_sixteen_bit_grey_keeps_its_high_byte():
    grey = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    out = decode(encoded(Image.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(out[..., 1], (grey >> 8).astype(np.uint8))


def test_sixteen_bit_colour_keeps_its_high_byte():
    import cv2

    deep = ASTRONAUT.astype(np.uint16) * 256 + 255
    data = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(decode(data), ASTRONAUT)


@pytest.mark.parametrize("mode", ["P", "1", "LA"])
def test_other_png_modes_agree_with_pillow(mode):
    image = Image.fromarray(ASTRONAUT).convert(mode)
    np.testing.assert_array_equal(decode(encoded(image, "PNG")), np.asarray(image.convert("RGB")))


def test_cmyk_jpeg_has_the_right_colours():
    data = encoded(Image.fromarray(ASTRONAUT).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode(data).astype(int) - ASTRONAUT).mean() < 4


def test_many_threads_get_the_same_pixels():
    data = [JPEG, PNG, WEBP, BMP] * 8
    expected = [decode(d) for d in data[:4]] * 8
    with ThreadPoolExecutor(8) as pool:
        for out, right in zip(pool.map(decode, data), expected, strict=True):
            np.testing.assert_array_equal(out, right)


SMALL = ImageLimits(max_pixels=200_000)


@examples(200)
@given(
    st.sampled_from([b"", JPEG[:2], JPEG[:200], PNG[:8], PNG[:60], WEBP[:16], BMP[:54], b"GIF89a"]),
    st.binary(),
)
def test_random_bytes_never_end_in_another_error(start, rest):
    try:
        out = decode(start + rest, SMALL)
    except InvalidInputError:
        return
    assert out.dtype == np.uint8


@examples(300)
@given(
    st.sampled_from([JPEG, PROGRESSIVE, PNG, WEBP, BMP]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    st.booleans(),
)
def test_damaged_files_never_end_in_another_error(data, changes, in_header):
    broken = bytearray(data)
    for where, value in changes:
        broken[int(where * (400 if in_header else len(broken)))] = value
    try:
        out = decode(bytes(broken), SMALL)
    except InvalidInputError:
        return
    assert out.ndim == 3
    assert out.shape[2] == 3


RAW = ASTRONAUT[:5, :7]


def test_raw_formats_return_the_pixels():
    np.testing.assert_array_equal(from_raw(RAW.tobytes(), 7, 5, "RGB8"), RAW)
    np.testing.assert_array_equal(from_raw(RAW[..., ::-1].tobytes(), 7, 5, "BGR8"), RAW)
    grey = RAW[..., 1]
    np.testing.assert_array_equal(from_raw(grey.tobytes(), 7, 5, "GRAY8"), np.dstack([grey] * 3))


def test_a_raw_image_is_a_writable_contiguous_copy():
    out = from_raw(RAW.tobytes(), 7, 5, "BGR8")
    assert out.flags.c_contiguous
    assert out.flags.writeable


@pytest.mark.parametrize("last_row_padded", [True, False])
def test_raw_rows_may_be_padded(last_row_padded):
    padded = np.zeros((5, 32), np.uint8)
    padded[:, :21] = RAW.reshape(5, 21)
    data = padded.tobytes() if last_row_padded else padded.tobytes()[: 4 * 32 + 21]
    np.testing.assert_array_equal(from_raw(data, 7, 5, "RGB8", 32), RAW)


@pytest.mark.parametrize(
    ("arguments", "fields", "says"),
    [
        ((b"\0" * 104, 7, 5, "RGB8"), ["image.raw.data"], "has 104 bytes"),
        ((b"\0" * 106, 7, 5, "RGB8"), ["image.raw.data"], "must have 105"),
        ((b"", 7, 5, "RGB8"), ["image.raw.data"], "has 0 bytes"),
        ((b"\0" * 105, 7, 5, "RGB8", 20), ["image.raw.row_stride"], "at least 21"),
        ((b"\0" * 105, 7, 5, "RGB8", -21), ["image.raw.row_stride"], "at least 21"),
        (
            (b"", 0, -1, "YUV"),
            ["image.raw.pixel_format", "image.raw.width", "image.raw.height"],
            "RGB8, BGR8",
        ),
        ((b"", 10_000, 10_000, "RGB8"), ["image.raw"], "at most 40,000,000"),
        ((b"", 2**40, 2**40, "GRAY8"), ["image.raw", "image.raw"], "at most 16,384"),
    ],
)
def test_a_raw_image_that_disagrees_with_itself_is_refused(arguments, fields, says):
    with pytest.raises(InvalidInputError) as caught:
        from_raw(*arguments)
    assert [v.field for v in caught.value.violations] == fields
    assert says in str(caught.value)
