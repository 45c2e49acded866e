"""``exalign-model build-engine``: a bundle's network → a TensorRT engine in the cache, or in a file.

CUDA_VISIBLE_DEVICES chooses the GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from exalign.output_files import report_written
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.commands.arguments import add_bundle_path, bundle_path, print_json
from exalign_engine.commands.files import Files, bundle_read, given
from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.onnx_graph.sums_tables import MixtureTables
from exalign_engine.runtime import PRECISIONS
from exalign_engine.runtime.tensorrt.builder import BuildOptions
from exalign_engine.runtime.tensorrt.cache import EngineCache, write_engine
from exalign_engine.runtime.tensorrt.modules import FLAVOURS, load_module
from exalign_engine.runtime.tensorrt.probe import Device, require_device


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    defaults = BuildOptions()
    add_bundle_path(parser)
    parser.add_argument("--runtime", choices=tuple(FLAVOURS), default="tensorrt", help="default: tensorrt")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="default: int8 where the file is, else fp16",
    )
    parser.add_argument(
        "--network",
        type=Path,
        metavar="FILE",
        help="an ONNX file in place of the bundle's; it is built as it is, without sums over exemplars",
    )
    parser.add_argument(
        "--sums",
        choices=("host", "device"),
        default="host",
        help="who sums the moments over the exemplars; as the server's --sums (default: host)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the engine here too")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where engines are kept (default: ~/.cache/exalign)")
    parser.add_argument(
        "--max-batch", type=int, default=defaults.max_batch, metavar="N", help=f"default: {defaults.max_batch}"
    )
    parser.add_argument(
        "--hardware-compatible", action="store_true", help="one engine for every GPU from Ampere on (tensorrt)"
    )
    parser.add_argument(
        "--compute-capability",
        action="append",
        default=[],
        metavar="SM",
        help="compile ahead for it, such as SM89; may be repeated (tensorrt-rtx)",
    )
    parser.add_argument("--json", action="store_true", help="what was built as one JSON object on stdout")


def files(args: argparse.Namespace) -> Files:
    """What is written and read."""
    return Files(given(args.out), (*given(args.network), *bundle_read(args)))


def run(args: argparse.Namespace) -> int:
    """Build, or find in the cache, and say where it is."""
    flavour = FLAVOURS[args.runtime]
    device = _device(args.runtime)
    api = load_module(flavour)
    try:
        from exalign_engine.runtime.tensorrt.engine import default_cache, obtain_engine
        from exalign_engine.runtime.tensorrt.precisions import stored_precision
    except ModuleNotFoundError as e:
        raise RuntimeUnavailableError(f"runtime {args.runtime}: not installed: {e.name}; {flavour.install}") from e
    bundle = None if args.network is not None else Bundle.load(bundle_path(args))
    network = args.network if bundle is None else bundle.network
    tables = None if bundle is None or args.sums == "host" else MixtureTables.of(bundle)
    precision = stored_precision(network) if args.precision == "auto" else args.precision
    options = BuildOptions(
        max_batch=args.max_batch,
        opt_batch=args.max_batch,
        hardware_compatible=args.hardware_compatible,
        compute_capabilities=tuple(args.compute_capability),
    )
    cache = EngineCache(args.cache or default_cache())
    progress, close = _bar()
    try:
        engine = obtain_engine(api, flavour, network, precision, options, cache, device, progress, tables=tables)
    finally:
        close()
    if args.out is not None:
        write_engine(args.out, engine.key, engine.plan)
        report_written("exalign-model", args.out)
    where = args.out or engine.path
    if args.json:
        print_json(
            {
                "file": str(where),
                "built": engine.built,
                "seconds": round(engine.seconds, 3),
                "plan_bytes": len(engine.plan),
                "runtime": args.runtime,
                "version": engine.key.version,
                "precision": precision,
                "device": str(device) if device is not None else None,
                "outputs": {name: list(shape) for name, shape in engine.network.outputs.items()},
            }
        )
        return 0
    how = f"built in {engine.seconds:.1f} s" if engine.built else "was in the cache"
    print(f"{where}: {precision}, {len(engine.plan) / 1e6:.1f} MB, {how}")
    if device is None:
        print("not executed: there is no GPU here", file=sys.stderr)
    return 0


def _device(runtime: str) -> Device | None:
    """The GPU to build for: the first visible. TensorRT-RTX builds without one; TensorRT times its tactics on it."""
    try:
        return require_device(runtime)
    except RuntimeUnavailableError:
        if FLAVOURS[runtime].is_rtx:
            return None
        raise


def _bar() -> tuple[Callable[[str, float], None], Callable[[], None]]:
    """A bar on stderr from 0 to 100 %, drawn from the first step of a build on; and what closes it."""
    bars: list[tqdm[NoReturn]] = []

    def update(phase: str, share: float) -> None:
        if not bars:
            bars.append(tqdm(total=100, file=sys.stderr, bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed}"))
        bars[0].set_description_str(phase or "engine", refresh=False)
        bars[0].update(round(100 * share) - bars[0].n)

    def close() -> None:
        for bar in bars:
            bar.close()

    return update, close
