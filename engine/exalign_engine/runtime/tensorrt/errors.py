"""What can go wrong between a bundle and an answer from a GPU.

ExalignError
├── GraphError                the network's file cannot be rewritten for a precision: node or tensor, and why
├── EngineBuildError          TensorRT refused the network or its settings: stage, node, operator, its own words
├── EngineFileError           an engine cannot be deserialised, or is not of this network
├── DeviceError               a CUDA call failed
│   ├── DeviceMemoryError     no memory is left on the device, or no pinned memory on the host
│   └── DeviceLostError       the device is gone or its context is broken: only a new process helps
└── RuntimeUnavailableError   no package, no driver or no device here (`exalign_engine.errors`)
"""

from __future__ import annotations

from pathlib import Path

from exalign_engine.errors import ExalignError


class EngineBuildError(ExalignError):
    """TensorRT refused to build an engine.

    Args:
        stage: "parse", "profile", "settings" or "build".
        problem: TensorRT's own words, in one line.
        node: name of the ONNX node, where one is to blame.
        operator: its type.
    """

    def __init__(self, stage: str, problem: str, node: str = "", operator: str = "") -> None:
        self.stage, self.problem, self.node, self.operator = stage, problem, node, operator
        at = f" at node {node!r}" + (f" ({operator})" if operator else "") if node else ""
        super().__init__(f"engine, {stage}{at}: {problem}")


class EngineFileError(ExalignError):
    """An engine cannot be used.

    Args:
        problem: one sentence.
        path: its file, where it came from one.
    """

    def __init__(self, problem: str, path: Path | None = None) -> None:
        self.problem, self.path = problem, path
        super().__init__(f"engine {path}: {problem}" if path is not None else f"engine: {problem}")


class DeviceError(ExalignError):
    """A CUDA call failed.

    Args:
        call: its name.
        code: name of CUDA's error.
        text: what CUDA says of it.
    """

    def __init__(self, call: str, code: str, text: str) -> None:
        self.call, self.code, self.text = call, code, text
        super().__init__(f"GPU: {call} failed: {text} ({code})")


class DeviceMemoryError(DeviceError):
    """No memory is left on the device, or no pinned memory on the host."""


class DeviceLostError(DeviceError):
    """The device is gone, or its context is broken beyond repair; only a new process helps."""
