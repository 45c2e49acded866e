"""What decoding a file takes is known beforehand, and bounded; no ordinary picture is refused for it."""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.image import decode, examine
from exalign_engine.geometry.image_limits import ImageLimits

WIDE = Image.fromarray((np.mgrid[:300, :400].sum(0)[..., None] % [256, 255, 254]).astype(np.uint8))


def encoded(image: Image.Image = WIDE, kind: str = "JPEG", **keywords: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **keywords)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png_with(*chunks: bytes) -> bytes:
    """A PNG with chunks before its pixels."""
    data = encoded(kind="PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def cost(data: bytes) -> float:
    return examine(data).plan.cpu_ms


FILES = {
    "JPEG": encoded(),
    "progressive JPEG": encoded(progressive=True),
    "CMYK": encoded(WIDE.convert("CMYK")),
    "PNG": encoded(kind="PNG"),
    "palette": encoded(WIDE.quantize(16), "PNG"),
    "WebP": encoded(kind="WEBP"),
    "BMP": encoded(kind="BMP"),
}


@pytest.mark.parametrize("name", FILES)
def test_size_and_memory_are_known_from_the_structure(name: str) -> None:
    plan = examine(FILES[name]).plan
    assert (plan.width, plan.height) == (400, 300)
    assert plan.decoded_bytes == decode(FILES[name]).nbytes
    assert plan.peak_bytes >= 2 * plan.decoded_bytes
    assert plan.bounded


def test_the_dearer_a_structure_the_higher_the_estimate() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    assert cost(FILES["JPEG"]) < cost(encoded(exif=turned)) < cost(encoded(exif=turned, quality=100))
    assert cost(FILES["JPEG"]) < cost(FILES["progressive JPEG"])
    assert cost(FILES["palette"]) < cost(FILES["PNG"]) < cost(encoded(WIDE.convert("RGBA"), "PNG"))
    assert cost(FILES["PNG"]) < cost(encoded(kind="PNG", exif=turned))


def test_every_scan_counts_be_it_ever_so_small() -> None:
    data = encoded(progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    once, more = (cost(data[:-2] + last * n + data[-2:]) for n in (1, 21))
    assert more - once == pytest.approx(20 * (0.5 * 0.12 + 0.006 + 45e-6 * len(last)))


def test_a_png_in_seven_passes_is_dearer() -> None:
    header = bytearray(FILES["PNG"][16:29])
    header[12] = 1
    assert cost(FILES["PNG"][:8] + chunk(b"IHDR", bytes(header)) + FILES["PNG"][33:]) > cost(FILES["PNG"])


def test_metadata_that_are_decompressed_count() -> None:
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000)))
    assert cost(png_with(text, text)) - cost(png_with(text)) == pytest.approx(cost(png_with(text)) - cost(png_with()))
    assert cost(png_with(text)) > cost(png_with(chunk(b"tEXt", b"Comment\0" + bytes(len(text) - 20))))


def test_lossless_webp_is_not_bounded_by_its_structure() -> None:
    assert not examine(encoded(kind="WEBP", lossless=True)).plan.bounded


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif_is_not_bounded_by_its_structure() -> None:
    assert not examine(encoded(kind="AVIF")).plan.bounded


def test_transparency_without_loss_beside_colours_with_it_is_not_bounded_either() -> None:
    clear = WIDE.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(WIDE.size))
    assert not examine(encoded(clear, "WEBP", quality=80)).plan.bounded


def test_a_bmp_in_runs_is_read_and_not_bounded() -> None:
    """Two pixels of one colour, as RLE8."""
    head = b"BM" + (1024 + 54 + 4).to_bytes(4, "little") + bytes(4) + (1024 + 54).to_bytes(4, "little")
    info = b"".join(n.to_bytes(size, "little") for n, size in ((40, 4), (2, 4), (1, 4), (1, 2), (8, 2), (1, 4)))
    palette = bytes(range(256)) * 4
    data = head + info + bytes(20) + palette + b"\x02\x07\x00\x01"
    assert decode(data).shape == (1, 2, 3)
    assert not examine(data).plan.bounded


def test_what_would_take_too_long_is_refused_before_it_is_decoded() -> None:
    data = encoded(progressive=True)
    limits = ImageLimits(max_seconds=examine(data).plan.cpu_ms / 2000)
    expected = (
        rf"^image\.encoded: is a JPEG in several scans of 400 × 300 pixels of 10 scans, which takes about [\d.e-]+ s "
        rf"to decode, at most {limits.max_seconds:g} s accepted$"
    )
    for work in (examine, decode):
        with pytest.raises(InvalidInputError, match=expected):
            work(data, limits)


def test_a_limit_of_time_must_be_above_zero() -> None:
    with pytest.raises(InvalidInputError, match="max_seconds: is 0, must be above 0"):
        ImageLimits(max_seconds=0)


def large_header(name: str) -> bytes:
    """A file of 40 megapixels as its header says, with as many bytes as may be sent."""
    data = bytearray(FILES[name])
    if name == "PNG":
        data[16:33] = chunk(b"IHDR", (8000).to_bytes(4, "big") + (5000).to_bytes(4, "big") + data[24:29])[8:]
    else:
        at = next(data.find(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in data)
        data[at + 5 : at + 9] = (5000).to_bytes(2, "big") + (8000).to_bytes(2, "big")
    return bytes(data) + bytes(8 * 1024 * 1024 - len(data))


@pytest.mark.parametrize("name", ["JPEG", "progressive JPEG", "CMYK", "PNG"])
def test_ordinary_pictures_of_the_largest_size_are_admitted(name: str) -> None:
    plan = examine(large_header(name)).plan
    assert (plan.width, plan.height) == (8000, 5000)


def test_a_png_of_nothing_but_chunks_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"is a file that has more than 2\d,\d{3} chunks"):
        examine(png_with(*[chunk(b"tEXt", b"a\0")] * 22_000))


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", FILES["PNG"][:20], FILES["JPEG"][:-2]], ids=["", "GIF", "PNG", "JPEG"]
)
def test_examining_refuses_in_the_words_of_decoding(data: bytes) -> None:
    with pytest.raises(InvalidInputError) as examined:
        examine(data)
    with pytest.raises(InvalidInputError) as decoded:
        decode(data)
    assert examined.value.violations == decoded.value.violations
