"""What one face costs, from the crop to refined landmarks with their covariances; CPU-milliseconds.

    python benchmarks/face.py --data FACES [--bundle DIR] [--calls N] [--json]

Medians on one thread of OpenVINO, batch 1, over 32 faces of ``val`` about true boxes, each seen between others, so
that nothing of the last face is in the cache by chance. "network" is the runtime's call, "reading" what the host does
with its outputs: mean, displaced, and covariances. The rows take turns in one run:

- int8 as it is stored, and float32 derived from its weights;
- int8 at K = 1,000: the same network with every 143rd exemplar or so, and their mirror images;
- the paper's 60 ms a frame: with refinement and regressors, in MATLAB on a GPU (its §4.1); quoted, not measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
from benchmarks.sums import val_crops
from numpy.typing import NDArray
from onnx import numpy_helper

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.network.outputs import Runtime
from exalign_engine.onnx_graph.onnx_file import read_network, write_network
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.runtime import create_runtime

FEW = 1000
PAPER_MS = 60.0


@dataclass(frozen=True)
class Row:
    """One configuration; CPU-milliseconds a face.

    Attributes:
        ratio: the paper's 60 ms ÷ the total.
    """

    precision: str
    exemplars: int
    network: float
    reading: float
    total: float
    ratio: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="faces with a split val")
    parser.add_argument("--bundle", type=Path, default=default_bundle_path(), metavar="DIR")
    parser.add_argument("--calls", type=int, default=200, metavar="N", help="timed calls of each row (default: 200)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bundle = Bundle.load(args.bundle)
    whole = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    kept = mirrored_part(bundle.exemplars.count, FEW)
    few = PosteriorModel(bundle.exemplars.part(kept), bundle.calibration, bundle.residual)
    with tempfile.TemporaryDirectory() as folder:
        narrow = Path(folder) / "network.onnx"
        narrow.write_bytes(write_network(with_classes(read_network(bundle.network), kept)))
        contestants = [
            ("int8", whole, create_runtime("openvino", bundle.network, precision="int8")),
            ("fp32", whole, create_runtime("openvino", bundle.network, precision="fp32")),
            ("int8", few, create_runtime("openvino", narrow, precision="int8")),
        ]
        rows = measure(contestants, val_crops(bundle, args.data), args.calls)
    if args.json:
        print(json.dumps({"bundle": bundle.id, "paper_ms": PAPER_MS, "rows": [asdict(row) for row in rows]}, indent=1))
        return
    print(f"{bundle.manifest.name}; the paper: {PAPER_MS:g} ms a frame")
    print(f"{'':8}{'K':>9}{'network':>9}{'reading':>9}{'total':>8}{'paper ÷':>9}")
    for r in rows:
        print(f"{r.precision:8}{r.exemplars:9,}{r.network:9.2f}{r.reading:9.2f}{r.total:8.2f}{r.ratio:9.1f}")


def mirrored_part(known: int, wanted: int) -> NDArray[np.intp]:
    """Ascending class ids, about ``wanted`` of ``known``, with every class also the one that mirrors it."""
    half = np.linspace(0, known // 2 - 1, wanted // 2).astype(np.intp)
    return np.concatenate([half, half + known // 2])


def with_classes(model: onnx.ModelProto, kept: NDArray[np.intp]) -> onnx.ModelProto:
    """The network with these rows of its head alone."""
    (scores,) = (output for output in model.graph.output if output.name == "scores")
    known = scores.type.tensor_type.shape.dim[1].dim_value
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.shape[:1] == (known,):
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values[kept]), tensor.name))
        elif values.dtype == np.int64 and values.size == 1 and values.item() == known // 2:
            # Where the second look's scores are cut to be put in the order of the mirror images.
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(values, len(kept) // 2), tensor.name))
    scores.type.tensor_type.shape.dim[1].dim_value = len(kept)
    del model.graph.value_info[:]
    return model


def measure(contestants: list[tuple[str, PosteriorModel, Runtime]], crops: NDArray[np.uint8], calls: int) -> list[Row]:
    """Time every contestant on the same faces, taking turns."""
    times: list[list[tuple[float, float]]] = [[] for _ in contestants]
    for call in range(calls + 1):
        crop = crops[call % len(crops)][None]
        for (_, model, runtime), spent in zip(contestants, times, strict=True):
            start = time.process_time()
            outputs = runtime.infer(crop)
            between = time.process_time()
            row = outputs.row(0)
            posterior = model.posterior(row.scores, row.image)
            _ = posterior.mean, posterior.covariance
            if call:  # the first warms up
                spent.append((between - start, time.process_time() - between))
    rows = []
    for (precision, model, _), spent in zip(contestants, times, strict=True):
        network, reading = (1e3 * statistics.median(column) for column in zip(*spent, strict=True))
        total = 1e3 * statistics.median(a + b for a, b in spent)
        rows.append(Row(precision, model.exemplars.count, network, reading, total, PAPER_MS / total))
    return rows


if __name__ == "__main__":
    main()
