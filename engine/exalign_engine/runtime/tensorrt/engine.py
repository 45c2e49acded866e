"""The engine for a bundle: from the cache if it holds one that can be trusted, built otherwise."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exalign_engine.onnx_graph.sums_tables import MixtureTables
from exalign_engine.runtime.tensorrt.builder import BuildOptions, BuildProgress, build_engine
from exalign_engine.runtime.tensorrt.cache import EngineCache, EngineKey, write_whole
from exalign_engine.runtime.tensorrt.modules import Flavour
from exalign_engine.runtime.tensorrt.precisions import Prepared, prepare
from exalign_engine.runtime.tensorrt.probe import Device

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """A plan and what is known of it.

    Attributes:
        plan: for ``Runtime.deserialize_cuda_engine``.
        key: what it was made for.
        network: what it was made of.
        path: its file in the cache.
        built: False if it was found there.
        seconds: it took.
    """

    plan: bytes
    key: EngineKey
    network: Prepared
    path: Path
    built: bool
    seconds: float


def default_cache() -> Path:
    """Where engines are kept when nothing else is said: $XDG_CACHE_HOME/exalign/engines, ~/.cache otherwise."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "exalign" / "engines"


def obtain_engine(
    api: Any,
    flavour: Flavour,
    network: Path,
    precision: str,
    options: BuildOptions,
    cache: EngineCache,
    device: Device | None,
    progress: BuildProgress | None = None,
    *,
    tables: MixtureTables | None = None,
) -> Engine:
    """The engine for a network on a device.

    Args:
        api: the module.
        flavour: what it is.
        network: the bundle's network.onnx.
        precision: one of `precisions.PRECISIONS`.
        options: see `BuildOptions`; its timing cache is read from, and written to, the cache's directory.
        cache: where engines are kept.
        device: what it will run on; None for a TensorRT-RTX engine that is not bound to one.
        progress: hears of a build.
        tables: see `precisions.prepare`.

    Raises:
        BundleError: the network is not there or not ONNX.
        GraphError: it cannot be computed in this precision.
        EngineBuildError: TensorRT refused it.
        EngineFileError: the cache cannot be written.
    """
    start = time.monotonic()
    prepared = prepare(network, precision, tables)
    key = _key(api, flavour, network, prepared, precision, options, device)

    def engine(plan: bytes, *, built: bool) -> Engine:
        return Engine(plan, key, prepared, cache.path(key), built, time.monotonic() - start)

    plan = cache.load(key)
    if plan is not None:
        return engine(plan, built=False)
    with cache.lock(key):
        plan = cache.load(key)  # another process may have built it while this one waited
        if plan is not None:
            return engine(plan, built=False)
        timing = cache.timing_cache(key)
        if not flavour.is_rtx and timing.exists():
            options = replace(options, timing_cache=timing.read_bytes())
        _log.info("building an engine for %s", network)
        result = build_engine(api, prepared.onnx, prepared.side, options, progress)
        cache.store(key, result.plan)
        if result.timing_cache:
            write_whole(timing, result.timing_cache)
        return engine(result.plan, built=True)


def _bundle_id(network: Path) -> str:
    """Id of the bundle that a network lies in; empty for one that lies elsewhere."""
    manifest = network.with_name("manifest.json")
    return hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else ""


def _key(
    api: Any,
    flavour: Flavour,
    network: Path,
    prepared: Prepared,
    precision: str,
    options: BuildOptions,
    device: Device | None,
) -> EngineKey:
    """Everything that an engine is made for."""
    return EngineKey(
        bundle=_bundle_id(network),
        onnx=hashlib.sha256(prepared.onnx).hexdigest(),
        module=flavour.module,
        version=str(api.__version__),
        gpu=device.name if device is not None and not options.hardware_compatible else "",
        compute_capability=".".join(map(str, device.compute_capability)) if device is not None else "",
        precision=precision,
        max_batch=options.max_batch,
        opt_batch=options.opt_batch,
        workspace=options.workspace,
        optimization_level=options.optimization_level,
        hardware_compatible=options.hardware_compatible,
        compute_capabilities=",".join(options.compute_capabilities),
    )
