"""OpenCV, which the base install is without. Nothing else in the client imports it."""

from __future__ import annotations

from types import ModuleType

from exalign_client.errors import MissingExtraError


def require_opencv() -> ModuleType:
    """Import OpenCV.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("reading and drawing pictures", "cli") from None
    module: ModuleType = cv2
    return module
