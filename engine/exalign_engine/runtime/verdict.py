"""What a runtime was found to be like is remembered: for a bundle, a processor, and the versions of all that computes.

The comparison (`exalign_engine.runtime.equivalence`) takes three seconds. Its outcome is kept beside the bundle's
tables, and only where the runtime answers like the reference.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.network.outputs import Runtime
from exalign_engine.runtime.divergence import BOUNDS, Divergence
from exalign_engine.tables.store import code_hash

#: What computes on either side.
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "openvino", "opencv-python-headless")

#: Code of ours that decides what is compared, and how.
_COMPARES = ("network", "onnx_graph", "posterior", "runtime")

#: Variables by which those libraries are told how to compute.
_SWITCHES = ("ONEDNN_", "DNNL_", "OPENVINO_", "OV_", "ORT_", "OMP_")


def found_before(chosen: Runtime, bundle: Bundle) -> Divergence | None:
    """How far a runtime was from the reference, where that has been found for all that it depends on."""
    key = _key(chosen)
    note = bundle.exemplars.tables.note(_name(key))
    if note is None or note.get("key") != key:
        return None
    try:
        found = Divergence(**{name: float(value) for name, value in note["divergence"].items()})
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return None if found.beyond(BOUNDS[chosen.precision]) else found


def remember(chosen: Runtime, bundle: Bundle, divergence: Divergence) -> None:
    """Keep how far a runtime is from the reference: no farther than it may be."""
    key = _key(chosen)
    bundle.exemplars.tables.keep_note(_name(key), {"key": key, "divergence": asdict(divergence)})


def _key(chosen: Runtime) -> dict[str, str]:
    """All that the comparison depends on beside the bundle."""
    key = {name: _version(name) for name in _LIBRARIES}
    switches = {name: value for name, value in os.environ.items() if name.startswith(_SWITCHES)}
    return key | {
        "runtime": chosen.name,
        "precision": chosen.precision,
        "code": code_hash(*_COMPARES),
        "processor": _processor(),
        "switches": json.dumps(switches, sort_keys=True),
    }


def _name(key: dict[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return f"verdict-{key['runtime']}-{digest[:16]}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """What the system says of the processor and of what it can do."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        first = ""
    named = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU part")
    lines = [line for line in first.splitlines() if line.partition(":")[0].strip() in named]
    return "\n".join([platform.machine(), platform.processor(), *lines])
