"""Which CUDA devices this machine has, found out by a process that may crash.

Why not simply try: TensorRT's ``Runtime`` does not raise without a driver, it segfaults at the first use; and a broken
driver can hang or kill whoever loads it. So nothing of NVIDIA's is loaded into this process before a device is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exalign_engine.errors import RuntimeUnavailableError
from exalign_engine.runtime.tensorrt.modules import FLAVOURS, missing_packages

_CHILD = Path(__file__).with_name("probe_child.py")

#: A driver without persistence mode wakes up in a few seconds; one that takes longer is not well.
TIMEOUT = 30.0


@dataclass(frozen=True)
class Device:
    """One GPU, or one MIG slice of it.

    Attributes:
        index: as CUDA counts what CUDA_VISIBLE_DEVICES leaves.
        name: of the model.
        compute_capability: major, minor.
        memory: bytes.
    """

    index: int
    name: str
    compute_capability: tuple[int, int]
    memory: int

    def __str__(self) -> str:
        major, minor = self.compute_capability
        return f"GPU {self.index} ({self.name}, sm_{major}{minor})"


@dataclass(frozen=True)
class Probe:
    """What was found.

    Attributes:
        devices: in CUDA's order.
        problem: why there are none, in words; empty if there are some.
    """

    devices: tuple[Device, ...]
    problem: str = ""


def find_devices(*, child: Path = _CHILD, timeout: float = TIMEOUT) -> Probe:
    """Look for CUDA devices. Never raises, never takes longer than ``timeout`` seconds.

    Args:
        child: the script that looks.
        timeout: seconds.
    """
    # -P: the folder of the script is ours, and must not come before the packages installed.
    command = [sys.executable, "-P", str(child)]
    try:
        result = subprocess.run(command, capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return Probe((), f"the NVIDIA driver did not answer within {timeout:g} s")
    except OSError as e:
        return Probe((), f"the device probe could not be started: {e}")
    if result.returncode < 0:
        return Probe((), f"the NVIDIA driver crashed the device probe (signal {-result.returncode})")
    try:
        answer = json.loads(result.stdout)
        if "problem" in answer:
            return Probe((), str(answer["problem"]))
        return Probe(tuple(_device(entry) for entry in answer["devices"]))
    except (ValueError, KeyError, TypeError):
        last = result.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return Probe((), f"the device probe failed: {last[0] if last else f'exit code {result.returncode}'}")


def require_device(runtime: str) -> Device:
    """The first visible device (CUDA_VISIBLE_DEVICES). Packages are looked for first, which costs nothing.

    Args:
        runtime: "tensorrt" or "tensorrt-rtx".

    Raises:
        RuntimeUnavailableError: one line says what is missing: package, driver or device.
    """
    flavour = FLAVOURS[runtime]
    missing = missing_packages(flavour)
    if missing:
        names = ", ".join(missing)
        raise RuntimeUnavailableError(f"runtime {runtime}: not installed: {names}; {flavour.install}")
    probe = find_devices()
    if not probe.devices:
        raise RuntimeUnavailableError(f"runtime {runtime}: {probe.problem}")
    return probe.devices[0]


def _device(entry: dict[str, Any]) -> Device:
    major, minor = entry["compute_capability"]
    return Device(int(entry["index"]), str(entry["name"]), (int(major), int(minor)), int(entry["memory"]))
