"""Finding faces: detectors behind one protocol, and the affine that takes their boxes to face boxes."""

from __future__ import annotations

from exalign_engine.detect import blazeface_detector, mtcnn, yunet
from exalign_engine.detect.affine import MISS_IOU, BoxAffine, ResidualStats
from exalign_engine.detect.base import Detector, RawDetection
from exalign_engine.detect.fit import FittedAffine, fit_affines
from exalign_engine.detect.registry import (
    DETECTORS,
    DetectorSpec,
    convention,
    create_detector,
    create_detectors,
    default_detector,
)

__all__ = [
    "DEFAULT_DETECTOR",
    "DETECTORS",
    "MISS_IOU",
    "BoxAffine",
    "Detector",
    "DetectorSpec",
    "FittedAffine",
    "RawDetection",
    "ResidualStats",
    "convention",
    "create_detector",
    "create_detectors",
    "fit_affines",
]

for _spec in (mtcnn.SPEC, yunet.SPEC, blazeface_detector.SPEC, blazeface_detector.THOROUGH):
    DETECTORS.register(_spec)

#: Finds faces where no detector is named.
DEFAULT_DETECTOR = default_detector()
