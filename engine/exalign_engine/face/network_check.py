"""Whether a network's outputs fit the other files of its bundle."""

from __future__ import annotations

import numpy as np

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.errors import BundleError
from exalign_engine.network.outputs import Runtime


def check_network(bundle: Bundle, runtime: Runtime) -> None:
    """Score one grey crop, and compare the outputs' sizes with the other files.

    Raises:
        BundleError: they do not fit.
    """
    size, network, residual = bundle.manifest.input_size, bundle.network, bundle.residual
    out = runtime.infer(np.full((1, size, size, 3), 128, np.uint8))
    if out.scores.shape != (1, bundle.exemplars.count):
        k = bundle.exemplars.count
        raise BundleError(network, f"scores {out.scores.shape[1]} classes, exemplars.npz has {k}")
    inputs = out.features[0].size + out.embedding.shape[1]
    if inputs != len(bundle.baseline.weight):
        rows = len(bundle.baseline.weight)
        raise BundleError(network, f"gives {inputs} features and embedding values, baseline.npz takes {rows}")
    if bundle.refiner is not None:
        try:
            bundle.refiner.check(out.row(0))
        except ValueError as e:
            raise BundleError(network, f"does not fit refiner.npz: {e}") from e
    image = out.row(0).image
    if image is not None and not bundle.calibration.reads(image.embedding):
        read = len(bundle.calibration.presence_embedding) - 2
        raise BundleError(network, f"gives an embedding of {image.embedding.size}, calibration.json reads {read}")
    if residual is not None and image is None:
        raise BundleError(network, "has no output 'local', which residual.npz reads")
    if bundle.occlusion is not None and image is None:
        raise BundleError(network, "has no output 'local', which occlusion.npz reads")
    try:
        if bundle.occlusion is not None and image is not None:
            bundle.occlusion.check(image)
    except ValueError as e:
        raise BundleError(network, f"does not fit occlusion.npz: {e}") from e
    try:
        if residual is not None and image is not None:
            residual.looks(image)
    except ValueError as e:
        raise BundleError(network, f"does not fit residual.npz: {e}") from e
