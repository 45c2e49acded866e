"""That a runtime answers like the reference is found out once, for all that it depends on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.network.outputs import Runtime
from exalign_engine.runtime import create_runtime, equivalence, surroundings
from exalign_engine.runtime.divergence import Divergence
from exalign_engine.runtime.equivalence import verify
from exalign_engine.tables.store import Tables

NEAR, FAR = Divergence(1e-6, 1e-6, 1e-6), Divergence(9.0, 1e-6, 1e-6)


class Comparison:
    """`measure` with a given outcome, counted."""

    def __init__(self, outcome: Divergence) -> None:
        self.outcome, self.calls = outcome, 0

    def __call__(self, *arguments: object) -> Divergence:
        self.calls += 1
        return self.outcome


@pytest.fixture
def bundle(toy_bundle: Path, tmp_path: Path) -> Bundle:
    loaded = Bundle.load(toy_bundle)
    return replace(loaded, exemplars=replace(loaded.exemplars, tables=Tables(tmp_path / "tables")))


def open_runtime(bundle: Bundle) -> Runtime:
    return create_runtime("onnxruntime", bundle.network)


def compared(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, outcome: Divergence, *, once: bool = True) -> int:
    """How often a verified start compares."""
    measure = Comparison(outcome)
    monkeypatch.setattr(equivalence, "measure", measure)
    found = verify(open_runtime(bundle), bundle, lambda: open_runtime(bundle), None, once=once)
    assert found.divergence == NEAR
    return measure.calls


def test_it_is_compared_once(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [compared(bundle, monkeypatch, NEAR) for _ in range(3)] == [1, 0, 0]
    assert compared(bundle, monkeypatch, NEAR, once=False) == 1


@pytest.mark.parametrize("changed", ["processor", "_version"])
def test_another_processor_or_version_is_compared_anew(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    compared(bundle, monkeypatch, NEAR)
    monkeypatch.setattr(surroundings, changed, lambda *_: "another")
    assert [compared(bundle, monkeypatch, NEAR) for _ in range(2)] == [1, 0]


def test_a_switch_of_a_library_is_compared_anew(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    compared(bundle, monkeypatch, NEAR)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    assert [compared(bundle, monkeypatch, NEAR) for _ in range(2)] == [1, 0]


def test_one_that_differs_is_refused_each_time(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeUnavailableError, match="does not answer like"):
            compared(bundle, monkeypatch, FAR)


@pytest.mark.parametrize("text", ["", "{}", '{"divergence": 3}', '{"divergence": {"kl": "x"}}'])
def test_a_damaged_verdict_is_found_anew(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    compared(bundle, monkeypatch, NEAR)
    assert bundle.exemplars.tables.folder is not None
    (file,) = bundle.exemplars.tables.folder.glob("verdict-*.json")
    file.write_text(text)
    assert compared(bundle, monkeypatch, NEAR) == 1


def test_a_network_that_was_compiled_before_answers_the_same_bits(bundle: Bundle) -> None:
    size = bundle.manifest.input_size
    crops = np.random.default_rng(1).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    expected = create_runtime("openvino", bundle.network).infer(crops)
    tables = bundle.exemplars.tables
    for _ in range(2):  # compiled and kept, then read
        found = create_runtime("openvino", bundle.network, tables=tables).infer(crops)
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.features, expected.features)
    assert tables.folder is not None
    assert len(list(tables.folder.glob("openvino-*.bin"))) == 1
