"""From the bundle's network file to the ONNX that TensorRT is given for a precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from exalign_engine.errors import BundleError
from exalign_engine.onnx_graph.checks import (
    cast_first,
    input_side,
    is_quantised,
    output_shapes,
    read_graph,
    weights_finite,
)
from exalign_engine.onnx_graph.errors import GraphError
from exalign_engine.onnx_graph.fp16 import to_half
from exalign_engine.onnx_graph.onnx_file import dequantise
from exalign_engine.onnx_graph.sums import with_sums
from exalign_engine.onnx_graph.sums_tables import MixtureTables

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Prepared:
    """A network ready for TensorRT's parser.

    Attributes:
        onnx: the file's bytes.
        side: S, pixels: the crop's side.
        outputs: shape of one row of every output, by name.
    """

    onnx: bytes
    side: int
    outputs: dict[str, tuple[int, ...]]


def prepare(network: Path, precision: str, tables: MixtureTables | None = None) -> Prepared:
    """Rewrite a network for a precision.

    Args:
        network: float32, or with symmetric int8 weights (`exalign_engine.onnx_graph.int8`). "int8" needs the
            latter; the others are computed with the weights that it holds, and activations are not rounded.
        precision: one of `PRECISIONS`.
        tables: of the bundle, for a network that also sums over the exemplars (`exalign_engine.onnx_graph.sums`); None
            leaves the outputs as they are.

    Raises:
        BundleError: it is not an ONNX file.
        GraphError: it cannot be computed in this precision, or the tables are of another K.
    """
    if precision not in PRECISIONS:
        raise GraphError("precision", f"is {precision!r}, must be one of {', '.join(PRECISIONS)}")
    model = read_graph(network)
    if precision == "int8" and not is_quantised(model):
        problem = f"is int8, and {network.name} holds float32 weights; `exalign-model quantise` makes int8 of them"
        raise GraphError("precision", problem)
    if precision != "int8" and is_quantised(model):
        try:
            model = onnx.shape_inference.infer_shapes(dequantise(model), strict_mode=True)
        except ValueError as e:
            raise GraphError(network.name, str(e)) from e
    weights_finite(model)
    cast_first(model)
    if precision == "fp16":
        model = to_half(model)
    if tables is not None:
        try:
            model = with_sums(model, tables)
        except ValueError as e:
            raise GraphError(network.name, str(e)) from e
    return Prepared(model.SerializeToString(), input_side(model), output_shapes(model))


def stored_precision(network: Path) -> str:
    """What "auto" means on a GPU: int8 where the file says so, half precision otherwise.

    Raises:
        BundleError: the file cannot be read.
    """
    try:
        # The operators stand before the weights, by name.
        return "int8" if b"DequantizeLinear" in network.read_bytes() else "fp16"
    except OSError as e:
        raise BundleError(network, f"cannot be read: {e.strerror}") from e
