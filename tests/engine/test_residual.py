"""The residual: its levels against a slow float64 twin, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.geometry.landmarks import mirror_shapes
from exalign_engine.posterior.residual import STEP, ImageFeatures, Level, ResidualHead, sample_map
from map_twin import sample_twin
from properties import examples

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

N, MARGIN, EMBEDDING, HIDDEN = 68, 1.3, 7, 12
seeds = st.integers(0, 2**32 - 1)
PLENTY = examples(25)


def head(seed: int, channels: int, levels: int = 3) -> ResidualHead:
    """Random levels whose steps are a few hundredths of a box side; stored values are exact in half precision."""
    rng = np.random.default_rng(seed)
    inputs = channels * N + EMBEDDING + 2 * N

    def half(*shape: int, scale: float) -> F32:
        return rng.normal(0, scale, shape).astype(np.float16).astype(np.float32)

    return ResidualHead(
        tuple(
            Level(
                half(HIDDEN, inputs, scale=inputs**-0.5),
                half(HIDDEN, scale=0.1),
                half(2 * N, HIDDEN, scale=0.2),
                half(2 * N, scale=0.1),
            )
            for _ in range(levels)
        ),
        MARGIN,
    )


def picture(seed: int, channels: int, height: int, width: int) -> ImageFeatures:
    rng = np.random.default_rng([seed, 1])
    local = rng.normal(0, 1, (channels, height, width)).astype(np.float32)
    return ImageFeatures(rng.normal(0, 1, EMBEDDING).astype(np.float32), local)


def twin(levels: Sequence[Level], image: ImageFeatures, start: F64) -> F64:
    """Eq. R1 and R2, float64 throughout."""
    shape = start
    for level in levels:
        seen = np.stack([sample_twin(image.local, x, y, MARGIN) for x, y in shape], axis=1)
        values = np.concatenate([seen.ravel(), image.embedding, shape.ravel() - 0.5])
        hidden = np.maximum(level.hidden_weight.astype(np.float64) @ values + level.hidden_bias, 0)
        shape = shape + STEP * (level.weight.astype(np.float64) @ hidden + level.bias).reshape(N, 2)
    return shape - start


@PLENTY
@given(seeds, st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.floats(0.1, 3))
@example(0, 3, 28, 28, 0.3)  # as the network's
@example(1, 2, 1, 1, 0.3)
def test_the_displacement_agrees_with_float64(seed: int, channels: int, height: int, width: int, reach: float) -> None:
    # Starts far beyond the crop too: the border goes on.
    start = 0.5 + np.random.default_rng([seed, 2]).normal(0, reach, (N, 2))
    levels, image = head(seed, channels), picture(seed, channels, height, width)
    np.testing.assert_allclose(levels.displacement(image, start), twin(levels.levels, image, start), atol=1e-4)


@PLENTY
@given(seeds, st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
def test_samples_are_bilinear_and_go_on_beyond_the_border(seed: int, channels: int, height: int, width: int) -> None:
    local = picture(seed, channels, height, width).local
    points = np.random.default_rng(seed).uniform(-2, 3, (N, 2)).astype(np.float32)
    expected = np.stack([sample_twin(local, float(x), float(y), MARGIN) for x, y in points], axis=1)
    np.testing.assert_allclose(sample_map(local, points, MARGIN), expected, atol=1e-4)


@PLENTY
@given(seeds)
def test_two_looks_are_the_mean_of_what_each_says_in_its_own_picture(seed: int) -> None:
    levels, here, there = head(seed, 3), picture(seed, 3, 6, 6), picture(seed + 1, 3, 6, 6)
    both = ImageFeatures(np.concatenate([here.embedding, there.embedding]), np.concatenate([here.local, there.local]))
    start = 0.5 + np.random.default_rng([seed, 2]).normal(0, 0.3, (N, 2))
    mirrored = mirror_shapes(mirror_shapes(start) + levels.displacement(there, mirror_shapes(start))) - start
    expected = (levels.displacement(here, start) + mirrored) / 2
    np.testing.assert_allclose(levels.displacement(both, start), expected, atol=1e-6)


def test_a_cell_is_read_at_its_centre() -> None:
    local = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    centre = (np.array([(2 + 0.5) / 3, (1 + 0.5) / 2]) - 0.5) * MARGIN + 0.5
    assert sample_map(local, np.array([centre], np.float32), MARGIN)[0, 0] == pytest.approx(5, abs=1e-5)


def test_a_displacement_does_not_change_what_it_started_from() -> None:
    start = np.full((N, 2), 0.5)
    assert head(1, 2).displacement(picture(1, 2, 4, 4), start).dtype == np.float64
    np.testing.assert_array_equal(start, 0.5)


@pytest.mark.parametrize(
    ("channels", "embedding", "says"),
    [(3, EMBEDDING, "map of 3 channels and an embedding of 7"), (2, 9, "map of 2 channels and an embedding of 9")],
)
def test_a_picture_of_another_size_is_refused(channels: int, embedding: int, says: str) -> None:
    image = replace(picture(1, channels, 4, 4), embedding=np.zeros(embedding, np.float32))
    with pytest.raises(ValueError, match=says):
        head(1, 2).displacement(image, np.full((N, 2), 0.5))


@pytest.mark.parametrize("levels", [1, 3])
def test_levels_survive_their_arrays(levels: int) -> None:
    one = head(3, 2, levels)
    again = ResidualHead.of_arrays(dict(one.to_arrays()), MARGIN)
    assert again.inputs == one.inputs
    assert len(again.levels) == levels
    image, start = picture(3, 2, 5, 5), np.full((N, 2), 0.4)
    np.testing.assert_array_equal(again.displacement(image, start), one.displacement(image, start))
    assert one.to_arrays()["weight"].dtype == np.float16
