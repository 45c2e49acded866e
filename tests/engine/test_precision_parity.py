"""Coarser precisions of the shipped network answer like float32: the bounds that the README states, on faces."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnx", reason="needs onnx (extra 'tensorrt' or 'train')")

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.runtime import create_runtime
from exalign_engine.runtime.processor import int8_is_exact
from exalign_engine.runtime.tensorrt.precisions import prepare

U8 = NDArray[np.uint8]

#: Largest distance of any landmark, as a share of the face box's diagonal.
LANDMARKS = {"fp16": 0.0005, "int8": 0.005}

#: Largest |Δ log p| in half precision over the classes that hold the top 99.9 % of the mass, nats.
LOG_P = 0.05

BATCH = 8


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(default_bundle_path())


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> PosteriorModel:
    return PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)


@pytest.fixture(scope="module")
def reference(bundle: Bundle) -> Runtime:
    return create_runtime("onnxruntime", bundle.network, precision="fp32")


@pytest.fixture(scope="module")
def half(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    """What TensorRT is given for fp16. On a CPU it is convolved in fp32.

    So this checks rounded weights and the graph, not half accumulation.
    """
    file = tmp_path_factory.mktemp("half") / "network.onnx"
    file.write_bytes(prepare(bundle.network, "fp16").onnx)
    return create_runtime("onnxruntime", file)


def answers(runtime: Runtime, model: PosteriorModel, crops: U8) -> list[Posterior]:
    batches = [runtime.infer(crops[i : i + BATCH]) for i in range(0, len(crops), BATCH)]
    return [model.posterior(row.scores, row.image) for batch in batches for row in batch.rows()]


def worst_landmark(found: list[Posterior], right: list[Posterior]) -> float:
    """Share of the face box's diagonal."""
    moved = [
        np.linalg.norm(p.mean - q.mean, axis=1).max() / diagonal(tight_box(q.mean))
        for p, q in zip(found, right, strict=True)
    ]
    return float(max(moved))


def worst_log_p(found: list[Posterior], right: list[Posterior]) -> float:
    """Nats, over the classes that hold the top 99.9 % of the reference's mass."""
    worst = 0.0
    for p, q in zip(found, right, strict=True):
        order = np.argsort(-q.probabilities)
        top = order[: int(np.searchsorted(np.cumsum(q.probabilities[order], dtype=np.float64), 0.999)) + 1]
        a, b = (np.log(x.probabilities[top].astype(np.float64)) for x in (p, q))
        worst = max(worst, float(np.abs(a - b).max()))
    return worst


def assert_half(half: Runtime, reference: Runtime, model: PosteriorModel, crops: U8) -> None:
    found, right = (answers(runtime, model, crops) for runtime in (half, reference))
    assert 0 < worst_log_p(found, right) <= LOG_P
    assert 0 < worst_landmark(found, right) <= LANDMARKS["fp16"]


def assert_int8(bundle: Bundle, name: str, reference: Runtime, model: PosteriorModel, crops: U8) -> None:
    if name == "openvino" and not int8_is_exact():
        pytest.skip("needs a processor with VNNI")
    runtime = create_runtime(name, bundle.network)
    assert runtime.precision == "int8"
    assert 0 < worst_landmark(answers(runtime, model, crops), answers(reference, model, crops)) <= LANDMARKS["int8"]


def test_fp16_answers_like_fp32_on_a_photograph(
    half: Runtime, reference: Runtime, model: PosteriorModel, astronaut_crop: U8
) -> None:
    assert_half(half, reference, model, np.stack([astronaut_crop, astronaut_crop[:, ::-1]]))


def test_fp16_answers_like_fp32_on_faces(
    half: Runtime, reference: Runtime, model: PosteriorModel, val_crops: U8
) -> None:
    assert_half(half, reference, model, val_crops)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_the_shipped_int8_answers_like_fp32_on_a_photograph(
    bundle: Bundle, name: str, reference: Runtime, model: PosteriorModel, astronaut_crop: U8
) -> None:
    assert_int8(bundle, name, reference, model, np.stack([astronaut_crop, astronaut_crop[:, ::-1]]))


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_the_shipped_int8_answers_like_fp32_on_faces(
    bundle: Bundle, name: str, reference: Runtime, model: PosteriorModel, val_crops: U8
) -> None:
    assert_int8(bundle, name, reference, model, val_crops)


def test_the_bounds_of_the_load_time_check_are_no_looser(bundle: Bundle) -> None:
    from exalign_engine.runtime.divergence import BOUNDS

    assert BOUNDS["f16"].landmarks <= LANDMARKS["fp16"]
    assert BOUNDS["int8"].landmarks <= LANDMARKS["int8"]
