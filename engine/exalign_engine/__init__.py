"""Exalign's engine: face alignment that answers with a distribution. No gRPC, no sockets, no asyncio."""

from exalign_engine.aligner import FACE_BOX, Aligner, Face, LocatedFace
from exalign_engine.bundle import Bundle, default_bundle_path
from exalign_engine.errors import (
    BundleError,
    DataError,
    ExalignError,
    InvalidInputError,
    RuntimeUnavailableError,
    Violation,
)
from exalign_engine.posterior import GroupUncertainty, Posterior, PosteriorModel

__all__ = [
    "FACE_BOX",
    "Aligner",
    "Bundle",
    "BundleError",
    "DataError",
    "ExalignError",
    "Face",
    "GroupUncertainty",
    "InvalidInputError",
    "LocatedFace",
    "Posterior",
    "PosteriorModel",
    "RuntimeUnavailableError",
    "Violation",
    "default_bundle_path",
]
