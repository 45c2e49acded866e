"""The same bytes are the same picture to server, data sets and client: formats, modes, depths and orientations."""

from __future__ import annotations

import base64
import io
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from exalign_client.errors import InvalidRequestError
from exalign_client.pictures.decode import decode_picture
from exalign_engine.data.pictures import read_image
from exalign_engine.errors import DataError, InvalidInputError
from exalign_engine.geometry.image import decode

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")


def scene() -> NDArray[np.uint8]:
    """(48, 64, 3): four colours, a gradient in each, no symmetry."""
    y, x = np.mgrid[:48, :64]
    left, top = x < 32, y < 24
    colours = np.where(
        top[..., None],
        np.where(left[..., None], (220, 40, 40), (40, 200, 60)),
        np.where(left[..., None], (50, 70, 220), (230, 220, 80)),
    )
    return (colours * (0.6 + 0.4 * ((x + 2 * y) % 64)[..., None] / 63)).astype(np.uint8)


SCENE = scene()

# Four colours, 64 × 48, written by libheif with EXIF orientation 6, which the container has as a rotation.
HEIC_TURNED = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAAAA"
    "AERAAAIAAQAAAAAB7AABAAAAAAAAAMYAAgAAAAACsgABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZl"
    "AgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH/"
    "/wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29s"
    "cm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAA"
    "AwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAPJtZGF0AAAAwigBrwngITip"
    "/+2Sf/wQdl7cvJ5Wnv1j/99y+8k4/+KVt0fo8TzD2SR/wiX/qSPrZGSML/9eWXsDgs9iIAZ0XXXegT2R6FyQ2RSuAa7O3HQACGx4pgIjgGSgOXb2"
    "bB9LhQlQy+JH3tRW85vGksiowPNcBADW/+HbJSnJe2A/KGLT+mALdZkIbn0HfXq75On4VugvJXlUKMlhFC1DtHL3O+s+ib23sJNh/MQwhf7/CXjZ"
    "IqIbPzVFMk6lphe91ZKs3+awAAAABkV4aWYAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAA"
)


def encoded(image: Image.Image | NDArray[np.uint8], kind: str, **keywords: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **keywords)
    return buffer.getvalue()


def exif(orientation: int, kind: str = "SHORT") -> bytes:
    """A block of EXIF, big-endian, that holds an orientation alone."""
    value = struct.pack(">HH", orientation, 0) if kind == "SHORT" else struct.pack(">I", orientation)
    return b"Exif\0\0MM\0*" + struct.pack(">IHHHI", 8, 1, 0x112, {"SHORT": 3, "LONG": 4}[kind], 1) + value + bytes(4)


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def png_with_xmp(behind: bool) -> bytes:
    """A PNG whose XMP stands before or behind its pixels."""
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=False)
    data = encoded(SCENE, "PNG", pnginfo=info)
    at = data.index(b"iTXt") - 4
    chunk = data[at : at + 12 + int.from_bytes(data[at : at + 4], "big")]
    end = data.index(b"IEND") - 4
    return data[:at] + data[at + len(chunk) : end] + chunk + data[end:] if behind else data


def agree(data: bytes, tmp_path: Path) -> NDArray[np.uint8]:
    """The picture, which server, data sets and client see alike, bit for bit."""
    served = decode(data)
    path = tmp_path / "picture"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_image(path), served)
    drawn = decode_picture(data)
    assert drawn.flags.c_contiguous
    np.testing.assert_array_equal(drawn, served)
    return served


DEEP = SCENE.astype(np.uint16) * 256 + 200
GREY = Image.fromarray(SCENE).convert("L")

MODES: dict[str, bytes] = {
    "grey.jpg": encoded(GREY, "JPEG"),
    "colour.jpg": encoded(SCENE, "JPEG"),
    "progressive.jpg": encoded(SCENE, "JPEG", progressive=True),
    "cmyk.jpg": encoded(Image.fromarray(SCENE).convert("CMYK"), "JPEG", quality=95),
    "mpo.jpg": encoded(Image.fromarray(SCENE), "MPO", save_all=True, append_images=[Image.new("RGB", (64, 48))]),
    "grey.png": encoded(GREY, "PNG"),
    "grey and alpha.png": encoded(GREY.convert("LA"), "PNG"),
    "colour.png": encoded(SCENE, "PNG"),
    "alpha.png": encoded(np.dstack([SCENE, SCENE[..., 0]]), "PNG"),
    "palette.png": encoded(Image.fromarray(SCENE).quantize(16), "PNG"),
    "palette with transparency.png": encoded(Image.fromarray(SCENE).quantize(16), "PNG", transparency=3),
    "one bit.png": encoded(GREY.convert("1"), "PNG"),
    "grey 16.png": encoded(Image.fromarray(DEEP[..., 1]), "PNG"),
    "colour 16.png": cv2.imencode(".png", DEEP[..., ::-1])[1].tobytes(),
    "alpha 16.png": cv2.imencode(".png", np.dstack([DEEP[..., ::-1], DEEP[..., 0]]))[1].tobytes(),
    "colour.webp": encoded(SCENE, "WEBP", quality=90),
    "alpha.webp": encoded(np.dstack([SCENE, SCENE[..., 0]]), "WEBP", quality=90),
    "lossless.webp": encoded(SCENE, "WEBP", lossless=True),
    "grey.bmp": encoded(GREY, "BMP"),
    "palette.bmp": encoded(Image.fromarray(SCENE).quantize(16), "BMP"),
    "one bit.bmp": encoded(GREY.convert("1"), "BMP"),
    "colour.bmp": encoded(SCENE, "BMP"),
}


@pytest.mark.parametrize("name", MODES)
def test_every_mode_and_depth_is_one_picture(name: str, tmp_path: Path) -> None:
    pixels = agree(MODES[name], tmp_path).astype(int)
    expected = SCENE.astype(int)
    if name.startswith(("grey", "one bit")):
        assert (pixels == pixels[..., :1]).all()
        expected = np.repeat(np.asarray(GREY).astype(int)[..., None], 3, axis=2)
    if name.startswith("grey 16"):
        expected = np.repeat(SCENE[..., 1:2].astype(int), 3, axis=2)
    if not name.startswith("one bit"):
        assert np.abs(pixels - expected).mean() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("written", ["SHORT", "LONG"])
def test_every_orientation_is_one_picture(kind: str, orientation: int, written: str, tmp_path: Path) -> None:
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}.get(kind, {})
    data = encoded(SCENE, kind, exif=exif(orientation, written), **lossless)
    assert np.abs(agree(data, tmp_path).astype(int) - turned(orientation)).mean() < 6


def turned(orientation: int) -> NDArray[np.int64]:
    """How a picture that is stored as `SCENE` is to be seen (EXIF 2.3, tag 0x0112)."""
    seen = {
        1: SCENE,
        2: SCENE[:, ::-1],
        3: SCENE[::-1, ::-1],
        4: SCENE[::-1],
        5: SCENE.swapaxes(0, 1),
        6: np.rot90(SCENE, -1),
        7: SCENE[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(SCENE),
    }
    return np.asarray(seen[orientation], dtype=np.int64)


@pytest.mark.parametrize(
    "data",
    [
        encoded(SCENE, "JPEG", quality=95, xmp=XMP),
        encoded(SCENE, "WEBP", lossless=True, xmp=XMP),
        png_with_xmp(behind=False),
        png_with_xmp(behind=True),
    ],
    ids=["jpeg", "webp", "png", "png, behind its pixels"],
)
def test_an_orientation_in_xmp_alone_is_not_applied(data: bytes, tmp_path: Path) -> None:
    assert np.abs(agree(data, tmp_path).astype(int) - SCENE).mean() < 6


def test_the_orientation_of_exif_counts_beside_another_in_xmp(tmp_path: Path) -> None:
    data = encoded(SCENE, "JPEG", quality=95, xmp=XMP, exif=exif(3))
    assert np.abs(agree(data, tmp_path).astype(int) - turned(3)).mean() < 6


@needs_avif
@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_has_the_orientation_of_its_container(orientation: int, tmp_path: Path) -> None:
    data = encoded(SCENE, "AVIF", quality=90, exif=exif(orientation))
    assert np.abs(agree(data, tmp_path).astype(int) - turned(orientation)).mean() < 8


@needs_avif
def test_an_animated_avif_is_refused() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidInputError, match="an animated AVIF"):
        decode(data)
    with pytest.raises(InvalidRequestError, match="an animated AVIF"):
        decode_picture(data)


def test_heic_is_one_picture_where_its_extra_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif", reason="reading HEIC needs pi-heif (extra 'heic')")
    pixels = agree(base64.b64decode(HEIC_TURNED), tmp_path).astype(int)
    assert pixels.shape == (64, 48, 3)
    corners = pixels[[8, 8, 56, 56], [8, 40, 8, 40]]
    assert np.abs(corners - [(50, 70, 220), (220, 40, 40), (230, 220, 80), (40, 200, 60)]).max() < 40


def test_without_its_extra_heic_is_refused_by_its_name() -> None:
    program = f"""
import base64, sys
sys.modules.update(dict.fromkeys(["pi_heif", "pillow_heif"]))
from exalign_client.pictures.decode import decode_picture
from exalign_engine.geometry.image import decode
for read in (decode, decode_picture):
    try:
        read(base64.b64decode({HEIC_TURNED!r}))
    except Exception as e:
        print(type(e).__name__, e)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    served, drawn = done.stdout.splitlines()
    assert served.startswith("InvalidInputError image.encoded: is a HEIC file")
    assert drawn.startswith("MissingExtraError reading a HEIC file")
    assert all("pip install 'exalign[heic]'" in line for line in (served, drawn))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(
    "name", ["colour.jpg", "progressive.jpg", "cmyk.jpg", "colour.png", "colour.webp", "colour.bmp"]
)
def test_what_one_refuses_all_refuse(name: str, share: float, tmp_path: Path) -> None:
    data = MODES[name][: int(len(MODES[name]) * share)]
    path = tmp_path / "cut"
    path.write_bytes(data)
    with pytest.raises(InvalidInputError):
        decode(data)
    with pytest.raises(InvalidRequestError, match="cannot decode"):
        decode_picture(data)
    with pytest.raises(DataError, match="cut: cannot be decoded"):
        read_image(path)


def ended_early(name: str, share: float) -> bytes:
    """A JPEG whose data end after a share of them, with an end marker behind."""
    data = MODES[name]
    begin = data.rindex(b"\xff\xda")
    return data[: begin + 14 + int((len(data) - begin - 16) * share)].rstrip(b"\xff") + b"\xff\xd9"


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
@pytest.mark.parametrize("name", [name for name in MODES if name.endswith("jpg") and not name.startswith("mpo")])
def test_a_jpeg_whose_data_end_early_is_refused_with_its_end_marker_too(name: str, share: float) -> None:
    data = ended_early(name, share)
    with pytest.raises(InvalidInputError, match="end before its picture does"):
        decode(data)
    with pytest.raises(InvalidRequestError, match="end before its picture does"):
        decode_picture(data)


@pytest.mark.parametrize("keywords", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_whole_picture_as_grey_as_missing_data_is_none_the_less_one(
    mode: str, keywords: dict[str, Any], tmp_path: Path
) -> None:
    grey = Image.new("RGB", (70, 50), (128, 128, 128)).convert(mode)
    assert (agree(encoded(grey, "JPEG", **keywords), tmp_path) == 128).all()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PPM"])
def test_other_formats_are_refused_alike(kind: str) -> None:
    data = encoded(SCENE, kind)
    with pytest.raises(InvalidInputError):
        decode(data)
    with pytest.raises(InvalidRequestError, match="cannot decode"):
        decode_picture(data)
