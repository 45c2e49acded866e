"""What decoding takes: the table behind `exalign_engine.geometry.decode_cost`.

    python benchmarks/decode_cost.py [--megapixels 2 12 40]

Draws ordinary pictures, writes each in every format that Pillow writes, and compares the CPU time of decoding with
the estimate. Each is decoded in a process of its own, whose growth is the memory that decoding takes.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import skimage.data
from PIL import Image

from exalign_engine.geometry.image import decode, examine
from exalign_engine.geometry.image_limits import ImageLimits

#: (first column, first row, step across, step down) of Adam7's passes.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def drawn(megapixels: float, noise: float) -> Image.Image:
    """The astronaut, enlarged, with as much noise as a camera has."""
    width, height = int((megapixels * 4e6 / 3) ** 0.5), int((megapixels * 3e6 / 4) ** 0.5)
    image = cv2.resize(skimage.data.astronaut(), (width, height), interpolation=cv2.INTER_CUBIC)
    if noise:
        grain = np.random.default_rng(0).normal(0, noise, (height, width)).astype(np.int8)
        image = np.clip(image.astype(np.int16) + grain[..., None], 0, 255).astype(np.uint8)
    return Image.fromarray(image)


def encoded(image: Image.Image, kind: str, **keywords: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **keywords)
    return buffer.getvalue()


def interlaced_png(image: Image.Image) -> bytes:
    """Pillow writes none."""
    pixels = np.asarray(image)
    rows = []
    for x, y, across, down in _ADAM7:
        part = pixels[y::down, x::across].reshape(-(-(image.height - y) // down), -1)
        rows.append(np.hstack([np.zeros((len(part), 1), np.uint8), part]).tobytes())

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = image.width.to_bytes(4, "big") + image.height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 1])
    body = zlib.compress(b"".join(rows), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def files(megapixels: float) -> Iterator[tuple[str, bytes]]:
    """Ordinary pictures by name."""
    noisy, smooth = drawn(megapixels, 6), drawn(megapixels, 0)
    turned = Image.Exif()
    turned[0x0112] = 6
    yield "JPEG", encoded(noisy, "JPEG", quality=80)
    yield "JPEG, all colours, quality 95", encoded(noisy, "JPEG", quality=95, subsampling=0)
    yield "JPEG, turned", encoded(noisy, "JPEG", quality=80, exif=turned)
    yield "JPEG, CMYK", encoded(noisy.convert("CMYK"), "JPEG", quality=80)
    yield "JPEG, progressive", encoded(noisy, "JPEG", quality=80, progressive=True)
    yield "JPEG, progressive, quality 95", encoded(noisy, "JPEG", quality=95, subsampling=0, progressive=True)
    yield "WebP", encoded(noisy, "WEBP", quality=80, method=0)
    yield "WebP, lossless, noise", encoded(noisy, "WEBP", lossless=True, method=0, quality=0)
    yield "WebP, lossless, smooth", encoded(smooth, "WEBP", lossless=True, method=0, quality=0)
    yield "PNG, noise", encoded(noisy, "PNG", compress_level=1)
    yield "PNG, smooth", encoded(smooth, "PNG", compress_level=6)
    yield "PNG, palette", encoded(smooth.convert("P"), "PNG", compress_level=1)
    yield "PNG, alpha", encoded(smooth.convert("RGBA"), "PNG", compress_level=1)
    yield "PNG, interlaced", interlaced_png(noisy)
    deep = np.asarray(smooth).astype(np.uint16) * 257
    yield "PNG, 16 bits", cv2.imencode(".png", deep, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    yield "BMP", encoded(smooth, "BMP")
    yield "AVIF", encoded(noisy, "AVIF", quality=60, speed=10)
    yield "AVIF, all colours, quality 90", encoded(noisy, "AVIF", quality=90, speed=10, subsampling="4:4:4")


def measure(data: bytes) -> tuple[float, int]:
    """CPU seconds, best of two, and bytes by which the process grew, of decoding in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        limits, best = ImageLimits.widest(), float("inf")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(2):
            start = time.process_time()
            decode(data, limits)
            best = min(best, time.process_time() - start)
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        os.write(writing, f"{best} {grown}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    seconds, more = os.read(reading, 100).split()
    os.close(reading)
    os.close(writing)
    return float(seconds), int(more)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", nargs="+", type=float, default=[2, 12, 40])
    cv2.setNumThreads(1)
    print("| picture | MP | MB | ms | estimate | grown, bytes a pixel | estimate |\n|---|---|---|---|---|---|---|")
    for megapixels in parser.parse_args(arguments).megapixels:
        for name, data in files(megapixels):
            plan = examine(data, ImageLimits.widest()).plan
            seconds, grown = measure(data)
            pixels = plan.width * plan.height
            print(
                f"| {name} | {pixels / 1e6:.1f} | {len(data) / 1e6:.2f} | {1000 * seconds:.0f} | {plan.cpu_ms:.0f} | "
                f"{grown / pixels:.1f} | {plan.peak_bytes / pixels:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
