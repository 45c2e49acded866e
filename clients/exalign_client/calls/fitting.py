"""Requests whose picture is larger than the server takes: scaled on the way, and the scale undone in the answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf.message import Message

from exalign.v1 import image_pb2
from exalign_client.errors import MessageTooLargeError, MissingExtraError
from exalign_client.pictures.decode import Pixels, decode_picture, stored_size
from exalign_client.pictures.fitting import MAX_SIDE, fit_picture
from exalign_client.requests.scaling import PictureScale, split_posterior_id
from exalign_client.results.model import Limits

#: Pictures of fewer bytes are sent without asking for the server's limits, bytes.
ASK_FROM = 2**20

#: For a limit that a server does not state.
UNLIMITED = 2**31 - 1


def needs_limits(request: Any) -> bool:
    """Whether a request's picture may be more than the server takes."""
    image = _image(request)
    return image is not None and max(len(image.encoded), len(image.raw.data)) >= ASK_FROM


def fitted(request: Message, limits: Limits | None) -> tuple[Message, PictureScale | None]:
    """A request as it is to be sent, and how its picture was scaled for that.

    Args:
        request: as the caller means it; it stays as it is.
        limits: of the server; None: not known, nothing is too large.

    Returns:
        The request itself where nothing changes. None: every number is about the caller's own picture.

    Raises:
        InvalidRequestError: the picture is too large and cannot be decoded.
        MessageTooLargeError: it is too large, and what scales pictures is not installed.
    """
    image = _image(request)
    if limits is not None and image is not None and needs_limits(request) and _too_large(request, image, limits):
        sent, scale = _with_picture_that_fits(request, image, limits)
    else:
        sent, scale = _without_remembered_scale(request)
    if scale is not None:
        scale.apply(sent)
    return sent, scale


def _without_remembered_scale(request: Any) -> tuple[Message, PictureScale | None]:
    """The request with the server's own posterior id, and the scale that the caller's has."""
    posterior_id, scale = split_posterior_id(getattr(request, "posterior_id", ""))
    if scale is None:
        return request, None
    sent: Any = type(request)()
    sent.CopyFrom(request)
    sent.posterior_id = posterior_id
    return sent, scale


def _image(request: Any) -> image_pb2.Image | None:
    there = "image" in request.DESCRIPTOR.fields_by_name and request.HasField("image")
    return request.image if there else None


def _too_large(request: Message, image: image_pb2.Image, limits: Limits) -> bool:
    if request.ByteSize() > (limits.max_message_bytes or UNLIMITED):
        return True
    size: tuple[int, int] | None = image.raw.width, image.raw.height
    if image.WhichOneof("source") == "encoded":
        if len(image.encoded) > (limits.max_encoded_bytes or UNLIMITED):
            return True
        size = stored_size(image.encoded)
    return size is not None and (size[0] * size[1] > (limits.max_pixels or UNLIMITED) or max(size) > MAX_SIDE)


def _with_picture_that_fits(
    request: Any, image: image_pb2.Image, limits: Limits
) -> tuple[Message, PictureScale | None]:
    """The request with another picture, and how that was scaled; None where it has the size of the caller's."""
    sent: Any = type(request)()
    for field, value in request.ListFields():
        if field.name == "image":
            continue
        if field.is_repeated:
            getattr(sent, field.name).extend(value)
        elif field.message_type is not None:
            getattr(sent, field.name).CopyFrom(value)
        else:
            setattr(sent, field.name, value)
    # What is beside the picture counts too, and so do the few bytes that say how long it is.
    beside = sent.ByteSize() + 64
    most = min(limits.max_encoded_bytes or UNLIMITED, (limits.max_message_bytes or UNLIMITED) - beside)
    try:
        pixels = _pixels(image.raw) if image.WhichOneof("source") == "raw" else decode_picture(image.encoded)
        picture = fit_picture(pixels, most, limits.max_pixels or UNLIMITED)
    except MissingExtraError as error:
        size = max(len(image.encoded), len(image.raw.data))
        text = f"image: {size:,} bytes, more than this server takes ({most:,} as a file); to scale it, {error}"
        raise MessageTooLargeError(text) from None
    sent.image.encoded = picture.encoded
    return sent, None if picture.size == picture.original else PictureScale(picture.original, picture.size)


def _pixels(raw: image_pb2.RawImage) -> Pixels:
    """(H, W, 3) uint8, RGB, of a raw image of ours: RGB8 or GRAY8, rows without gaps."""
    channels = 1 if raw.pixel_format == image_pb2.PIXEL_FORMAT_GRAY8 else 3
    pixels = np.frombuffer(raw.data, np.uint8).reshape(raw.height, raw.width, channels)
    return np.ascontiguousarray(np.broadcast_to(pixels, (raw.height, raw.width, 3)))
