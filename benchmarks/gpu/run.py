"""The exported graph, executed by torch on whatever device there is: right, how fast, and without growth of memory?

    python -m benchmarks.gpu.run [--bundle DIR] [--device cuda] [--variants fp32 fp16 ...] [--batches 1 2 4 ...]
        [--calls 200] [--iterations 10000] [--copy-mb 1024] [--flush-mb 256] [--json out/gpu-run.json]

The graphs are those that TensorRT is given: fp32 and fp16, and both with sums over the exemplars. Of each it reports

- parity with ONNX Runtime in fp32, in terms of the posterior, on the bundle's own drawn faces, and whether that is
  within the bounds by which a server judges a runtime;
- times of a call at each batch size: on the device alone (CUDA graphs and CUDA's events), and from the host's memory to
  the host's memory, with faces a second;
- the head (K rows): the bytes that it must move, the time that it takes with empty and with warm caches, and both
  against the bandwidth of the device's memory, as measured by copying;
- memory while many calls of changing batch sizes are made.

Exit code 1 where an answer is beyond its bound or the memory grows. On a CPU the same is done without CUDA graphs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from benchmarks.gpu.graph import TorchGraph
from benchmarks.gpu.measure import Bandwidth, Flush, as_row, bandwidth, endured, timed, wall
from benchmarks.gpu.runtime import TorchRuntime
from benchmarks.machine import Machine, machine

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.network.outputs import Runtime
from exalign_engine.onnx_graph.sums_tables import MixtureTables
from exalign_engine.runtime import create_runtime
from exalign_engine.runtime.divergence import BOUNDS
from exalign_engine.runtime.equivalence import PROBES, measure, probe_batch
from exalign_engine.runtime.tensorrt.precisions import prepare

VARIANTS = ("fp32", "fp16", "fp32+sums", "fp16+sums")
BATCHES = (1, 2, 4, 8, 16, 32, 64)

#: Names of the precisions in `BOUNDS`.
_BOUND = {"fp32": "f32", "fp16": "f16"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=default_bundle_path(), metavar="DIR")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="as torch names it")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS, metavar="VARIANT")
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES, metavar="N")
    parser.add_argument("--calls", type=int, default=200, metavar="N", help="timed calls of each (default: 200)")
    parser.add_argument("--iterations", type=int, default=10_000, metavar="N", help="calls that memory is watched over")
    parser.add_argument("--copy-mb", type=int, default=1024, metavar="MB", help="copied to measure the bandwidth")
    parser.add_argument("--flush-mb", type=int, default=256, metavar="MB", help="written to empty the caches")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(arguments)
    here = machine()
    print(here)
    report = run(Bundle.load(args.bundle), args, here)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(summary(report))
    return 0 if report["right"] else 1


def run(bundle: Bundle, args: argparse.Namespace, here: Machine) -> dict[str, Any]:
    """Measure every variant; the report."""
    _compute_exactly()
    device = torch.device(args.device)
    memory_speed = bandwidth(device, args.copy_mb << 20)
    reference = create_runtime("onnxruntime", bundle.network, precision="fp32")
    variants = [_variant(name, bundle, reference, memory_speed, args) for name in args.variants]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {**asdict(here), "quiet": here.quiet},
        "device": _described(device),
        "bundle": {"name": bundle.manifest.name, "id": bundle.id, "exemplars": bundle.exemplars.count},
        "bandwidth": asdict(memory_speed),
        "variants": variants,
        "right": not any(v["beyond_bounds"] or v["memory"]["grew"] for v in variants),
    }


def _compute_exactly() -> None:
    """float32 as float32, and sums of half precision in float32 to their end."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def _variant(
    name: str, bundle: Bundle, reference: Runtime, memory_speed: Bandwidth, args: argparse.Namespace
) -> dict[str, Any]:
    precision, _, sums = name.partition("+")
    prepared = prepare(bundle.network, precision, MixtureTables.of(bundle) if sums else None)
    model = onnx.load_from_string(prepared.onnx)
    graph = TorchGraph(model, args.device)
    # Parity is measured in one call of all probes.
    runtime = TorchRuntime(graph, prepared.side, sorted({*args.batches, PROBES}), _BOUND[precision])
    divergence = measure(reference, runtime, bundle)
    drawn = probe_batch(bundle)
    crops = drawn[np.arange(max(args.batches)) % len(drawn)]
    rows = []
    for batch in args.batches:
        call = runtime.calls[batch]
        on_device = timed(call.replay, args.calls, graph.device)
        through = wall(lambda call=call, n=batch: call.call(crops[:n]), args.calls)  # type: ignore[misc]
        rows.append({"batch": batch, "device": as_row(on_device, batch), "host_to_host": as_row(through, batch)})
    sizes = args.batches
    grown = endured(lambda i: runtime.infer(crops[: sizes[i % len(sizes)]]), args.iterations, graph.device)
    found = {
        "variant": name,
        "divergence": asdict(divergence),
        "bounds": asdict(BOUNDS[_BOUND[precision]]),
        "beyond_bounds": divergence.beyond(BOUNDS[_BOUND[precision]]),
        "recorded": all(call.recorded for call in runtime.calls.values()),
        "bytes_by_class": _bytes_by_class(graph, bundle.exemplars.count),
        "batches": rows,
        "head": [_head(graph, runtime, row, bundle.exemplars.count, memory_speed, args) for row in rows],
        "memory": grown,
    }
    runtime.close()
    return found


def _bytes_by_class(graph: TorchGraph, k: int) -> int:
    """Of all constants with a row for each of the K classes: the head, and the tables of the sums."""
    return sum(t.numel() * t.element_size() for t in graph.constants.values() if t.ndim and t.shape[0] == k)


def _head(
    graph: TorchGraph,
    runtime: TorchRuntime,
    row: dict[str, Any],
    k: int,
    memory_speed: Bandwidth,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """The product with the K rows of the head by itself, on what the graph gives it."""
    node = next(n for n in graph.model.graph.node if n.op_type == "Gemm" and graph.constants[n.input[1]].shape[0] == k)
    x = graph.evaluate(runtime.calls[row["batch"]].image, [node.input[0]])[node.input[0]]
    weight, bias = (graph.constants[name] for name in node.input[1:3])
    scores = x.new_empty((len(x), k))

    def product() -> None:
        # Into memory that is there: taking it is not what is measured.
        torch.addmm(bias, x, weight.T, out=scores)

    with torch.inference_mode():
        cold = timed(product, args.calls, graph.device, before=Flush(graph.device, args.flush_mb << 20))
        warm = timed(product, args.calls, graph.device)
    moved = sum(t.numel() * t.element_size() for t in (x, weight, bias, scores))
    return {
        "batch": row["batch"],
        "rows": len(x),
        "bytes": moved,
        "cold_ms": cold.p50_ms,
        "warm_ms": warm.p50_ms,
        "cold_bytes_per_second": round(1e3 * moved / cold.p50_ms),
        "share_of_bandwidth": round(1e3 * moved / cold.p50_ms / memory_speed.copied, 4),
        "share_of_call": round(warm.p50_ms / row["device"]["p50_ms"], 4),
    }


def _described(device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {"type": device.type, "torch": torch.__version__, "threads": torch.get_num_threads()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "name": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_bytes": properties.total_memory,
            "cuda": torch.version.cuda,
        }
    return found


def summary(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    device = report["device"]
    speed = report["bandwidth"]["copied"] / 1e9
    lines = [f"{device.get('name', device['type'])}, torch {device['torch']}; memory {speed:,.0f} GB/s by copying"]
    for v in report["variants"]:
        d, problems = v["divergence"], "; ".join(v["beyond_bounds"]) or "within bounds"
        lines.append(
            f"{v['variant']}: KL {d['kl']:.1e} nats, landmarks {d['landmarks']:.1e} of the diagonal,"
            f" coverage {d['coverage']:.1e}, sums {d['sums']:.1e}: {problems}"
        )
        lines.append(
            f"{'batch':>7}{'device ms':>11}{'p99':>9}{'faces/s':>10}{'host ms':>10}{'head ms':>9}{'of memory':>11}"
        )
        for row, head in zip(v["batches"], v["head"], strict=True):
            on, through = row["device"], row["host_to_host"]
            lines.append(
                f"{row['batch']:7}{on['p50_ms']:11.3f}{on['p99_ms']:9.3f}{on['faces_per_second']:10.0f}"
                f"{through['p50_ms']:10.3f}{head['cold_ms']:9.3f}{head['share_of_bandwidth']:11.0%}"
            )
        grew = ", ".join(v["memory"]["grew"]) or "nothing"
        lines.append(f"  {v['memory']['iterations']} calls; grew: {grew} {v['memory']['growth_bytes']}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
