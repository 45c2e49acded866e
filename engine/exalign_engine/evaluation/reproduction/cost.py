"""Fig. 2: what K costs: the network before its last layer, that layer, and the posterior; time and memory.

All in float32 on one thread, one face at a time. Exemplars of K classes are the bundle's, thinned, or copied
with a little noise where K is larger.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx
import onnx.utils
import onnxruntime
from numpy.typing import NDArray

from exalign_engine.arrays import F32
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.errors import BundleError
from exalign_engine.evaluation.reproduction.tables import Row
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import Progress
from exalign_engine.runtime.precision import load_network

COUNTS = (10, 100, 1_000, 10_000, 33_736, 143_378)
REPEATS = 15

#: Noise on copies: box sides, and units of score.
SHAPE_NOISE, SCORE_NOISE = 0.004, 0.3

MIB = 2.0**20


def cost_rows(
    bundle: Bundle,
    runtime: Runtime,
    crops: Sequence[NDArray[np.uint8]],
    counts: Sequence[int] = COUNTS,
    progress: Progress | None = None,
) -> list[Row]:
    """Time and memory by K.

    Args:
        bundle: the model.
        runtime: executes its network once, for real scores.
        crops: faces; the median is over them and over repeats.
        counts: values of K.
        progress: told how many of ``counts`` are done.

    Returns:
        Rows with k; backbone_ms, head_ms, posterior_ms (moments of all landmarks and their confidences), CPU-ms a
        face; head_mib and shapes_mib, memory of the last layer's weights and of the exemplars' shapes.
    """
    out = score(runtime, crops)
    model = _float32(bundle)
    width = _head_width(model, bundle)
    looks = out.embedding.shape[1] // width  # a network that looks twice puts both embeddings side by side
    backbone = _median(_backbone(model, crops[0]))
    rng = np.random.default_rng(0)
    rows = []
    for done, k in enumerate(counts, 1):
        of = _resampled(bundle.exemplars.count, k, rng)
        classes = _model(bundle, of, rng)
        weights = rng.standard_normal((k, width), dtype=np.float32)
        seen = rng.standard_normal((width, looks), dtype=np.float32)
        copied = k > bundle.exemplars.count
        scores = [s[of] + (rng.normal(0, SCORE_NOISE, k).astype(np.float32) if copied else 0) for s in out.scores]

        def head(weights: F32 = weights, seen: F32 = seen) -> object:
            return weights @ seen

        def posterior(s: F32, classes: PosteriorModel = classes) -> Callable[[], object]:
            def read() -> object:
                p = classes.posterior(np.asarray(s, dtype=np.float32))
                return p.mean, p.covariance, p.confidence

            return read

        rows.append(
            {
                "bundle": bundle.id[:12],
                "k": k,
                "backbone_ms": round(backbone, 4),
                "head_ms": round(_median(head), 4),
                "posterior_ms": round(statistics.median(_median(posterior(s)) for s in scores), 4),
                "head_mib": round(weights.nbytes / MIB, 4),
                "shapes_mib": round(classes.exemplars.shapes.nbytes / MIB, 4),
            }
        )
        if progress:
            progress(done)
    return rows


def _median(call: Callable[[], object]) -> float:
    """CPU-milliseconds of the process; the first call, which compiles, is not counted."""
    call()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        times.append(1e3 * (time.process_time() - start))
    return statistics.median(times)


def _float32(bundle: Bundle) -> onnx.ModelProto:
    """The network in float32; of an int8 one it is derived."""
    int8 = b"DequantizeLinear" in bundle.network.read_bytes()
    return onnx.load_from_string(load_network(bundle.network, "fp32" if int8 else "auto").onnx)


def _head_width(model: onnx.ModelProto, bundle: Bundle) -> int:
    """D of the last layer: the other side of the largest matrix that has K on one side.

    Raises:
        BundleError: no matrix has.
    """
    k = bundle.exemplars.count
    found = [tuple(t.dims) for t in model.graph.initializer if len(t.dims) == 2 and k in t.dims]
    if not found:
        raise BundleError(bundle.network, f"has no matrix with K = {k} rows or columns")
    rows, columns = max(found)
    return int(columns if rows == k else rows)


def _backbone(model: onnx.ModelProto, crop: NDArray[np.uint8]) -> Callable[[], object]:
    """All of the network but its last layer, on one thread."""
    names = [output.name for output in model.graph.output if output.name != "scores"]
    cut = onnx.utils.Extractor(model).extract_model(["image"], names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(cut.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"image": crop[None]})


def _resampled(known: int, k: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return np.sort(np.concatenate([rng.permutation(known)[: k - start] for start in range(0, k, known)]))


def _model(bundle: Bundle, of: NDArray[np.intp], rng: np.random.Generator) -> PosteriorModel:
    part = bundle.exemplars.part(of)
    if len(of) > bundle.exemplars.count:
        shapes = part.shapes + rng.normal(0, SHAPE_NOISE, part.shapes.shape)
        part = replace(part, shapes=shapes.astype(np.float32))
    return PosteriorModel(part, bundle.calibration)
