"""Finding faces: detectors behind one protocol, and the affine that takes their boxes to face boxes."""

from __future__ import annotations

from pathlib import Path

from exalign_engine.detect.affine import MISS_IOU, BoxAffine, ResidualStats
from exalign_engine.detect.base import Detector, RawDetection
from exalign_engine.detect.fit import FittedAffine, fit_affines
from exalign_engine.errors import InvalidInputError

__all__ = [
    "DETECTORS",
    "MISS_IOU",
    "BoxAffine",
    "Detector",
    "FittedAffine",
    "RawDetection",
    "ResidualStats",
    "create_detector",
    "fit_affines",
]

#: Names that :func:`create_detector` knows.
DETECTORS = ("mtcnn", "yunet")


def create_detector(name: str, *, yunet_model: Path | None = None) -> Detector:
    """Load a detector.

    Args:
        name: one of ``DETECTORS``.
        yunet_model: the ONNX file of YuNet; needed for ``yunet`` only.

    Raises:
        InvalidInputError: the name is unknown, or YuNet is wanted without a model file.
        RuntimeUnavailableError: what the detector needs is missing or cannot be loaded.
    """
    # Imported here so that YuNet alone does not start ONNX Runtime, and affines alone start neither.
    if name == "mtcnn":
        from exalign_engine.detect.mtcnn import MtcnnDetector

        return MtcnnDetector()
    if name == "yunet":
        from exalign_engine.detect.yunet import YunetDetector

        if yunet_model is None:
            raise InvalidInputError.of("yunet_model", "is not set, detector yunet needs its model file")
        return YunetDetector(yunet_model)
    raise InvalidInputError.of("detector", f"is {name!r}, must be one of {', '.join(DETECTORS)}")
