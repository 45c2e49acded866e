"""Files of pictures -> pixels, in the way and within the bounds in which the server decodes them.

What may take long, or of which nobody can say, goes to a decoder: a process of its own. A file that ends its decoder
is an outcome and no find: that it ends nothing else is what the decoder is for. One that would end the server's own
process ends this one, which the fuzzer sees.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from exalign_engine.arrays import U8
from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.image import examine
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_engine.geometry.levels import LevelsWanted, open_levels, whole
from exalign_service.decoding.pool import DecoderPool, FailureReason, is_dear
from fuzz_target import BrokenPromiseError, Target

#: Smaller than a server's, so that many inputs are tried: what is within them takes some milliseconds.
LIMITS = ImageLimits(max_bytes=16_384, max_pixels=500_000, max_seconds=0.5)

ORIENTATION = 0x0112


class Fuzzed(Target):
    """See the module."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._loop = asyncio.new_event_loop()
        self._failures = _Failures()
        self._decoders = DecoderPool(1, 2 * LIMITS.max_seconds, observer=self._failures)

    def seeds(self) -> Sequence[bytes]:
        return list(pictures())

    def run(self, data: bytes) -> str:
        self._failures.reasons.clear()
        try:
            examined = examine(data, LIMITS)
            if is_dear(examined.plan):
                image = self._loop.run_until_complete(self._decoders.decode(data, examined.plan, LIMITS))
            else:
                image = whole(open_levels(examined, lambda shape: LevelsWanted(2)))
        except InvalidInputError as e:
            if self._failures.reasons:
                return f"decoder ended: {self._failures.reasons[0]}"
            return "refused" if e.violations[0].field == "image.encoded" else _wrong(f"field {e.violations[0].field}")
        if image.dtype != np.uint8 or image.shape != examined.shape:
            return _wrong(f"{image.dtype} {image.shape} of a picture of {examined.shape}")
        if image.nbytes > 3 * LIMITS.max_pixels:
            return _wrong(f"{image.nbytes} bytes")
        return f"decoded {examined.header.format}"

    def close(self) -> None:
        self._loop.run_until_complete(self._decoders.close())
        self._loop.close()


class _Failures:
    """See `exalign_service.decoding.pool.DecoderObserver`."""

    def __init__(self) -> None:
        self.reasons: list[FailureReason] = []

    def decoders_changed(self, processes: int) -> None:
        """Nothing is counted."""

    def decode_jobs_changed(self, waiting: int, running: int) -> None:
        """Nothing is counted."""

    def decoder_failed(self, reason: FailureReason) -> None:
        """Remember it."""
        self.reasons.append(reason)


def _wrong(text: str) -> str:
    raise BrokenPromiseError(text)


def pictures() -> Iterator[bytes]:
    """Small pictures in every format and in many of its forms."""
    colour = drawn(24, 20)
    bgr = cv2.cvtColor(colour, cv2.COLOR_RGB2BGR)
    for kind, options in (
        (".jpg", []),
        (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (".jpg", [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]),
        (".png", []),
        (".webp", []),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
        (".bmp", []),
    ):
        yield cv2.imencode(kind, bgr, options)[1].tobytes()
    yield cv2.imencode(".png", bgr.astype(np.uint16) * 257)[1].tobytes()
    yield cv2.imencode(".jpg", bgr[..., 0])[1].tobytes()
    image = Image.fromarray(colour)
    for kind, mode in (("JPEG", "CMYK"), ("PNG", "P"), ("PNG", "LA"), ("PNG", "RGBA"), ("PNG", "1"), ("BMP", "P")):
        yield written(image.convert(mode), kind)
    for kind in ("AVIF", "GIF", "TIFF", "WEBP"):
        yield written(image, kind)
    for turned in (3, 6, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = turned
        for kind in ("JPEG", "PNG", "WEBP"):
            yield written(image, kind, exif=exif.tobytes())
    yield written(image, "PNG", save_all=True, append_images=[image.rotate(90)], duration=10)
    yield written(Image.fromarray(drawn(700, 300)), "JPEG", quality=5)


def drawn(width: int, height: int) -> U8:
    """(height, width, 3) a smooth colour picture."""
    noise = np.random.default_rng(5).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def written(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
