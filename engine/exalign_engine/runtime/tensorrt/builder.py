"""ONNX → engine: the one function that TensorRT and TensorRT-RTX share.

Strongly typed: the types are those of the graph (`exalign_engine.runtime.tensorrt.precisions`), never the builder's
choice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exalign_engine.onnx_graph.checks import INPUT
from exalign_engine.runtime.tensorrt.api_log import engine_log, one_line
from exalign_engine.runtime.tensorrt.errors import EngineBuildError
from exalign_engine.runtime.tensorrt.progress import make_monitor

if TYPE_CHECKING:
    import tensorrt as trt

_log = logging.getLogger(__name__)

#: Called with the phase that the builder is in and the share of the work done, 0 to 1.
BuildProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class BuildOptions:
    """What an engine is built for.

    Attributes:
        max_batch: largest batch.
        opt_batch: the batch that tactics are chosen for.
        workspace: device memory that tactics may use while they run, bytes.
        optimization_level: 0 (fast build) to 5 (fast engine).
        hardware_compatible: one engine for every GPU from Ampere on, at some loss of speed; not on TensorRT-RTX.
        compute_capabilities: what TensorRT-RTX compiles for, such as ("SM86", "SM89"); empty: when it is loaded.
        timing_cache: what an earlier build measured; not on TensorRT-RTX.
    """

    max_batch: int = 4
    opt_batch: int = 4
    workspace: int = 1 << 30
    optimization_level: int = 3
    hardware_compatible: bool = False
    compute_capabilities: tuple[str, ...] = ()
    timing_cache: bytes = b""


@dataclass(frozen=True)
class Built:
    """A finished engine.

    Attributes:
        plan: the serialised engine.
        seconds: it took.
        timing_cache: for the next build; empty on TensorRT-RTX.
    """

    plan: bytes
    seconds: float
    timing_cache: bytes


def build_engine(
    api: Any, network: bytes, side: int, options: BuildOptions, progress: BuildProgress | None = None
) -> Built:
    """Build an engine.

    Args:
        api: the module `tensorrt` or `tensorrt_rtx`.
        network: an ONNX file's bytes; its input is "image", (batch, S, S, 3) uint8.
        side: S, pixels.
        options: see `BuildOptions`.
        progress: hears how far it is; raising in it cancels the build.

    Raises:
        EngineBuildError: the options or the network were refused.
    """
    _check_options(options)
    start = time.monotonic()
    is_rtx = api.__name__ == "tensorrt_rtx"
    log = engine_log(api)
    log.clear()
    builder: trt.Builder = api.Builder(log.handler)
    definition = builder.create_network(0)
    _parse(api, definition, network)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, options.workspace)
    config.builder_optimization_level = options.optimization_level
    config.profiling_verbosity = api.ProfilingVerbosity.DETAILED
    if not is_rtx:  # RTX compiles where the engine runs: it measures nothing here
        # Left on, fp32 would be computed with TF32's 10 bits of mantissa.
        config.clear_flag(api.BuilderFlag.TF32)
        # A row's outputs must not depend on the rest of its batch.
        config.set_flag(api.BuilderFlag.DISTRIBUTIVE_INDEPENDENCE)
        if options.hardware_compatible:
            config.hardware_compatibility_level = api.HardwareCompatibilityLevel.AMPERE_PLUS
        cache = config.create_timing_cache(options.timing_cache)
        if not config.set_timing_cache(cache, ignore_mismatch=False):
            # One of another GPU or version: without it the build is slower, and not worse.
            config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    elif options.hardware_compatible or options.timing_cache:
        raise EngineBuildError("settings", "TensorRT-RTX has neither hardware compatibility levels nor a timing cache")
    _set_compute_capabilities(api, config, options.compute_capabilities)
    _add_profile(api, builder, definition, config, side, options)
    monitor = None
    if progress is not None:
        monitor = make_monitor(api, progress)
        config.progress_monitor = monitor
    plan: Any = builder.build_serialized_network(definition, config)
    if monitor is not None and monitor.cancelled_by is not None:
        raise monitor.cancelled_by
    if plan is None:
        raise EngineBuildError("build", log.first_error() or "the builder gave no reason")
    measured: Any = b"" if is_rtx else config.get_timing_cache().serialize()
    # Both are buffers, which the real modules' own signatures do not say.
    built = Built(bytes(plan), time.monotonic() - start, bytes(measured))
    _log.info("engine of %.1f MB built in %.1f s", len(built.plan) / 1e6, built.seconds)
    return built


def _check_options(options: BuildOptions) -> None:
    """All wrong values at once."""
    problems = []
    if options.max_batch < 1:
        problems.append(f"max_batch is {options.max_batch}, must be at least 1")
    if not 1 <= options.opt_batch <= max(options.max_batch, 1):
        problems.append(f"opt_batch is {options.opt_batch}, must be 1 to max_batch = {options.max_batch}")
    if options.workspace < 1 << 20:
        problems.append(f"workspace is {options.workspace}, must be at least {1 << 20} bytes")
    if not 0 <= options.optimization_level <= 5:
        problems.append(f"optimization_level is {options.optimization_level}, must be 0 to 5")
    if problems:
        raise EngineBuildError("settings", "; ".join(problems))


def _parse(api: Any, definition: trt.INetworkDefinition, network: bytes) -> None:
    parser: trt.OnnxParser = api.OnnxParser(definition, engine_log(api).handler)
    if parser.parse(network):
        return
    if parser.num_errors == 0:
        raise EngineBuildError("parse", engine_log(api).first_error() or "the parser gave no reason")
    error = parser.get_error(0)  # the others follow from it
    raise EngineBuildError("parse", one_line(error.desc()), error.node_name(), error.node_operator())


def _set_compute_capabilities(api: Any, config: trt.IBuilderConfig, names: tuple[str, ...]) -> None:
    if not names:
        return
    if api.__name__ != "tensorrt_rtx":
        raise EngineBuildError("settings", "compute_capabilities are for TensorRT-RTX alone")
    known = {name for name in api.ComputeCapability.__members__ if name.startswith("SM")}
    unknown = [name for name in names if name not in known]
    if unknown:
        limit = f"must be of {', '.join(sorted(known))}"
        raise EngineBuildError("settings", f"compute_capabilities has {', '.join(unknown)}, {limit}")
    config.num_compute_capabilities = len(names)
    for i, name in enumerate(names):
        if not config.set_compute_capability(getattr(api.ComputeCapability, name), i):
            raise EngineBuildError("settings", f"compute capability {name} was refused")


def _add_profile(
    api: Any,
    builder: trt.Builder,
    definition: trt.INetworkDefinition,
    config: trt.IBuilderConfig,
    side: int,
    options: BuildOptions,
) -> None:
    inputs = [definition.get_input(i).name for i in range(definition.num_inputs)]
    if inputs != [INPUT]:
        raise EngineBuildError("profile", f"the network's inputs are {', '.join(inputs)}; must be {INPUT}")
    profile = builder.create_optimization_profile()
    sizes = (1, options.opt_batch, options.max_batch)
    try:
        profile.set_shape(INPUT, *(api.Dims4(size, side, side, 3) for size in sizes))
    except (ValueError, RuntimeError) as e:
        raise EngineBuildError("profile", one_line(str(e))) from e
    if config.add_optimization_profile(profile) < 0:
        raise EngineBuildError("profile", f"batches of {sizes}, {side}×{side} crops, were refused")
