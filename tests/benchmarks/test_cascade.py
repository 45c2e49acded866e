"""The cascade: against a slow float64 twin, mirrored pictures, its file, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.cascade.cascade import Cascade, read_cascade, write_cascade
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exalign_engine.errors import BundleError
from exalign_engine.geometry.landmarks import mirror_shapes
from exalign_engine.posterior.residual import ImageFeatures
from map_twin import sample_twin
from properties import examples

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

N, MARGIN, CHANNELS, EMBEDDING = 68, 1.3, 3, 7
CLASSES, LEVELS, INPUTS, OUTPUTS = 5, 4, 6, 8
seeds = st.integers(0, 2**32 - 1)
PLENTY = examples(25)


def cascade(seed: int, from_centre: bool = False) -> Cascade:
    """Random levels whose steps are a few hundredths of a box side; stored values are exact in half precision."""
    rng = np.random.default_rng(seed)
    v = CHANNELS * N + EMBEDDING + 2 * N

    def half(*shape: int, scale: float) -> F32:
        return rng.normal(0, scale, shape).astype(np.float16).astype(np.float32)

    return Cascade(
        centres=half(CLASSES, N, 2, scale=0.1) + np.float32(0.5),
        mean=half(v, scale=0.3),
        scale=np.exp(half(v, scale=0.5)),
        projection=half(INPUTS, v, scale=v**-0.5),
        shared=half(LEVELS, OUTPUTS, v, scale=v**-0.5),
        own=half(LEVELS, CLASSES, OUTPUTS, INPUTS, scale=0.3),
        offset=half(LEVELS, CLASSES, OUTPUTS, scale=0.3),
        basis=half(OUTPUTS, 2 * N, scale=0.02),
        from_centre=from_centre,
        margin=MARGIN,
    )


def picture(seed: int, height: int = 6, width: int = 7) -> ImageFeatures:
    rng = np.random.default_rng([seed, 1])
    local = rng.normal(0, 1, (CHANNELS, height, width)).astype(np.float32)
    return ImageFeatures(rng.normal(0, 1, EMBEDDING).astype(np.float32), local)


def twin(c: Cascade, image: ImageFeatures, start: F64) -> F64:
    """Eq. C1 and C2, float64 throughout, all of a class's matrix at once."""
    k = min(range(CLASSES), key=lambda k: float(np.linalg.norm(c.centres[k].astype(np.float64) - start)))
    shape = c.centres[k].astype(np.float64) if c.from_centre else start
    for t in range(LEVELS):
        seen = np.stack([sample_twin(image.local, x, y, MARGIN) for x, y in shape], axis=1)
        values = np.concatenate([seen.ravel(), image.embedding, shape.ravel() - 0.5])
        matrix = c.shared[t].astype(np.float64) + c.own[t, k].astype(np.float64) @ c.projection
        x = (values - c.mean) * c.scale
        shape = shape + (c.basis.T.astype(np.float64) @ (matrix @ x + c.offset[t, k])).reshape(N, 2)
    return shape - start


@PLENTY
@given(seeds, st.integers(1, 9), st.integers(1, 9), st.floats(0.05, 3), st.booleans())
def test_the_displacement_agrees_with_float64(
    seed: int, height: int, width: int, reach: float, from_centre: bool
) -> None:
    # Starts far beyond the crop too: the border goes on.
    start = 0.5 + np.random.default_rng([seed, 2]).normal(0, reach, (N, 2))
    c, image = cascade(seed, from_centre), picture(seed, height, width)
    np.testing.assert_allclose(c.displacement(image, start), twin(c, image, start), atol=2e-4)


def test_the_class_is_the_one_whose_centre_is_nearest() -> None:
    c = cascade(1)
    assert [c.class_of(centre + 0.01) for centre in c.centres] == list(range(CLASSES))


def test_from_the_centre_the_start_matters_by_its_class_alone() -> None:
    c, image = cascade(4, from_centre=True), picture(4)
    starts = [c.centres[2] + 0.01, c.centres[2] - 0.02, c.centres[3].astype(np.float64)]
    same, again, other = (start + c.displacement(image, start) for start in starts)
    np.testing.assert_allclose(same, again, atol=1e-6)
    assert np.abs(same - other).max() > 0.01


def test_classes_differ_only_by_their_own_part() -> None:
    c, image = cascade(2), picture(2)
    alike = replace(c, own=np.zeros_like(c.own), offset=np.zeros_like(c.offset))
    start = c.centres[0].astype(np.float64)
    one_class = replace(alike, centres=alike.centres[1:2], own=alike.own[:, :1], offset=alike.offset[:, :1])
    np.testing.assert_array_equal(alike.displacement(image, start), one_class.displacement(image, start))
    assert not np.array_equal(c.displacement(image, start), alike.displacement(image, start))


@PLENTY
@given(seeds)
def test_two_looks_are_the_mean_of_what_each_says_in_its_own_picture(seed: int) -> None:
    c, here, there = cascade(seed), picture(seed), picture(seed + 1)
    both = ImageFeatures(np.concatenate([here.embedding, there.embedding]), np.concatenate([here.local, there.local]))
    start = 0.5 + np.random.default_rng([seed, 2]).normal(0, 0.3, (N, 2))
    mirrored = mirror_shapes(mirror_shapes(start) + c.displacement(there, mirror_shapes(start))) - start
    expected = (c.displacement(here, start) + mirrored) / 2
    np.testing.assert_allclose(c.displacement(both, start), expected, atol=1e-6)


@PLENTY
@given(seeds)
def test_with_two_looks_a_mirrored_picture_has_the_mirrored_displacement(seed: int) -> None:
    c, here, there = cascade(seed), picture(seed), picture(seed + 1)
    start = 0.5 + np.random.default_rng([seed, 2]).normal(0, 0.3, (N, 2))
    seen, flipped = (
        ImageFeatures(np.concatenate([a.embedding, b.embedding]), np.concatenate([a.local, b.local]))
        for a, b in ((here, there), (there, here))
    )
    moved = c.displacement(flipped, mirror_shapes(start)) + mirror_shapes(start)
    np.testing.assert_allclose(moved, mirror_shapes(start + c.displacement(seen, start)), atol=1e-6)


def test_a_displacement_does_not_change_what_it_started_from() -> None:
    start = np.full((N, 2), 0.5)
    assert cascade(1).displacement(picture(1), start).dtype == np.float64
    np.testing.assert_array_equal(start, 0.5)


@pytest.mark.parametrize(("channels", "embedding"), [(CHANNELS + 1, EMBEDDING), (CHANNELS, EMBEDDING + 1), (9, 21)])
def test_a_picture_of_another_network_is_refused(channels: int, embedding: int) -> None:
    image = ImageFeatures(np.zeros(embedding, np.float32), np.zeros((channels, 4, 4), np.float32))
    message = f"local map of {channels} channels and an embedding of {embedding} do not make {cascade(1).inputs} inputs"
    with pytest.raises(ValueError, match=message):
        cascade(1).displacement(image, np.full((N, 2), 0.5))


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path, c = tmp_path / "cascade.npz", cascade(3, from_centre=True)
    write_cascade(path, c)
    read = read_cascade(path, MARGIN)
    assert (read.margin, read.from_centre) == (c.margin, True)
    for name in c.to_arrays():
        np.testing.assert_array_equal(getattr(read, name), getattr(c, name))
    with np.load(path) as z:
        kinds = {name: z[name].dtype.name for name in z.files}
    assert {name for name, kind in kinds.items() if kind == "float16"} == {"projection", "shared", "own"}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("basis", None, "no array 'basis'"),
        ("from_centre", np.zeros(2), r"from_centre has shape \(2,\) and dtype float64, must be one bool"),
        ("mean", np.zeros(3, np.int64), "mean has dtype int64, must be real numbers"),
        ("offset", np.full((LEVELS, CLASSES, OUTPUTS), np.nan), "offset holds a value that is not finite"),
        ("mean", np.zeros(3), r"mean has shape \(3,\), the other arrays ask for \(347,\)"),
        ("basis", np.zeros((OUTPUTS, 135)), r"basis has shape \(8, 135\), the other arrays ask for \(8, 136\)"),
        ("own", np.zeros((LEVELS, CLASSES, OUTPUTS, INPUTS + 1)), r"own has shape \(4, 5, 8, 7\), the other .* 8, 6\)"),
        ("shared", np.zeros((0, OUTPUTS, 347)), r"shared has shape \(0, 8, 347\), must have 3 lengths above 0"),
        ("projection", np.zeros(4), r"projection has shape \(4,\), must have 2 lengths above 0"),
    ],
)
def test_a_wrong_array_is_named(tmp_path: Path, name: str, value: F64 | None, says: str) -> None:
    arrays = cascade(3).to_arrays()
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    np.savez(tmp_path / "cascade.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=rf"cascade.npz: {says}"):
        read_cascade(tmp_path / "cascade.npz", MARGIN)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cascade.npz"
    with pytest.raises(BundleError, match="cannot be read"):
        read_cascade(path, MARGIN)
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(BundleError, match="cannot be read"):
        read_cascade(path, MARGIN)
    with path.open("wb") as f:
        np.save(f, np.zeros(3))
    with pytest.raises(BundleError, match="cannot be read"):
        read_cascade(path, MARGIN)
