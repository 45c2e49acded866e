"""refiner.npz: what is written is what is read, and every damage is named by file and array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle, seal
from exalign_engine.bundle.refiner_file import read_refiner, write_refiner
from exalign_engine.errors import BundleError
from exalign_engine.refiner.refiner import NOISE, Refiner, Round

REFINER = "refiner.npz"

#: What the toy network gives: an embedding of 8, and 4 · 2 · 2 features.
INPUTS = 24


def make(inputs: int = INPUTS, rounds: int = 2) -> Refiner:
    rng = np.random.default_rng(0)
    return Refiner(
        ("mtcnn", NOISE),
        tuple(
            Round(
                rng.normal(0, 0.5, (2, 3, 4)).astype(np.float32),
                rng.normal(0, 1e-3, (3, inputs)).astype(np.float16).astype(np.float32),
            )
            for _ in range(rounds)
        ),
    )


def test_a_refiner_is_read_as_it_was_written(tmp_path: Path) -> None:
    refiner = make()
    write_refiner(tmp_path / REFINER, refiner)
    held = read_refiner(tmp_path / REFINER)
    assert held.sources == refiner.sources
    for mine, theirs in zip(held.rounds, refiner.rounds, strict=True):
        np.testing.assert_array_equal(mine.geometry, theirs.geometry)
        np.testing.assert_array_equal(mine.weight, theirs.weight)


def test_a_refiner_of_the_default_size_is_small(tmp_path: Path) -> None:
    write_refiner(tmp_path / REFINER, make(128 + 64 * 7 * 7))
    assert (tmp_path / REFINER).stat().st_size <= 300_000


def test_a_bundle_holds_its_refiner(toy_bundle_copy: Path) -> None:
    before = Bundle.load(toy_bundle_copy)
    assert before.refiner is None
    write_refiner(toy_bundle_copy / REFINER, make())
    seal(toy_bundle_copy, before.manifest)
    held = Bundle.load(toy_bundle_copy)
    assert held.refiner is not None
    assert held.refiner.inputs == INPUTS
    assert held.id != before.id


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda held: held.pop("geometry"), "no array 'geometry'"),
        (lambda held: held.update(weight=held["weight"][:, :2]), "weight has shape (2, 2, 24)"),
        (lambda held: held.update(weight=held["weight"][:1]), "geometry has 2 rounds, weight has 1"),
        (lambda held: held.update(weight=held["weight"].astype(np.int8)), "weight has dtype int8"),
        (lambda held: held["weight"].__setitem__((0, 0, 0), np.nan), "weight holds a value that is not finite"),
        (lambda held: held.update(geometry=held["geometry"][:, :1]), "geometry of round 0 has shape (1, 3, 4)"),
        (lambda held: held.update(sources=np.array(["a", "a"])), "each once"),
        (lambda held: held.update(sources=np.arange(2)), "sources has dtype int64"),
        (lambda held: held.update({key: held[key][:0] for key in ("geometry", "weight")}), "there is no round"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: Callable[[dict[str, NDArray[Any]]], object], says: str) -> None:
    held = make().to_arrays()
    change(held)
    np.savez(tmp_path / REFINER, **held)  # type: ignore[arg-type]
    with pytest.raises(BundleError) as caught:
        read_refiner(tmp_path / REFINER)
    assert caught.value.path == tmp_path / REFINER
    assert says in caught.value.problem


def test_a_file_that_is_no_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / REFINER).write_bytes(b"no archive")
    with pytest.raises(BundleError, match="cannot be read"):
        read_refiner(tmp_path / REFINER)
