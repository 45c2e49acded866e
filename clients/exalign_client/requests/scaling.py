"""Requests and answers about a picture that was scaled for its way: what is in pixels, moved from one to the other.

A caller speaks of the original; the server saw the picture as sent. Both have pixel centres at whole numbers, so that x
becomes (x + ½) · s − ½. Widths and heights are rounded to pixels by themselves; a length takes the geometric mean of
both scales.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import Message

Size = tuple[int, int]

#: Fields that are lengths in pixels, by message.
LENGTHS: dict[str, tuple[str, ...]] = {
    "Circle": ("radius",),
    "Click": ("radius", "sigma"),
    "GroupUncertainty": ("rms_spread",),
    "Suggestion": ("error_reduction",),
    "SuggestionOptions": ("click_sigma",),
    "SuggestEvidenceResponse": ("expected_error",),
}

#: Pairs of fields that are places, by message.
PLACES: dict[str, tuple[tuple[str, str], ...]] = {
    "Point": (("x", "y"),),
    "Box": (("x0", "y0"), ("x1", "y1")),
    "Rectangle": (("x0", "y0"), ("x1", "y1")),
}

#: A posterior of a scaled picture: the server's id, the size of the original and that of the picture as sent.
_SCALED_ID = re.compile(r"(?P<id>.*)@(\d{1,9})x(\d{1,9}):(\d{1,9})x(\d{1,9})", re.DOTALL)


@dataclass(frozen=True)
class PictureScale:
    """How a picture was scaled.

    Attributes:
        original: width and height, pixels.
        sent: width and height as sent, pixels.
    """

    original: Size
    sent: Size

    def apply(self, request: Message) -> None:
        """Move a request from the original to the picture as sent, in place."""
        (width, height), (sent_width, sent_height) = self.original, self.sent
        _scale(request, sent_width / width, sent_height / height)

    def undo(self, response: Message) -> None:
        """Move an answer from the picture as sent to the original, in place; its posterior ids remember the scale."""
        (width, height), (sent_width, sent_height) = self.original, self.sent
        _scale(response, width / sent_width, height / sent_height)
        if response.DESCRIPTOR.name == "PredictLandmarksResponse":
            response.image_width, response.image_height = self.original  # type: ignore[attr-defined]
        _each(response, self._remember)

    def _remember(self, message: Any) -> None:
        if message.DESCRIPTOR.name == "Face" and message.posterior_id:
            (width, height), (sent_width, sent_height) = self.original, self.sent
            message.posterior_id += f"@{width}x{height}:{sent_width}x{sent_height}"


def split_posterior_id(posterior_id: str) -> tuple[str, PictureScale | None]:
    """The server's own id, and the scale that the caller's remembers; None where its picture was not scaled."""
    found = _SCALED_ID.fullmatch(posterior_id)
    if found is None:
        return posterior_id, None
    width, height, sent_width, sent_height = (int(part) for part in found.groups()[1:])
    if not min(width, height, sent_width, sent_height):
        return posterior_id, None
    return found["id"], PictureScale((width, height), (sent_width, sent_height))


def _each(message: Message, visit: Callable[[Any], None]) -> None:
    """Visit a message and everything in it."""
    visit(message)
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                _each(part, visit)


def _scale(message: Message, across: float, down: float) -> None:
    """Scale whatever is in pixels, in place."""
    length = (across * down) ** 0.5

    def visit(part: Any) -> None:
        name = part.DESCRIPTOR.name
        for x, y in PLACES.get(name, ()):
            setattr(part, x, (getattr(part, x) + 0.5) * across - 0.5)
            setattr(part, y, (getattr(part, y) + 0.5) * down - 0.5)
        for field in LENGTHS.get(name, ()):
            # A field of a oneof, or optional, must not be set where it was absent.
            if not part.DESCRIPTOR.fields_by_name[field].has_presence or part.HasField(field):
                setattr(part, field, getattr(part, field) * length)
        if name == "Covariance2":
            part.xx, part.xy, part.yy = part.xx * across**2, part.xy * across * down, part.yy * down**2
        elif name == "Landmarks":
            for points in (part.points, part.map_points):
                _replace(points, lambda pairs: (pairs + 0.5) * (across, down) - 0.5, 2)
            _replace(part.covariances, lambda rows: rows * (across**2, across * down, down**2), 3)

    _each(message, visit)


def _replace(values: Any, change: Callable[[Any], Any], columns: int) -> None:
    """Change packed rows of numbers; those that are no whole rows are left to the reader to refuse."""
    if len(values) % columns == 0:
        values[:] = change(np.array(values, np.float64).reshape(-1, columns)).ravel().tolist()
