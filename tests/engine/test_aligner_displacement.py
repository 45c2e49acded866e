"""An aligner displaces by its bundle's residual, and refuses a residual that does not fit its network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.errors import BundleError
from exalign_engine.face.aligner import Aligner
from exalign_engine.network.outputs import Outputs, Runtime
from exalign_engine.posterior.residual import Level, ResidualHead
from exalign_engine.runtime import create_runtime

BOX = (20.0, 24.0, 70.0, 76.0)


@pytest.fixture(scope="module")
def bundle(toy_bundle: Path) -> Bundle:
    return Bundle.load(toy_bundle)


@pytest.fixture(scope="module")
def runtime(bundle: Bundle) -> Runtime:
    return create_runtime("onnxruntime", bundle.network)


class Without:
    """A runtime whose network has no output ``local``."""

    name = version = precision = device = reason = "fake"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        return replace(self._runtime.infer(crops), local=None)

    def close(self) -> None:
        pass


def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)


def bolder(residual: ResidualHead) -> ResidualHead:
    """Levels that move every landmark by 0.01 box sides to the right, at least."""
    bias = np.zeros(136, np.float32)
    bias[::2] = 0.1
    return replace(residual, levels=tuple(replace(v, weight=0 * v.weight, bias=bias) for v in residual.levels))


def test_the_answer_is_displaced_by_the_bundles_residual(bundle: Bundle, runtime: Runtime) -> None:
    assert bundle.residual is not None
    levels = bolder(bundle.residual)
    (plain,), (moved,) = (
        Aligner(replace(bundle, residual=r), runtime, {}).align(picture(), [BOX]) for r in (None, levels)
    )
    np.testing.assert_array_equal(moved.posterior.probabilities, plain.posterior.probabilities)
    expected = 0.01 * len(levels.levels)
    np.testing.assert_allclose(moved.posterior.displacement, np.tile((expected, 0.0), (68, 1)), atol=1e-6)
    mean = moved.posterior.mean_displacement * moved.located.frame.side
    assert mean[0, 0] > 0.1
    np.testing.assert_allclose(moved.landmarks, plain.landmarks + mean, atol=1e-3)


def test_a_residual_needs_the_local_map(bundle: Bundle, runtime: Runtime) -> None:
    with pytest.raises(BundleError, match=r"has no output 'local', which residual\.npz reads"):
        Aligner(bundle, Without(runtime), {})
    Aligner(replace(bundle, residual=None), Without(runtime), {})


def test_a_residual_of_another_size_is_refused(bundle: Bundle, runtime: Runtime) -> None:
    level = Level(*(np.zeros(s, np.float32) for s in ((3, 500), (3,), (136, 3), (136,))))
    with pytest.raises(BundleError, match=r"does not fit residual\.npz: a local map of .* 500 inputs"):
        Aligner(replace(bundle, residual=ResidualHead((level,), 1.3)), runtime, {})
