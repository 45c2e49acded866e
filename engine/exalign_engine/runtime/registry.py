"""The runtimes that there are, by name; each one's own file holds its specification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from exalign_engine.network.outputs import Runtime
from exalign_engine.registry import Registry
from exalign_engine.runtime.tensorrt.runtime import GpuOptions
from exalign_engine.tables.store import Tables


@dataclass(frozen=True)
class RuntimeOptions:
    """How a network is loaded.

    Attributes:
        threads: threads of one call, on a CPU.
        streams: calls that may run at once.
        precision: one of `exalign_engine.runtime.PRECISIONS`.
        gpu: for runtimes on a GPU.
        reason: why this runtime, in one sentence for logs and GetModel.
        tables: where what a runtime makes of the network may be kept.
    """

    threads: int = 1
    streams: int = 1
    precision: str = "auto"
    gpu: GpuOptions = field(default_factory=GpuOptions)
    reason: str = "asked for"
    tables: Tables = field(default_factory=Tables)


@dataclass(frozen=True)
class RuntimeSpec:
    """A runtime that can be opened by name.

    Attributes:
        name: in settings and answers.
        label: its name for people.
        open: loads a network. What it imports, it imports then; an ImportError says that it is not installed.
        install: what a person types to get it.
        auto: why "auto" took it, in words, empty where that goes without saying; None: "auto" never takes it.
            "auto" tries runtimes in the order of registration.
        on_gpu: whether it computes on a GPU: then "auto" goes on to the next where it fails.
        reference: whether others are compared with it.
    """

    name: str
    label: str
    open: Callable[[Path, RuntimeOptions], Runtime]
    install: str = "pip install 'exalign[serve]'"
    auto: str | None = None
    on_gpu: bool = False
    reference: bool = False


#: Every runtime, in the order in which "auto" tries them.
RUNTIMES: Registry[RuntimeSpec] = Registry()


def runtime_names() -> tuple[str, ...]:
    """What `--runtime` takes: "auto", and every registered name."""
    return ("auto", *RUNTIMES.names())


def reference_runtime() -> RuntimeSpec:
    """The runtime that others are compared with."""
    return next(spec for spec in RUNTIMES if spec.reference)


def fallback_runtime() -> RuntimeSpec:
    """The first runtime on a CPU that "auto" takes: it serves where one on a GPU is refused."""
    return next(spec for spec in RUNTIMES if spec.auto is not None and not spec.on_gpu)
