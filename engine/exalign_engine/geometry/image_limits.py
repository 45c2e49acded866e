"""What an image may measure at most, and what its decoding may cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

from exalign_engine.errors import InvalidInputError, Violation

#: Pillow warns above this size by itself; a limit beyond it would need a change of Pillow's global settings.
PILLOW_MAX_PIXELS = 89_478_485

#: OpenCV's resampling takes no longer side.
_OPENCV_MAX_SIDE = 32_766


@dataclass(frozen=True)
class ImageLimits:
    """What an image may measure at most.

    Args:
        max_bytes: size of an encoded image. Raw images are bounded by ``max_pixels``.
        max_pixels: width × height, 1 to 89,478,485 (where Pillow's own guard begins).
        max_side: width or height, 1 to 32,766 (where OpenCV's resampling ends).
        max_seconds: CPU time that decoding may take, as `exalign_engine.geometry.decode_cost` estimates it; above 0.

    Raises:
        InvalidInputError: a limit is outside its range.
    """

    max_bytes: int = 8 * 1024 * 1024
    max_pixels: int = 40_000_000
    max_side: int = 16_384
    max_seconds: float = 5.0

    @classmethod
    def widest(cls) -> ImageLimits:
        """The most that can be read: for files of the caller's own."""
        return cls(max_bytes=2**31 - 1, max_pixels=PILLOW_MAX_PIXELS, max_side=_OPENCV_MAX_SIDE, max_seconds=math.inf)

    def __post_init__(self) -> None:
        ranges = {"max_bytes": 2**31 - 1, "max_pixels": PILLOW_MAX_PIXELS, "max_side": _OPENCV_MAX_SIDE}
        wrong = [
            Violation(name, f"is {getattr(self, name)}, must be 1 to {most:,}")
            for name, most in ranges.items()
            if not 1 <= getattr(self, name) <= most
        ]
        if not self.max_seconds > 0:
            wrong.append(Violation("max_seconds", f"is {self.max_seconds:g}, must be above 0"))
        if wrong:
            raise InvalidInputError(wrong)


def too_large(w: int, h: int, limits: ImageLimits) -> list[str]:
    """One sentence for each limit that a size breaks."""
    wrong = []
    if w * h > limits.max_pixels:
        wrong.append(f"is {w} × {h} = {w * h:,} pixels, at most {limits.max_pixels:,} accepted")
    if max(w, h) > limits.max_side:
        wrong.append(f"is {w} × {h}, its longer side may have at most {limits.max_side:,} pixels")
    return wrong
