"""A network whose graph also sums over its exemplars: softmax in float32, then products with constant tables.

What the sums are is said in `exalign_engine.posterior.device_sums`. The tables are not in the bundle: they follow from
it, and
are made when a runtime asks. Everything appended is float32, whatever the network before it is computed in: a softmax
over K = 140,000 in half precision is wrong by 0.6 %, and a covariance is a small difference of large squares.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.onnx_graph.sums_tables import MixtureTables
from exalign_engine.posterior.device_sums import COORDINATES, WIDTH

#: Name of the output, and what the names of all that is appended begin with, and a dot.
OUTPUT = "sums"

_SCORES = "scores"


def with_sums(model: onnx.ModelProto, tables: MixtureTables) -> onnx.ModelProto:
    """A copy of a network that has one more output, ``sums``, (B, `WIDTH`) float32.

    Args:
        model: a network with the float32 output ``scores``, (B, K); of any precision inside.
        tables: of the same K exemplars.

    Raises:
        ValueError: it has no such output, or another K.
    """
    found = {output.name: output.type.tensor_type for output in model.graph.output}
    if _SCORES not in found or found[_SCORES].elem_type != TensorProto.FLOAT:
        raise ValueError(f"has no float32 output {_SCORES!r} to sum by; its outputs: {', '.join(found)}")
    classes = found[_SCORES].shape.dim[1].dim_value
    if classes != tables.count:
        raise ValueError(f"{_SCORES} has K = {classes}, there are {tables.count} exemplars")
    result = onnx.ModelProto()
    result.CopyFrom(model)
    writer = _Writer(result.graph)
    writer.write(tables)
    batch = found[_SCORES].shape.dim[0]
    output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch.dim_param or "batch", WIDTH])
    result.graph.output.append(output)
    return result


class _Writer:
    """Appends nodes and constants to a graph; each method returns the name of what it made."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph

    def write(self, tables: MixtureTables) -> None:
        shapes, pivot = tables.shapes()
        self._constant("shapes", shapes)
        self._constant("products", tables.products(shapes))
        self._constant("kernel_columns", tables.kernel_columns())
        kept = self._kept(tables)
        # All of it is divided by the mass that was kept, which is the last of the kernels' columns.
        kernel_sums = self._node("MatMul", "kernel_sums", kept, self._name("kernel_columns"))
        variances, mass = self._split("kernel", kernel_sums, (1, 1))
        mean = self._node("Div", "mean", self._node("MatMul", "first", kept, self._name("shapes")), mass)
        second = self._node("Div", "second", self._node("MatMul", "products_sum", kept, self._name("products")), mass)
        x, y = self._split("mean", mean, (N_LANDMARKS, N_LANDMARKS))
        squares = self._products("mean_products", (x, y), ((0, 0), (0, 1), (1, 1)))
        covariance = self._node("Sub", "covariance", second, squares)
        kernels = self._node("Div", "kernel_variances", variances, mass)
        share, mean_squared_share, displacement_covariance = self._shares(tables, shapes, kept, mean, mass)
        place = self._node("Add", "place", mean, self._constant("pivot", pivot))
        # In the order of `exalign_engine.posterior.device_sums.COLUMNS`.
        parts = [place, covariance, displacement_covariance, kernels, mass, share, mean_squared_share]
        self._graph.node.append(helper.make_node("Concat", parts, [OUTPUT], name=self._name("concat"), axis=1))

    def _kept(self, tables: MixtureTables) -> str:
        """(B, K): probabilities, 0 below cut / K."""
        cold = self._constant("inverse_temperature", np.float32(1 / tables.calibration.temperature))
        p = self._node("Softmax", "p", self._node("Mul", "cold", _SCORES, cold), axis=1)
        cut = self._constant("cut", np.float32(tables.cut / tables.count))
        dropped = self._node("Less", "is_dropped", p, cut)
        return self._node("Where", "kept_p", dropped, self._constant("zero", np.float32(0)), p)

    def _shares(
        self, tables: MixtureTables, shapes: NDArray[np.float32], kept: str, mean: str, mass: str
    ) -> tuple[str, str, str]:
        """a, b and X of Eq. S2."""
        lengths, g = tables.nearness(shapes)
        own = self._constant("lengths", lengths)
        ones = self._constant("ones", np.ones((tables.count, 1), np.float32))
        # −g ‖µ − m‖² = 2 g µ·m − g ‖µ‖² − g ‖m‖²
        cross = self._node("Gemm", "nearness", mean, self._name("shapes"), own, alpha=2 * g, transB=1)
        squared = self._node("Mul", "mean_squared", mean, mean)
        weights = self._constant("length_weights", np.full((COORDINATES, 1), g, np.float32))
        exponent = self._node("Sub", "exponent", cross, self._node("MatMul", "mean_length", squared, weights))
        w = self._node("Exp", "w", exponent)
        taken = self._node("Mul", "taken", kept, w)
        both = self._node("Mul", "taken_twice", taken, w)
        share = self._node("Div", "share", self._node("MatMul", "share_sum", taken, ones), mass)
        mean_squared_share = self._node(
            "Div", "mean_squared_share", self._node("MatMul", "squared_sum", both, ones), mass
        )
        towards = self._node("Div", "towards", self._node("MatMul", "towards_sum", taken, self._name("shapes")), mass)
        displacement_covariance = self._node(
            "Sub", "displacement_covariance", towards, self._node("Mul", "share_of_mean", share, mean)
        )
        return share, mean_squared_share, displacement_covariance

    def _products(self, name: str, parts: tuple[str, ...], pairs: tuple[tuple[int, int], ...]) -> str:
        """Columns of products of two parts each."""
        products = [self._node("Mul", f"{name}.{i}{j}", parts[i], parts[j]) for i, j in pairs]
        return self._node("Concat", name, *products, axis=1)

    def _split(self, name: str, tensor: str, widths: tuple[int, ...]) -> tuple[str, ...]:
        """Columns of a tensor, one after the other."""
        names = [self._name(f"{name}.{i}") for i in range(len(widths))]
        sizes = self._constant(f"{name}.widths", np.array(widths, np.int64))
        self._graph.node.append(
            helper.make_node("Split", [tensor, sizes], names, name=self._name(f"{name}.split"), axis=1)
        )
        return tuple(names)

    def _node(self, kind: str, name: str, *inputs: str, **attributes: float) -> str:
        output = self._name(name)
        self._graph.node.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def _constant(self, name: str, values: NDArray[np.generic] | np.generic) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(values), self._name(name)))
        return self._name(name)

    @staticmethod
    def _name(name: str) -> str:
        return f"{OUTPUT}.{name}"
