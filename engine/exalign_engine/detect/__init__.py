"""Finding faces: detectors behind one protocol, and the maps that take what they answer to face boxes."""

from __future__ import annotations

from exalign_engine.detect import blazeface_detector, mtcnn, yunet
from exalign_engine.detect.affine import MISS_IOU, BoxAffine, ResidualStats
from exalign_engine.detect.base import Detector, RawDetection
from exalign_engine.detect.face_box import FaceBoxMap, PointMap
from exalign_engine.detect.fit import FittedAffine, fit_affines
from exalign_engine.detect.registry import (
    DETECTORS,
    DetectorSpec,
    convention,
    create_chosen_detector,
    create_default_detector,
    create_detector,
    create_detectors,
    default_among,
    default_detector,
    understood,
)

__all__ = [
    "DEFAULT_DETECTOR",
    "DETECTORS",
    "MISS_IOU",
    "BoxAffine",
    "Detector",
    "DetectorSpec",
    "FaceBoxMap",
    "FittedAffine",
    "PointMap",
    "RawDetection",
    "ResidualStats",
    "convention",
    "create_chosen_detector",
    "create_default_detector",
    "create_detector",
    "create_detectors",
    "default_among",
    "fit_affines",
    "understood",
]

for _spec in (blazeface_detector.SPEC, mtcnn.SPEC, yunet.SPEC, blazeface_detector.THOROUGH):
    DETECTORS.register(_spec)

#: Finds faces where no detector is named and the bundle knows it.
DEFAULT_DETECTOR = default_detector()
