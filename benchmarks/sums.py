"""Who should sum over the exemplars: the host, or the network's own graph (`exalign_engine.posterior.device_sums`)?

    python benchmarks/sums.py [--bundle DIR] [--data FACES] [--calls N] [--json]

CPU-milliseconds a face with one thread, from the crop to mean, covariances, confidences and the most probable exemplar
of its 68 landmarks; medians, the contestants taking turns in one run. "network" is the runtime's call alone, "reading"
what the host does afterwards: what it costs less with sums is all that a device that sums for nothing can save. The
parity columns are the largest differences between the two ways, in box sides and box sides².

Crops are the bundle's own drawn faces; with ``--data``, faces of ``val`` about true boxes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.data.source import open_faces
from exalign_engine.geometry.frames import BoxFrame, extract_crop, tight_box
from exalign_engine.network.outputs import FaceOutputs, Runtime
from exalign_engine.onnx_graph.onnx_file import read_network, write_network
from exalign_engine.onnx_graph.sums import with_sums
from exalign_engine.onnx_graph.sums_tables import MixtureTables
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.runtime import create_runtime
from exalign_engine.runtime.equivalence import probe_batch

U8 = NDArray[np.uint8]

RUNTIMES = ("openvino", "onnxruntime")
BATCHES = (1, 8)
WAYS = ("host", "graph")

#: Faces of ``val``.
FACES = 32


@dataclass(frozen=True)
class Row:
    """One runtime at one batch size; CPU-milliseconds a face.

    Attributes:
        network_host: the network alone.
        network_graph: the network that also sums.
        reading_host: from its outputs to the answer, sums made by the host.
        reading_graph: the same with the graph's sums.
        ratio: graph ÷ host of both together; the host is the better one above 1.
        mean_difference: largest of any landmark's coordinate, box sides.
        covariance_difference: largest of any landmark's, box sides².
    """

    runtime: str
    exemplars: int
    batch: int
    network_host: float
    network_graph: float
    reading_host: float
    reading_graph: float
    ratio: float
    mean_difference: float
    covariance_difference: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=default_bundle_path(), metavar="DIR")
    parser.add_argument("--data", type=Path, metavar="DIR", help="faces with a split val")
    parser.add_argument("--calls", type=int, default=60, metavar="N", help="timed calls of each (default: 60)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bundle = Bundle.load(args.bundle)
    crops = probe_batch(bundle) if args.data is None else val_crops(bundle, args.data)
    with tempfile.TemporaryDirectory() as folder:
        summing = Path(folder) / "network.onnx"
        summing.write_bytes(write_network(with_sums(read_network(bundle.network), MixtureTables.of(bundle))))
        rows = [row for name in RUNTIMES for row in measure(name, bundle, summing, crops, args.calls)]
        megabytes = summing.stat().st_size / 1e6
    if args.json:
        print(json.dumps({"megabytes": megabytes, "rows": [asdict(row) for row in rows]}, indent=1))
        return
    stored = bundle.network.stat().st_size / 1e6
    print(f"{bundle.manifest.name}: network {stored:.0f} MB, with sums {megabytes:.0f} MB; {len(crops)} crops")
    print(f"{'':14}{'K':>8}{'batch':>7}{'network':>9}{'+ sums':>8}{'reading':>9}{'+ sums':>8}{'ratio':>7}", end="")
    print(f"{'Δ mean':>10}{'Δ cov':>10}")
    for r in rows:
        print(
            f"{r.runtime:14}{r.exemplars:8}{r.batch:7}{r.network_host:9.2f}{r.network_graph:8.2f}{r.reading_host:9.2f}"
            f"{r.reading_graph:8.2f}{r.ratio:7.2f}{r.mean_difference:10.1e}{r.covariance_difference:10.1e}"
        )


def val_crops(bundle: Bundle, data: Path) -> U8:
    """`FACES` crops of ``val`` about true boxes, evenly spaced."""
    faces, m = open_faces(data, "val"), bundle.manifest
    chosen = np.linspace(0, len(faces) - 1, FACES).astype(int)
    places = [BoxFrame.from_box(tight_box(faces.landmarks[i])) for i in chosen]
    return np.stack(
        [
            extract_crop(faces.image(int(i)), place, m.margin, m.input_size)
            for i, place in zip(chosen, places, strict=True)
        ]
    )


def measure(name: str, bundle: Bundle, summing: Path, crops: U8, calls: int) -> list[Row]:
    """Both ways on one runtime, at every batch size."""
    runtimes = {"host": create_runtime(name, bundle.network), "graph": create_runtime(name, summing)}
    model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    rows = []
    for batch in BATCHES:
        network: dict[str, list[float]] = {way: [] for way in WAYS}
        reading: dict[str, list[float]] = {way: [] for way in WAYS}
        worst = [0.0, 0.0]
        for call in range(calls + 1):
            chosen = crops[np.arange(call * batch, (call + 1) * batch) % len(crops)]
            answers = {}
            for way in WAYS if call % 2 else WAYS[::-1]:
                spent, outputs = timed_call(runtimes[way], chosen)
                read, answers[way] = timed_reading(model, outputs)
                if call:  # the first warms up
                    network[way].append(1e3 * spent / batch)
                    reading[way].append(1e3 * read / batch)
            for ours, theirs in zip(answers["host"], answers["graph"], strict=True):
                worst[0] = max(worst[0], float(np.abs(ours.mean - theirs.mean).max()))
                worst[1] = max(worst[1], float(np.abs(ours.covariance - theirs.covariance).max()))
        n, r = ({way: statistics.median(v) for way, v in times.items()} for times in (network, reading))
        ratio = (n["graph"] + r["graph"]) / (n["host"] + r["host"])
        rows.append(
            Row(name, model.exemplars.count, batch, n["host"], n["graph"], r["host"], r["graph"], ratio, *worst)
        )
    return rows


def timed_call(runtime: Runtime, crops: U8) -> tuple[float, Sequence[FaceOutputs]]:
    """CPU-seconds of one call of the network, and what it said."""
    start = time.process_time()
    outputs = runtime.infer(crops)
    return time.process_time() - start, outputs.rows()


def timed_reading(model: PosteriorModel, rows: Sequence[FaceOutputs]) -> tuple[float, list[Posterior]]:
    """CPU-seconds from the network's outputs to what `PredictLandmarks` answers of each face."""
    start, answers = time.process_time(), []
    for row in rows:
        posterior = model.posterior(row.scores, row.image, row.sums)
        _ = posterior.mean, posterior.covariance, posterior.confidence, posterior.map_shape
        answers.append(posterior)
    return time.process_time() - start, answers


if __name__ == "__main__":
    main()
