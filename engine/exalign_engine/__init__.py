"""Exalign's engine: face alignment that answers with a distribution. No gRPC, no sockets, no asyncio.

Names are loaded when first used: the package can be imported where only the client is installed, and a command
that needs no network does not wait for OpenVINO.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exalign_engine.bundle.bundle import Bundle, default_bundle_path
    from exalign_engine.errors import (
        BundleError,
        DataError,
        ExalignError,
        InvalidInputError,
        RuntimeUnavailableError,
        Violation,
    )
    from exalign_engine.evidence.evidence import Evidence, HardClick, PoseRange, RegionConstraint, SoftClick
    from exalign_engine.face.aligner import FACE_BOX, Face, LocatedFace
    from exalign_engine.in_process.aligner import Aligner
    from exalign_engine.posterior.posterior import GroupUncertainty, Posterior, PosteriorModel

__all__ = [
    "FACE_BOX",
    "Aligner",
    "Bundle",
    "BundleError",
    "DataError",
    "Evidence",
    "ExalignError",
    "Face",
    "GroupUncertainty",
    "HardClick",
    "InvalidInputError",
    "LocatedFace",
    "PoseRange",
    "Posterior",
    "PosteriorModel",
    "RegionConstraint",
    "RuntimeUnavailableError",
    "SoftClick",
    "Violation",
    "default_bundle_path",
]

_HOMES = {
    "evidence.evidence": ("Evidence", "HardClick", "PoseRange", "RegionConstraint", "SoftClick"),
    "face.aligner": ("FACE_BOX", "Face", "LocatedFace"),
    "in_process.aligner": ("Aligner",),
    "bundle.bundle": ("Bundle", "default_bundle_path"),
    "errors": (
        "BundleError",
        "DataError",
        "ExalignError",
        "InvalidInputError",
        "RuntimeUnavailableError",
        "Violation",
    ),
    "posterior.posterior": ("GroupUncertainty", "Posterior", "PosteriorModel"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
