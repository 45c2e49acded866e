"""The pixels of an Image message."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign.v1 import image_pb2
from exalign_engine.errors import InvalidInputError, Violations
from exalign_engine.geometry.image import ExaminedPicture, examine
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_engine.geometry.raw_image import PixelFormat, from_raw
from exalign_service.requests.enums import add_unknown_enum

_PIXEL_FORMATS: dict[int, PixelFormat] = {
    image_pb2.PIXEL_FORMAT_RGB8: "RGB8",
    image_pb2.PIXEL_FORMAT_BGR8: "BGR8",
    image_pb2.PIXEL_FORMAT_GRAY8: "GRAY8",
}


@dataclass(frozen=True)
class ExaminedRaw:
    """A raw image of which the size is right. `decode` takes its pixels."""

    image: image_pb2.RawImage
    limits: ImageLimits

    @property
    def decoded_bytes(self) -> int:
        """Of its pixels as RGB."""
        return 3 * self.image.width * self.image.height

    def decode(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, in the image frame.

        Raises:
            InvalidInputError: every wrong field, from "image.raw" on.
        """
        return _decode_raw(self.image, self.limits)


def examine_image(image: image_pb2.Image, limits: ImageLimits) -> ExaminedPicture | ExaminedRaw:
    """Read an image as far as can be done without its pixels. Not for the event loop: a file may have many parts.

    Args:
        image: encoded or raw, as it was sent.
        limits: what is accepted.

    Raises:
        InvalidInputError: every wrong field, from "image" on, as far as it can be told.
    """
    source = image.WhichOneof("source")
    if source == "encoded":
        return examine(image.encoded, limits, field="image.encoded")
    if source == "raw":
        return ExaminedRaw(image.raw, limits)
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
