"""A bundle as a server holds it: the same numbers, of which a process holds few of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.bundle.served import to_serve
from exalign_engine.face.aligner import Aligner
from exalign_engine.runtime import create_runtime
from exalign_engine.tables import store


@pytest.fixture
def loaded(toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A bundle whose tables are kept although they are small."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(store, "WORTH_KEEPING", 1)
    return Bundle.load(toy_bundle)


def arrays(bundle: Bundle) -> Iterator[tuple[str, NDArray[Any]]]:
    """What grows with K or with the residual, by name."""
    exemplars, poses = bundle.exemplars, bundle.poses
    yield from {name: getattr(exemplars, name) for name in ("shapes", "variance", "mirror_of", "source")}.items()
    yield from {"pose": poses.pose, "pose variance": poses.variance, "baseline": bundle.baseline.weight}.items()
    assert bundle.residual is not None
    for i, level in enumerate(bundle.residual.levels):
        yield f"hidden weight {i}", level.hidden_weight
        yield f"weight {i}", level.weight


def mapped(array: NDArray[Any]) -> bool:
    """Whether it lies in a file."""
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base  # type: ignore[assignment]
    return isinstance(array, np.memmap)


def test_what_is_large_is_mapped_and_the_same_bits(loaded: Bundle) -> None:
    served = to_serve(loaded)
    before = dict(arrays(loaded))
    assert not mapped(before["pose"])
    for name, array in arrays(served):
        assert mapped(array), name
        assert (array.dtype, array.shape) == (before[name].dtype, before[name].shape)
        assert array.tobytes() == before[name].tobytes(), name
        assert array.flags.c_contiguous or name == "shapes"


def test_what_only_training_reads_is_not_there(loaded: Bundle) -> None:
    assert loaded.exemplars.recipe is not None
    served = to_serve(loaded)
    assert served.exemplars.recipe is None
    assert served.poses.plain is None
    assert (served.id, served.manifest) == (loaded.id, loaded.manifest)


def test_it_answers_the_same_bits(loaded: Bundle) -> None:
    runtime = create_runtime("onnxruntime", loaded.network)
    picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    before, after = (
        Aligner(bundle, runtime, {}).align(picture, [(20.0, 24.0, 70.0, 76.0)])[0]
        for bundle in (loaded, to_serve(loaded))
    )
    assert after.landmarks.tobytes() == before.landmarks.tobytes()
    assert after.covariance.tobytes() == before.covariance.tobytes()


def test_a_bundle_without_a_residual_can_be_served(loaded: Bundle) -> None:
    assert to_serve(replace(loaded, residual=None)).residual is None
