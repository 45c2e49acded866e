"""Pictures as large as a server takes by default: 40 megapixels, 8 MiB. Ordinary ones, made here, by format."""

from __future__ import annotations

import functools
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from exalign_engine.arrays import U8

WIDTH, HEIGHT = 7300, 5470


@functools.cache
def scene() -> U8:
    """A smooth picture, BGR: its files stay small."""
    coarse = np.random.default_rng(5).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _opencv(extension: str, *options: int) -> bytes:
    return bytes(cv2.imencode(extension, scene(), list(options))[1].tobytes())


def _avif() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scene()[..., ::-1]).save(buffer, "AVIF", quality=40, speed=10)
    return buffer.getvalue()


def _flat_png() -> bytes:
    flat = np.repeat(np.repeat(scene()[::64, ::64], 64, 0), 64, 1)[:HEIGHT, :WIDTH]
    return bytes(cv2.imencode(".png", flat, [cv2.IMWRITE_PNG_COMPRESSION, 6])[1].tobytes())


MAKERS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: _opencv(".jpg", cv2.IMWRITE_JPEG_QUALITY, 40),
    "progressive JPEG": lambda: _opencv(".jpg", cv2.IMWRITE_JPEG_QUALITY, 40, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "PNG": _flat_png,
    "WebP": lambda: _opencv(".webp", cv2.IMWRITE_WEBP_QUALITY, 30),
    "AVIF": _avif,
}


def large_picture(kind: str) -> bytes:
    """The file of a format; kept in the folder for temporary files, for some take long to make."""
    path = Path(tempfile.gettempdir()) / f"exalign-large-{kind.replace(' ', '-')}-{WIDTH}x{HEIGHT}"
    if not path.is_file():
        data = MAKERS[kind]()
        beside = path.with_suffix(".new")
        beside.write_bytes(data)
        beside.replace(path)
    return path.read_bytes()
