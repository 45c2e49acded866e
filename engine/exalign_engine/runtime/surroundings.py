"""What a network's numbers depend on beside the network: versions, processor, switches, and code of ours."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from exalign_engine.tables.store import code_hash

#: What computes.
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "openvino", "opencv-python-headless")

#: Variables by which those libraries are set.
_SWITCHES = ("ONEDNN_", "DNNL_", "OPENVINO_", "OV_", "ORT_", "OMP_")

#: Lines of Linux's list of processors that say what one can do.
_FEATURES = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU part")


def surroundings(*code: str) -> dict[str, str]:
    """All of that, in words.

    Args:
        code: files and folders of the engine that matter.
    """
    switches = {name: value for name, value in os.environ.items() if name.startswith(_SWITCHES)}
    return {name: _version(name) for name in _LIBRARIES} | {
        "code": code_hash(*code),
        "processor": processor(),
        "switches": json.dumps(switches, sort_keys=True),
    }


def digest(key: Mapping[str, str]) -> str:
    """A short name for it."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]


@cache
def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """What the system says of the processor.

    Args:
        cpuinfo: Linux's list of processors.
    """
    try:
        first = cpuinfo.read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        first = ""
    lines = [line for line in first.splitlines() if line.partition(":")[0].strip() in _FEATURES]
    return "\n".join([platform.machine(), *lines])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
