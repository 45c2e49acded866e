"""What the GPU suite shares: the device, or the reason to skip; engines; and the report that a person can send back."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.onnx_graph.sums_tables import MixtureTables
from exalign_engine.runtime.tensorrt.cuda import Cuda
from exalign_engine.runtime.tensorrt.lane import Tensors
from exalign_engine.runtime.tensorrt.modules import FLAVOURS, load_module
from exalign_engine.runtime.tensorrt.probe import Device, require_device
from exalign_engine.runtime.tensorrt.runtime import TensorRTRuntime

ROOT = Path(__file__).parents[2]

#: "tensorrt" or "tensorrt-rtx".
RUNTIME = os.environ.get("EXALIGN_GPU_RUNTIME", "tensorrt")

#: Largest batch of the engines.
MAX_BATCH = 8

Report = dict[str, Any]
#: ``open_runtime(precision, **settings)``: a runtime on the engine of that precision; closed after the test.
OpenRuntime = Callable[..., TensorRTRuntime]


@pytest.fixture(scope="session")
def device() -> Device:
    """The GPU. Without one, every test here is skipped, and says why."""
    try:
        return require_device(RUNTIME)
    except RuntimeUnavailableError as e:
        pytest.skip(f"needs a GPU: {e}")


@pytest.fixture(scope="session")
def runtime_name(device: Device) -> str:
    return RUNTIME


@pytest.fixture(scope="session")
def api(device: Device) -> Any:
    return load_module(FLAVOURS[RUNTIME])


@pytest.fixture(scope="session")
def cuda(device: Device) -> Cuda:
    from cuda.bindings import runtime as cudart

    cuda = Cuda(cudart, device.index)
    cuda.use()
    return cuda


@pytest.fixture(scope="session")
def report(device: Device, api: Any) -> Iterator[Report]:
    """Filled in by the tests; written to EXALIGN_GPU_REPORT (default out/gpu-report.json) at the end."""
    path = Path(os.environ.get("EXALIGN_GPU_REPORT", ROOT / "out" / "gpu-report.json"))
    content: Report = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": str(device),
        "memory_bytes": device.memory,
        "runtime": RUNTIME,
        "version": str(api.__version__),
        "exalign": version("exalign"),
        "python": platform.python_version(),
    }
    yield content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"\nGPU report: {path}")


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return Bundle.load(default_bundle_path())


@pytest.fixture(scope="session")
def engines(
    device: Device, api: Any, bundle: Bundle, report: Report, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """`engines(precision, sums=True)`: built once of the default bundle; with sums over exemplars, or just scoring."""
    from exalign_engine.runtime.tensorrt.builder import BuildOptions
    from exalign_engine.runtime.tensorrt.cache import EngineCache
    from exalign_engine.runtime.tensorrt.engine import Engine, obtain_engine

    cache = EngineCache(tmp_path_factory.mktemp("engines"))
    built: dict[tuple[str, bool], Engine] = {}

    def obtain(precision: str, sums: bool = True) -> Engine:
        key = (precision, sums)
        if key not in built:
            options = BuildOptions(max_batch=MAX_BATCH, opt_batch=MAX_BATCH)
            tables = MixtureTables.of(bundle) if sums else None
            built[key] = obtain_engine(
                api, FLAVOURS[RUNTIME], bundle.network, precision, options, cache, device, tables=tables
            )
            report.setdefault("build", {})[precision if sums else f"{precision}, only scoring"] = {
                "seconds": round(built[key].seconds, 2),
                "plan_bytes": len(built[key].plan),
            }
        return built[key]

    return obtain


@pytest.fixture
def open_runtime(
    api: Any, cuda: Cuda, device: Device, bundle: Bundle, engines: Callable[..., Any]
) -> Iterator[OpenRuntime]:
    """See `OpenRuntime`."""
    opened: list[TensorRTRuntime] = []

    def start(
        precision: str, plan: bytes | None = None, max_batch: int = MAX_BATCH, *, sums: bool = True, **settings: Any
    ) -> TensorRTRuntime:
        engine = engines(precision, sums)
        tensors = Tensors("image", engine.network.side, engine.network.outputs, max_batch)
        opened.append(
            TensorRTRuntime(
                api,
                cuda,
                engine.plan if plan is None else plan,
                bundle.network,
                tensors,
                precision=precision,
                device=str(device),
                **settings,
            )
        )
        return opened[-1]

    yield start
    for runtime in opened:
        runtime.close()
