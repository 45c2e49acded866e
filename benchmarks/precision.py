"""What int8 and fp16 cost and save: file size, CPU-milliseconds a face, and how far answers move on ``val``.

    python benchmarks/precision.py --data FACES [--bundle DIR] [--exemplars K] [--limit N] [--json]

Of a float32 bundle the network is quantised as `exalign-model quantise` does it; of an int8 one, float32 is derived
from its weights, and the accuracy of the float32 network that was trained is the one in its manifest.

Time is CPU time of the process with one thread of the network, crop to scores, the median over calls; a batch of two
is one crop beside its mirror image. ``--exemplars`` also times a head of K rows, made of the bundle's with a little
noise. Differences are from ONNX Runtime in float32: |Δ log p| over the classes that hold the top 99.9 % of the mass,
and of the landmarks, as a share of the diagonal of the reference's face box. f16 is the graph that TensorRT is given,
on ONNX Runtime, which convolves in float32 on a CPU: what is seen is the rounding of weights, and no time is taken.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.commands.quantise import training_crops
from exalign_engine.data.source import open_faces
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.metrics.accuracy import nrmse, summarise
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Outputs, Runtime
from exalign_engine.onnx_graph.int8 import measure_scales, quantise
from exalign_engine.onnx_graph.onnx_file import dequantise, read_network, write_network
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.runtime import create_runtime
from exalign_engine.runtime.tensorrt.precisions import prepare
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import load_faces

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

RUNTIMES = ("openvino", "onnxruntime")
PRECISIONS = ("f32", "int8")
BATCHES = (1, 2)
#: Noise on rows of the head that are copied, as a share of their spread.
HEAD_NOISE = 0.02


@dataclass(frozen=True)
class Cost:
    """CPU-milliseconds of one call of the network."""

    runtime: str
    precision: str
    exemplars: int
    batch: int
    megabytes: float
    cpu_ms: float


@dataclass(frozen=True)
class Fidelity:
    """What one network answers on ``val``; differences are from ONNX Runtime in float32.

    Attributes:
        dlogp_max: largest |Δ log p|, nats.
        dlogp_median: median over faces of each face's largest.
        landmarks_mean: mean distance of the answers, % of the face box's diagonal.
        landmarks_max: largest of any landmark.
        auc: with everything that the bundle has.
        auc_lost: against the reference.
        auc_mixture: without the residual.
        auc_mixture_lost: against the reference.
    """

    runtime: str
    precision: str
    dlogp_max: float
    dlogp_median: float
    landmarks_mean: float
    landmarks_max: float
    auc: float
    auc_lost: float
    auc_mixture: float
    auc_mixture_lost: float


@dataclass(frozen=True)
class Answers:
    """Of one network: scores, landmarks with the residual and without (B, 68, 2), and their AUC."""

    scores: F32
    landmarks: F64
    auc: float
    auc_mixture: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="faces with splits train and val")
    parser.add_argument("--bundle", type=Path, default=default_bundle_path(), metavar="DIR")
    parser.add_argument("--exemplars", type=int, default=0, metavar="K", help="also time a head of K rows")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only N faces of val, evenly spaced")
    parser.add_argument("--calls", type=int, default=100, metavar="N", help="timed calls (default: 100)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bundle = Bundle.load(args.bundle)
    with tempfile.TemporaryDirectory() as folder:
        files, stored = both_networks(bundle, args.data, Path(folder))
        crops, truth = val_crops(bundle, args.data, args.limit)
        half = Path(folder) / "f16.onnx"
        half.write_bytes(prepare(bundle.network, "fp16").onnx)
        fidelity = compare(bundle, files | {"f16": half}, crops, truth)
        costs = measure(files, bundle.manifest.exemplars, crops, args.calls)
        if args.exemplars:
            wide = widened(files["f32"], args.exemplars, read_scales(files["int8"]), Path(folder))
            costs += measure(wide, args.exemplars, crops, args.calls)
    if args.json:
        rows: dict[str, Any] = {"stored": stored, "faces": len(crops)}
        rows |= {"costs": [asdict(c) for c in costs], "fidelity": [asdict(f) for f in fidelity]}
        print(json.dumps(rows, indent=1))
        return
    print(f"{bundle.manifest.name}: network.onnx is stored as {stored}; {len(crops)} faces of val, true boxes")
    print(f"{'':24}{'K':>8}{'batch':>7}{'MB':>8}{'CPU ms':>8}")
    for c in costs:
        print(f"{c.runtime + ' ' + c.precision:24}{c.exemplars:8}{c.batch:7}{c.megabytes:8.2f}{c.cpu_ms:8.2f}")
    print(f"\n{'':24}{'|Δ log p| max':>14}{'median':>8}{'landmarks %':>12}{'max':>8}{'AUC':>8}{'lost':>9}", end="")
    print(f"{'mixture':>9}{'lost':>9}")
    for f in fidelity:
        print(
            f"{f.runtime + ' ' + f.precision:24}{f.dlogp_max:14.2g}{f.dlogp_median:8.2g}{f.landmarks_mean:12.3f}"
            f"{f.landmarks_max:8.4f}{f.auc:8.4f}{f.auc_lost:9.5f}{f.auc_mixture:9.4f}{f.auc_mixture_lost:9.5f}"
        )


def both_networks(bundle: Bundle, data: Path, folder: Path) -> tuple[dict[str, Path], str]:
    """The bundle's network in float32 and int8, as files; and which of them the bundle stores."""
    model = read_network(bundle.network)
    stored = "int8" if any(node.op_type == "DequantizeLinear" for node in model.graph.node) else "f32"
    if stored == "int8":
        models = {"f32": dequantise(model), "int8": model}
    else:
        scales = measure_scales(model, training_crops(bundle.manifest, data))
        models = {"f32": model, "int8": quantise(model, scales)}
    return _written(models, folder, ""), stored


def read_scales(network: Path) -> dict[str, np.float32]:
    """The activations' scales of an int8 network."""
    model = read_network(network)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    return {
        node.input[0]: np.float32(numpy_helper.to_array(constants[node.input[1]]))
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    }


def widened(network: Path, exemplars: int, scales: dict[str, np.float32], folder: Path) -> dict[str, Path]:
    """The float32 network with a head of another K, and its int8 form."""
    model = read_network(network)
    (scores,) = (output for output in model.graph.output if output.name == "scores")
    nodes = [node for node in model.graph.node if node.op_type == "Gemm" and node.output[0] == "scores"]
    if not nodes:
        raise SystemExit("--exemplars: the scores of this network are more than a linear head; time a bundle of that K")
    rng = np.random.default_rng(0)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for name in nodes[0].input[1:]:
        old = numpy_helper.to_array(constants[name])
        new = old[np.arange(exemplars) % len(old)]
        new = new + np.float32(HEAD_NOISE * old.std()) * rng.standard_normal(new.shape, dtype=np.float32)
        constants[name].CopyFrom(numpy_helper.from_array(new, name))
    scores.type.tensor_type.shape.dim[1].dim_value = exemplars
    del model.graph.value_info[:]
    return _written({"f32": model, "int8": quantise(model, scales)}, folder, f"-{exemplars}")


def _written(models: dict[str, onnx.ModelProto], folder: Path, suffix: str) -> dict[str, Path]:
    files = {}
    for name, model in models.items():
        files[name] = folder / f"{name}{suffix}.onnx"
        files[name].write_bytes(write_network(model))
    return files


def val_crops(bundle: Bundle, data: Path, limit: int) -> tuple[U8, F64]:
    """Crops of ``val`` about true boxes, and the landmarks in their box frames (B, 68, 2)."""
    faces = load_faces(open_faces(data, "val"), limit)
    augmenter = Augmenter(AugmentConfig(), bundle.manifest.input_size, bundle.manifest.margin)
    samples = [augmenter.plain(image, points) for image, points in zip(faces.images, faces.landmarks, strict=True)]
    return np.stack([s.crop for s in samples]), np.stack([s.shape for s in samples]).astype(np.float64)


def measure(files: dict[str, Path], exemplars: int, crops: U8, calls: int) -> list[Cost]:
    """CPU time of every runtime and precision; calls of one take turns with calls of the others."""
    runtimes: dict[tuple[str, str], Runtime] = {
        (name, precision): create_runtime(name, files[precision]) for name in RUNTIMES for precision in PRECISIONS
    }
    batches = {n: np.ascontiguousarray(np.stack([crops[0], crops[0][:, ::-1]])[:n]) for n in BATCHES}
    times: dict[tuple[str, str, int], list[float]] = {(*key, n): [] for key in runtimes for n in BATCHES}
    rounds, together = 10, max(1, calls // 10)
    for _ in range(rounds):
        for (name, precision), runtime in runtimes.items():
            for n, batch in batches.items():
                runtime.infer(batch)
                for _ in range(together):
                    start = time.process_time()
                    runtime.infer(batch)
                    times[name, precision, n].append(time.process_time() - start)
    return [
        Cost(
            name,
            precision,
            exemplars,
            n,
            round(files[precision].stat().st_size / 1e6, 3),
            round(1e3 * statistics.median(row), 3),
        )
        for (name, precision, n), row in times.items()
    ]


def compare(bundle: Bundle, files: dict[str, Path], crops: U8, truth: F64) -> list[Fidelity]:
    """How far every runtime and precision is from ONNX Runtime in float32."""
    reference = answer(bundle, create_runtime("onnxruntime", files["f32"]), crops, truth)
    diagonals = np.array([diagonal(tight_box(shape)) for shape in reference.landmarks])
    rows = []
    for name, precision in [*((n, p) for n in RUNTIMES for p in PRECISIONS), ("onnxruntime", "f16")]:
        found = answer(bundle, create_runtime(name, files[precision]), crops, truth)
        moved = 100 * np.linalg.norm(found.landmarks - reference.landmarks, axis=-1) / diagonals[:, None]
        dlogp = log_p_differences(reference.scores, found.scores, bundle.calibration.temperature)
        rows.append(
            Fidelity(
                name,
                precision,
                float(dlogp.max()),
                float(np.median(dlogp)),
                float(moved.mean()),
                float(moved.max()),
                found.auc,
                reference.auc - found.auc,
                found.auc_mixture,
                reference.auc_mixture - found.auc_mixture,
            )
        )
    return rows


def answer(bundle: Bundle, runtime: Runtime, crops: U8, truth: F64) -> Answers:
    """Landmarks of all crops."""
    out: Outputs = score(runtime, crops)
    with_residual = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    without = PosteriorModel(bundle.exemplars, bundle.calibration)
    landmarks = np.stack([with_residual.posterior(row.scores, row.image).mean for row in out.rows()])
    mixture = np.stack([without.posterior(row.scores).mean for row in out.rows()])
    auc, auc_mixture = (
        float(summarise([nrmse(y, t) for y, t in zip(answers, truth, strict=True)])["auc"] or 0)
        for answers in (landmarks, mixture)
    )
    return Answers(out.scores, landmarks, auc, auc_mixture)


def log_p_differences(reference: F32, found: F32, temperature: float) -> F64:
    """(B,) largest |Δ log p| of each face over the classes that hold the top 99.9 % of its mass."""
    worst = []
    for a, b in zip(log_p(reference, temperature), log_p(found, temperature), strict=True):
        order = np.argsort(-a)
        top = order[: int(np.searchsorted(np.cumsum(np.exp(a[order])), 0.999)) + 1]
        worst.append(float(np.abs(a[top] - b[top]).max()))
    return np.array(worst)


def log_p(scores: F32, temperature: float) -> F64:
    """Log-softmax of (B, K) scores."""
    s = scores.astype(np.float64) / temperature
    s -= s.max(axis=1, keepdims=True)
    return np.asarray(s - np.log(np.exp(s).sum(axis=1, keepdims=True)))


if __name__ == "__main__":
    main()
