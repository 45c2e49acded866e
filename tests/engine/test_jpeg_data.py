"""A JPEG whose data end before its picture does is refused, wherever they end; a whole one never is."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from exalign.pictures.jpeg_data import read_structure
from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.image import decode
from properties import examples

SCENE = np.ascontiguousarray(skimage.data.astronaut()[40:140, 120:231])

#: Bytes that may be missing unseen: what libjpeg reads ahead.
READ_AHEAD = 8


def jpeg(image: np.ndarray | Image.Image = SCENE, **keywords: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, "JPEG", **keywords)
    return buffer.getvalue()


def cut(data: bytes, end: int) -> bytes:
    """The data up to an offset, with an end marker behind; half a marker at the cut is left out."""
    return data[:end].rstrip(b"\xff") + b"\xff\xd9"


def is_refused(data: bytes) -> bool:
    """Whether a file is refused for its missing data; another refusal is an error of the test."""
    try:
        decode(data)
    except InvalidInputError as e:
        if "end before its picture does" not in str(e):
            raise
        return True
    return False


@pytest.mark.parametrize(
    "keywords",
    [
        {"quality": 80},
        {"quality": 30, "optimize": True},
        {"quality": 95, "subsampling": 0},
        {"quality": 80, "restart_marker_blocks": 3},
        {"quality": 80, "progressive": True},
        {"quality": 95, "progressive": True, "subsampling": 0},
        {"quality": 80, "progressive": True, "restart_marker_rows": 1},
    ],
    ids=str,
)
def test_data_that_end_early_anywhere_in_the_last_scan_are_refused(keywords: dict[str, Any]) -> None:
    data = jpeg(**keywords)
    structure = read_structure(data)
    # The last blocks of one scan are not looked for: theirs is the last pixel.
    seen = range(structure.data_begin, structure.data_end - (100 if structure.scans == 1 else READ_AHEAD), 7)
    assert not [end for end in seen if not is_refused(cut(data, end))]
    assert not is_refused(data)


def test_data_that_end_early_in_an_earlier_scan_are_refused() -> None:
    data = jpeg(quality=80, progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xda", first + 2)
    assert is_refused(cut(data, (first + second) // 2))


def test_a_channel_that_no_scan_is_about_is_missing() -> None:
    """A grey picture whose frame is told to have two more channels."""
    data = jpeg(Image.fromarray(SCENE).convert("L"))
    at = data.index(b"\xff\xc0")
    frame = bytearray(data[at : at + 13])
    frame[3] += 6
    frame[9] = 3
    with pytest.raises(InvalidInputError, match="ends before the data of 2 of its channels"):
        decode(data[:at] + bytes(frame) + b"\x02\x11\x00\x03\x11\x00" + data[at + 13 :])


@pytest.mark.parametrize("kind", [0xC3, 0xC9, 0xCA], ids=["lossless", "arithmetic", "progressive arithmetic"])
def test_kinds_that_nobody_sends_are_refused_by_their_name(kind: int) -> None:
    data = jpeg()
    at = data.index(b"\xff\xc0")
    with pytest.raises(InvalidInputError, match=f"of the rare kind SOF{kind - 0xC0}"):
        decode(data[: at + 1] + bytes([kind]) + data[at + 2 :])


def test_a_file_of_nothing_but_segments_is_refused_before_it_is_parsed() -> None:
    data = jpeg()
    for filling in (b"\xff\xe5\x00\x02" * 21_000, b"\xff" * 200_000):
        with pytest.raises(InvalidInputError, match=r"has more than 2\d,\d{3} segments"):
            decode(data[:2] + filling + data[2:])


@examples(100)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 100),
    st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    st.booleans(),
    st.sampled_from([{}, {"restart_marker_blocks": 1}, {"restart_marker_rows": 1}]),
    st.sampled_from(["L", "RGB", "CMYK"]),
    st.booleans(),
)
def test_a_whole_picture_is_never_refused(
    width: int,
    height: int,
    quality: int,
    subsampling: str,
    progressive: bool,
    restarts: dict[str, int],
    mode: str,
    grey_corner: bool,
) -> None:
    pixels = SCENE[:height, :width].copy()
    if grey_corner:
        pixels[height // 2 :, width // 2 :] = 128
    image = Image.fromarray(pixels).convert(mode)
    keywords = {} if mode == "L" else {"subsampling": subsampling}
    assert not is_refused(jpeg(image, quality=quality, progressive=progressive, **keywords, **restarts))
