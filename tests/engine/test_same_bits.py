"""What is computed in fewer passes has the bits of the plain lines of NumPy that it took the place of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.hmm.belief import LOG_FLOOR, Emission
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.tracking.cuts import CUTS, thumbnail_of


@pytest.mark.parametrize("spread", [0.1, 4.0, 40.0])
@pytest.mark.parametrize("count", [1, 17, 5003])
def test_an_emission(count: int, spread: float) -> None:
    rng = np.random.default_rng(count)
    p = np.exp(np.minimum(rng.normal(0, spread, count), 80)).astype(np.float32)
    p[1::3] = 0
    expected = np.log(np.maximum(p / p.max(), np.float32(math.exp(LOG_FLOOR)))) * np.float32(0.7)
    log = Emission.of_probabilities(p, 0.7).log
    assert log is not None
    assert log.dtype == np.float32
    assert log.tobytes() == expected.tobytes()


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("spread", [0.5, 30.0, 1e38])
def test_probabilities_and_presence(toy_exemplars: Exemplars, temperature: float, spread: float) -> None:
    calibration = Calibration(temperature=temperature)
    scores = (np.random.default_rng(3).uniform(-1, 1, toy_exemplars.count) * spread).astype(np.float32)
    posterior = PosteriorModel(toy_exemplars, calibration).posterior(scores)
    with np.errstate(over="ignore"):
        p = np.exp((scores - scores.max()) / np.float32(temperature))
        assert posterior.presence == calibration.presence(scores)
    assert posterior.probabilities.tobytes() == (p / p.sum(dtype=np.float64).astype(np.float32)).tobytes()


@pytest.mark.parametrize("size", [(5, 3), (90, 120), (481, 643)])
def test_a_thumbnail(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    side = CUTS.cells * CUTS.samples
    ys, xs = ((2 * np.arange(side) + 1) * n // (2 * side) for n in size)
    red, green, blue = np.moveaxis(pixels[ys[:, None], xs].astype(np.int32), 2, 0)
    grey = (red + 2 * green + blue).reshape(CUTS.cells, CUTS.samples, CUTS.cells, CUTS.samples).sum(axis=(1, 3))
    expected = (grey // (4 * CUTS.samples**2)).astype(np.uint8).tobytes()
    assert thumbnail_of(pixels) == expected
    # A part of a picture is not contiguous.
    wide = np.concatenate([pixels, pixels], axis=1)
    assert thumbnail_of(wide[:, : size[1]]) == expected
