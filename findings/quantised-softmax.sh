#!/usr/bin/env bash
set -euo pipefail
# A static int8 quantisation turns every probability of a classifier with many classes into zero.
#
# Versions   onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6
# Expected   quantize_static takes each tensor's scale from what the calibrator saw. The largest
#            probability here is 0.0013, so steps of about 0.0013 / 255 would do.
# Happens    The calibrated range of a Softmax's output is thrown away for [0, 1]. One step is 1/255,
#            so whatever lies below 1/510 becomes 0. No error, and no warning about it.
# Seen       float32:                    sums of a row 1.000000 to 1.000000, largest probability 0.001263
#            int8, as quantize_static:   sums of a row 0.000000 to 0.000000, 0 of 128000 are not zero
#            the scale of the output:    0.00392157, where the calibrated range gives 0.00000495
#            int8, without the Softmax:  sums of a row 1.000000 to 1.000000
# Hurt       Networks that choose among thousands of exemplar shapes, identities or codebook entries,
#            and whose Softmax is in the graph: their posteriors are broad, so all of them go to 0.
# Way out    Leave Softmax out of op_types_to_quantize, and the scores that it reads in float.

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

logging.disable(logging.WARNING)  # the advice to pre-process, which changes nothing here
CLASSES, FEATURES, FACES = 2000, 64, 64


def expect(true: bool, what: str) -> None:
    if not true:
        sys.exit(f"CHANGED: {what}")


class Reader(CalibrationDataReader):
    """Every face once."""

    def __init__(self) -> None:
        self._left = [{"embedding": faces}]

    def get_next(self):
        return self._left.pop() if self._left else None


def probabilities(path: str) -> np.ndarray:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"embedding": faces})[0]


rng = np.random.default_rng(0)
head = (0.025 * rng.normal(size=(FEATURES, CLASSES))).astype(np.float32)
faces = rng.normal(size=(FACES, FEATURES)).astype(np.float32)
graph = helper.make_graph(
    [
        helper.make_node("MatMul", ["embedding", "head"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1),
    ],
    "head",
    [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["faces", FEATURES])],
    [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["faces", CLASSES])],
    [numpy_helper.from_array(head, "head")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "float.onnx")

exact = probabilities("float.onnx")
quantize_static("float.onnx", "int8.onnx", Reader())
quantised = probabilities("int8.onnx")
weights = {tensor.name: tensor for tensor in onnx.load("int8.onnx").graph.initializer}
scale = float(numpy_helper.to_array(weights["probabilities_scale"]))
quantize_static("float.onnx", "spared.onnx", Reader(), op_types_to_quantize=["MatMul"])
spared = probabilities("spared.onnx")


def sums(rows: np.ndarray) -> str:
    return f"sums of a row {rows.sum(1).min():.6f} to {rows.sum(1).max():.6f}"


print(f"onnxruntime {ort.__version__}, onnx {onnx.__version__}: {FACES} faces, {CLASSES} classes")
print(f"float32:                    {sums(exact)}, largest probability {exact.max():.6f}")
print(f"int8, as quantize_static:   {sums(quantised)}, {(quantised != 0).sum()} of {quantised.size} are not zero")
print(f"the scale of the output:    {scale:.8f}, where the calibrated range gives {exact.max() / 255:.8f}")
print(f"int8, without the Softmax:  {sums(spared)}")
expect(np.allclose(exact.sum(1), 1, atol=1e-4), "the float network no longer returns probabilities")
expect(exact.max() < 1 / 510, "a probability is large enough to survive")
expect(not quantised.any(), "some quantised probabilities are not zero")
expect(abs(scale - 1 / 255) < 1e-6, "the output's scale is not that of [0, 1]")
expect(np.allclose(spared.sum(1), 1, atol=1e-3), "leaving the Softmax out no longer helps")
print("As recorded: every probability is zero, without an error.")
PY
