"""Graphs executed by torch: as ONNX Runtime executes them, and what is not known is refused by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra 'train')")
onnx = pytest.importorskip("onnx", reason="needs onnx (extra 'train')")
import onnxruntime
from benchmarks.gpu.graph import TorchGraph
from benchmarks.gpu.operators import ON_HOST, OPERATORS
from onnx import TensorProto, helper, numpy_helper

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.onnx_graph.sums_tables import MixtureTables
from exalign_engine.runtime.tensorrt.precisions import prepare

LEAST = np.iinfo(np.int64).min


def of_nodes(nodes: list[Any], outputs: list[str], constants: dict[str, Any]) -> Any:
    """Nodes about an image (B, 6, 6, 3) as a model, its outputs of any shape."""
    graph = helper.make_graph(
        nodes,
        "part",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 6, 6, 3])],
        [helper.make_value_info(name, helper.make_tensor_type_proto(TensorProto.FLOAT, None)) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def by_onnx_runtime(model: Any, image: Any) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"image": image}))


def assert_alike(model: Any, image: Any, **tolerance: float) -> None:
    found = TorchGraph(model, "cpu")(torch.from_numpy(image))
    expected = by_onnx_runtime(model, image)
    assert list(found) == [output.name for output in model.graph.output]
    for (name, tensor), right in zip(found.items(), expected, strict=True):
        np.testing.assert_allclose(tensor.numpy(), right, err_msg=name, **tolerance)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_shipped_network_and_its_sums_are_executed_alike(toy_bundle: Path, precision: str) -> None:
    bundle = Bundle.load(toy_bundle)
    prepared = prepare(bundle.network, precision, MixtureTables.of(bundle))
    model = onnx.load_from_string(prepared.onnx)
    side = prepared.side
    image = np.random.default_rng(1).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    # ONNX Runtime convolves half precision in float32 on a CPU.
    loose = {"fp32": {"rtol": 1e-4, "atol": 1e-4}, "fp16": {"rtol": 2e-2, "atol": 2e-2}}[precision]
    assert_alike(model, image, **loose)


def test_every_operator_of_the_default_bundles_graphs_is_known() -> None:
    bundle = Bundle.load(default_bundle_path())
    for precision in ("fp32", "fp16"):
        model = onnx.load_from_string(prepare(bundle.network, precision).onnx)
        assert {node.op_type for node in model.graph.node} <= set(OPERATORS)


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ([0], [3], [1], None),
        ([-1], [LEAST], [2], [-1]),  # a mirror image, as the exporter writes it
        ([4], [0], [1], [-1]),
        ([5], [LEAST], [-2], [-2]),
        ([-100], [100], [1], [2]),
        ([1, 0], [-1, 2], [1, 3], [1, 1]),
        ([3], [3], [1], None),
    ],
)
def test_a_slice_is_cut_as_the_specification_says(
    starts: list[int], ends: list[int], axes: list[int], steps: list[int] | None
) -> None:
    constants = {"starts": starts, "ends": ends, "axes": axes} | ({} if steps is None else {"steps": steps})
    arrays = {name: np.asarray(value, np.int64) for name, value in constants.items()}
    nodes = [
        helper.make_node("Slice", ["image", *arrays], ["cut"], "slice"),
        helper.make_node("Cast", ["cut"], ["out"], "cast", to=TensorProto.FLOAT),
    ]
    image = np.random.default_rng(2).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    assert_alike(of_nodes(nodes, ["out"], arrays), image, rtol=0)


def test_shapes_that_the_graph_computes_stay_on_the_host() -> None:
    """From Shape by Concat to Reshape; and what was computed is freed after its last reader."""
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Shape", ["image"], ["batch"], "shape", end=1),
        helper.make_node("Concat", ["batch", "rest"], ["sizes"], "sizes", axis=0),
        helper.make_node("Reshape", ["x", "sizes"], ["flat"], "reshape"),
        helper.make_node("Split", ["flat", "widths"], ["left", "right"], "split", axis=1),
        helper.make_node("Gemm", ["left", "weight"], ["product"], "gemm", alpha=0.5, transB=1),
        helper.make_node("Softmax", ["product"], ["p"], "softmax", axis=1),
    ]
    rng = np.random.default_rng(3)
    constants = {
        "rest": np.array([-1], np.int64),
        "widths": np.array([40, 68], np.int64),
        "weight": rng.normal(size=(4, 40)).astype(np.float32) / 255,
    }
    model = of_nodes(nodes, ["p", "right"], constants)
    assert_alike(model, rng.integers(0, 256, (2, 6, 6, 3), dtype=np.uint8), rtol=1e-5)
    graph = TorchGraph(model, "cpu")
    assert set(graph.constants) == {"weight"}
    assert graph.evaluate(torch.zeros((5, 6, 6, 3), dtype=torch.uint8), ["flat"])["flat"].shape == (5, 108)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("Erf", ["image"], ["out"], "curve"), "'curve' (Erf) is an operator that is not known here"),
        (helper.make_node("Relu", ["image"], ["out"], "cut", domain="ours"), "'cut' (Relu) is an operator"),
        (helper.make_node("Relu", ["image"], ["out"], "cut", slope=1), "'cut' (Relu): got an unexpected"),
        (helper.make_node("Relu", ["image", "image"], ["out"], "cut"), "'cut' (Relu): too many positional"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_runs(node: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TorchGraph(of_nodes([node], ["out"], {}), "cpu")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [({"pads": [0, 0, 1, 1]}, "pads"), ({"auto_pad": "SAME_UPPER"}, "SAME_UPPER")],
)
def test_a_convolution_that_pads_otherwise_is_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OPERATORS["Conv"](torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2), **_bytes(attributes))


def _bytes(attributes: dict[str, Any]) -> dict[str, Any]:
    """As ONNX hands attributes over: text as bytes."""
    return {name: value.encode() if isinstance(value, str) else value for name, value in attributes.items()}


def test_what_stays_on_the_host_belongs_to_an_operator_that_is_known() -> None:
    assert set(ON_HOST) <= set(OPERATORS)
