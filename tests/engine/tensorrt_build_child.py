"""Builds engines with the real TensorRT-RTX and prints what became of each as JSON; run by test_tensorrt_build.py.

A process of its own: whatever NVIDIA's libraries do in it, the tests go on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import tensorrt_rtx
from onnx import TensorProto, helper, numpy_helper

import tensorrt_networks as networks
from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.errors import ExalignError
from exalign_engine.onnx_graph.sums_tables import MixtureTables
from exalign_engine.runtime.tensorrt.builder import BuildOptions, build_engine
from exalign_engine.runtime.tensorrt.precisions import Prepared, prepare

DEFAULTS = BuildOptions()


@dataclass(frozen=True)
class Case:
    """One build: what is prepared or written by hand, and the options."""

    network: Callable[[Path], Prepared]
    options: BuildOptions = DEFAULTS


def rewritten(make: Callable[[], onnx.ModelProto] | Path, precision: str) -> Callable[[Path], Prepared]:
    """A network that goes through `prepare`, as all do outside of tests."""

    def prepared(folder: Path) -> Prepared:
        file = make if isinstance(make, Path) else networks.save(make(), folder / "network.onnx")
        return prepare(file, precision)

    return prepared


def summing(precision: str) -> Callable[[Path], Prepared]:
    """The default bundle's network as a server builds it: it sums over the exemplars too."""

    def prepared(folder: Path) -> Prepared:
        bundle = Bundle.load(default_bundle_path())
        return prepare(bundle.network, precision, MixtureTables.of(bundle))

    return prepared


def by_hand(change: Callable[[onnx.ModelProto], None], precision: str = "fp32") -> Callable[[Path], Prepared]:
    """A network that is spoiled after `prepare`, so that TensorRT itself must refuse it."""

    def spoiled(folder: Path) -> Prepared:
        good = rewritten(networks.tiny, precision)(folder)
        model = onnx.load_from_string(good.onnx)
        change(model)
        return Prepared(model.SerializeToString(), good.side, good.outputs)

    return spoiled


def raw_bytes_transposed(folder: Path) -> Prepared:
    """The exported graph as it is."""
    return Prepared(networks.tiny().SerializeToString(), networks.SIDE, {})


def mix_types(model: onnx.ModelProto) -> None:
    weight = networks.weight_of(model, "head")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype("float16"), "head"))


def custom_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("our.own", 1))
    model.graph.node.insert(0, helper.make_node("Blend", ["image"], ["blended"], name="node_blend", domain="our.own"))


def wrong_gemm(model: onnx.ModelProto) -> None:
    import numpy as np

    networks.weight_of(model, "head").CopyFrom(numpy_helper.from_array(np.zeros((50, 9), np.float32), "head"))
    del model.graph.value_info[:]


def large_top_k(model: onnx.ModelProto) -> None:
    import numpy as np

    model.graph.initializer.append(numpy_helper.from_array(np.array([4000], np.int64), "k"))
    wide = helper.make_node("Concat", ["local_flat"] * 4, ["wide"], name="node_wide", axis=1)
    flat = helper.make_node("Flatten", ["local"], ["local_flat"], name="node_local_flat", axis=1)
    top = helper.make_node("TopK", ["wide", "k"], ["best", "best_i"], name="node_top", axis=1)
    model.graph.node.extend([flat, wide, top])
    model.graph.output.append(helper.make_tensor_value_info("best", TensorProto.FLOAT, ["batch", 4000]))


def other_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "picture"
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if name == "image":
                node.input[i] = "picture"


def truncated(folder: Path) -> Prepared:
    good = rewritten(networks.tiny, "fp32")(folder)
    return Prepared(good.onnx[: len(good.onnx) // 2], good.side, good.outputs)


BUNDLE = default_bundle_path() / "network.onnx"


SMALL = BuildOptions(max_batch=4, opt_batch=2, optimization_level=2)

CASES = {
    "bundle fp32": Case(rewritten(BUNDLE, "fp32")),
    "bundle fp16": Case(rewritten(BUNDLE, "fp16")),
    "bundle int8": Case(rewritten(BUNDLE, "int8")),
    "summing fp32": Case(summing("fp32")),
    "summing fp16": Case(summing("fp16")),
    "summing int8": Case(summing("int8")),
    "tiny fp32": Case(rewritten(networks.tiny, "fp32"), SMALL),
    "tiny fp16": Case(rewritten(networks.tiny, "fp16"), SMALL),
    "tiny int8": Case(rewritten(networks.quantised, "int8"), SMALL),
    "ahead of time": Case(
        rewritten(networks.tiny, "fp16"), BuildOptions(compute_capabilities=("SM80", "SM86", "SM89", "SM120"))
    ),
    # What must be refused.
    "transposed bytes": Case(raw_bytes_transposed),
    "mixed types": Case(by_hand(mix_types)),
    "custom operator": Case(by_hand(custom_operator)),
    "wrong gemm": Case(by_hand(wrong_gemm)),
    "large top k": Case(by_hand(large_top_k)),
    "other input": Case(by_hand(other_input)),
    "truncated": Case(truncated),
    "wrong side": Case(lambda folder: Prepared(rewritten(networks.tiny, "fp32")(folder).onnx, 48, {})),
    "wrong options": Case(
        rewritten(networks.tiny, "fp32"), BuildOptions(max_batch=0, workspace=7, optimization_level=9)
    ),
    "unknown capability": Case(rewritten(networks.tiny, "fp32"), BuildOptions(compute_capabilities=("SM90",))),
    "hardware compatible": Case(rewritten(networks.tiny, "fp32"), BuildOptions(hardware_compatible=True)),
}


def build(case: Case, folder: Path) -> dict[str, Any]:
    shares: list[float] = []
    try:
        network = case.network(folder)
        built = build_engine(
            tensorrt_rtx, network.onnx, network.side, case.options, lambda phase, share: shares.append(share)
        )
    except ExalignError as e:
        return {"error": type(e).__name__, "message": str(e)}
    return {
        "bytes": len(built.plan),
        "onnx": len(network.onnx),
        "outputs": network.outputs,
        "seconds": built.seconds,
        "progress": shares,
    }


if __name__ == "__main__":
    scratch, wanted = Path(sys.argv[1]), sys.argv[2:]
    print(json.dumps({name: build(CASES[name], scratch) for name in wanted}))
