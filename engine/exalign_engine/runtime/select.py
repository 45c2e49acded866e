"""Which runtime to use, and why."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from exalign_engine.errors import ExalignError, RuntimeUnavailableError
from exalign_engine.network.outputs import Runtime
from exalign_engine.runtime.registry import RUNTIMES, RuntimeOptions, runtime_names
from exalign_engine.runtime.tensorrt.runtime import GpuOptions
from exalign_engine.tables.store import Tables

_log = logging.getLogger(__name__)


def create_runtime(
    name: str,
    network: Path,
    *,
    threads: int = 1,
    streams: int = 1,
    gpu: GpuOptions | None = None,
    precision: str = "auto",
    tables: Tables | None = None,
) -> Runtime:
    """Load a network into the runtime called ``name``.

    Args:
        name: one of `runtime_names`. "auto" takes the first that works of those registered for it, on a GPU first; its
            ``reason`` says what stood in the way of those before.
        network: the bundle's network.onnx.
        threads: threads of one call, on a CPU.
        streams: calls that may run at once.
        gpu: for runtimes on a GPU; None is `GpuOptions`' defaults.
        precision: one of `exalign_engine.runtime.PRECISIONS`; "auto" is what the file holds, and on a GPU what ``gpu``
            says.
        tables: of the bundle, where what a runtime makes of the network may be kept.

    Raises:
        RuntimeUnavailableError: the name is unknown, what it needs is not on this machine, or the file does not have
            the precision.
        BundleError: the runtime refuses the network.
        ExalignError: TensorRT refuses the network or the device (`exalign_engine.runtime.tensorrt.errors`).
    """
    options = RuntimeOptions(threads, streams, precision, gpu or GpuOptions(), tables=tables or Tables())
    if name == "auto":
        return _auto(network, options)
    spec = RUNTIMES.get(name)
    if spec is None:
        raise RuntimeUnavailableError(f"runtime {name!r} is unknown; known: {', '.join(runtime_names())}")
    try:
        return spec.open(network, options)
    except ImportError as e:
        raise RuntimeUnavailableError(f"runtime {name}: {e}; {spec.install}") from e


def _auto(network: Path, options: RuntimeOptions) -> Runtime:
    """The first that works, with what kept the others from it."""
    obstacles: list[str] = []
    for spec in RUNTIMES:
        if spec.auto is None or (options.precision == "fp16" and not spec.on_gpu):
            continue
        reason = "auto: " + "; ".join(filter(None, (*obstacles, spec.auto)))
        try:
            return spec.open(network, replace(options, reason=reason))
        except ImportError:
            obstacles.append(f"{spec.label} is not installed")
        except RuntimeUnavailableError as e:
            if not spec.on_gpu:
                raise
            missing = str(e).removeprefix(f"runtime {spec.name}: ").partition(";")[0]
            obstacles.append(f"no {spec.label} ({missing})")
        except ExalignError as e:  # a GPU is there, and this network or its memory is not for it
            if not spec.on_gpu:
                raise
            _log.warning("%s cannot serve this network: %s", spec.label, e)
            obstacles.append(f"{spec.label} failed ({e})")
    if options.precision == "fp16":
        raise RuntimeUnavailableError(f"precision fp16: {'; '.join(obstacles)}, and a CPU takes fp32 or int8")
    raise RuntimeUnavailableError(f"runtime auto: {'; '.join(obstacles)}")
