"""The pixels of an Image message."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exalign.v1 import image_pb2
from exalign_engine.errors import InvalidInputError, Violations
from exalign_engine.geometry.image import decode
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_engine.geometry.raw_image import PixelFormat, from_raw
from exalign_service.requests.enums import add_unknown_enum

_PIXEL_FORMATS: dict[int, PixelFormat] = {
    image_pb2.PIXEL_FORMAT_RGB8: "RGB8",
    image_pb2.PIXEL_FORMAT_BGR8: "BGR8",
    image_pb2.PIXEL_FORMAT_GRAY8: "GRAY8",
}


def decode_image(image: image_pb2.Image, limits: ImageLimits) -> NDArray[np.uint8]:
    """Decode an image. Slow: for an executor.

    Args:
        image: encoded or raw, as it was sent.
        limits: what is accepted.

    Returns:
        (H, W, 3) uint8 RGB, in the image frame.

    Raises:
        InvalidInputError: every wrong field, from "image" on.
    """
    source = image.WhichOneof("source")
    if source == "encoded":
        return decode(image.encoded, limits, field="image.encoded")
    if source == "raw":
        return _decode_raw(image.raw, limits)
    raise InvalidInputError.of("image", "is not set, must hold an encoded or a raw image")


def _decode_raw(raw: image_pb2.RawImage, limits: ImageLimits) -> NDArray[np.uint8]:
    pixel_format = _PIXEL_FORMATS.get(raw.pixel_format)
    if pixel_format is not None:
        stride = raw.row_stride or None
        return from_raw(raw.data, raw.width, raw.height, pixel_format, stride, limits, field="image.raw")
    violations = Violations()
    add_unknown_enum(violations, "image.raw.pixel_format", raw.pixel_format, image_pb2.PixelFormat.DESCRIPTOR)
    try:  # the other fields are checked as if the format were the commonest one, all but the bytes
        from_raw(b"", raw.width, raw.height, "RGB8", None, limits, field="image.raw")
    except InvalidInputError as e:
        violations.extend(v for v in e.violations if v.field != "image.raw.data")
    raise InvalidInputError(violations)
