"""Loading the model that a configuration names. Nothing heavy is imported before that."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exalign_engine.detect import DEFAULT_DETECTOR, convention
from exalign_service.config.schema import ModelConfig, ServerConfig
from exalign_service.config.start_checks import StartError

if TYPE_CHECKING:
    from exalign_engine.face.aligner import Aligner
    from exalign_engine.runtime.divergence import Divergence

_log = logging.getLogger(__name__)

#: The link in a directory of bundles that names the one that answers.
CURRENT = "current"


@dataclass(frozen=True)
class LoadedModel:
    """The model that answers.

    Attributes:
        aligner: the model.
        divergence: of its runtime from the reference; None where that was not measured.
    """

    aligner: Aligner
    divergence: Divergence | None = None


def load_model(config: ServerConfig) -> LoadedModel:
    """The model that a configuration names, with every detector that it makes possible. Blocks, for seconds.

    Raises:
        ExalignError: the bundle, the runtime or a detector cannot be used; one line says why.
    """
    from exalign_engine.libraries.no_blas import load_numba_without_blas
    from exalign_engine.libraries.no_opsets import load_openvino_without_opsets

    load_numba_without_blas()
    load_openvino_without_opsets()

    from exalign_engine.bundle.bundle import Bundle, default_bundle_path
    from exalign_engine.bundle.served import to_serve
    from exalign_engine.detect import create_detectors
    from exalign_engine.face.aligner import Aligner
    from exalign_engine.runtime.equivalence import create_verified_runtime
    from exalign_engine.runtime.tensorrt.runtime import GpuOptions

    bundle = to_serve(Bundle.load(first_bundle(config.model) or default_bundle_path()))
    batching = config.batching
    verified = create_verified_runtime(
        config.model.runtime,
        bundle,
        threads=batching.threads,
        streams=batching.network_calls + 1,  # one stands by: see `Batcher`
        gpu=GpuOptions(max_batch=batching.max_batch, cache=config.model.engine_cache),
        precision=config.model.precision,
        device_sums=config.model.sums == "device",
    )
    detectors = create_detectors(config.model.detector_models)
    return LoadedModel(Aligner(bundle, verified.runtime, detectors), verified.divergence)


def first_bundle(model: ModelConfig) -> Path | None:
    """The directory of the bundle that a configuration names; None: the one of the package."""
    if model.bundle_directory is not None and (link := model.bundle_directory / CURRENT).exists():
        return link.resolve()  # it may lead elsewhere before all of the bundle is read
    return model.bundle


def check_detector(aligner: Aligner, wanted: str | None) -> None:
    """Refuse a bundle that does not know the detector that is used where a request names none.

    Args:
        aligner: with the bundle.
        wanted: the setting; None: the default one, or the first that the bundle knows.

    Raises:
        StartError: it does not know it.
    """
    name = wanted or aligner.default_detector
    if convention(name) not in aligner.bundle.detectors:
        known = ", ".join(sorted(aligner.bundle.detectors)) or "none"
        raise StartError(f"detector is {name!r}, must be one that the bundle knows: {known}")
    if name != (wanted or DEFAULT_DETECTOR):
        _log.warning(
            "the bundle does not know the default detector: another one finds faces",
            extra={"fields": {"default": DEFAULT_DETECTOR, "used": name}},
        )
