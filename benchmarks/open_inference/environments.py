"""The environments of tritonclient and perf_analyzer, and the libraries that the latter wants."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

from benchmarks.environments import Environment

HERE = Path(__file__).parent
COMMAND = "python -m benchmarks.open_inference"

CLIENT = Environment(HERE / "client.txt", COMMAND)
PERF_ANALYZER = Environment(HERE / "perf_analyzer.txt", COMMAND)

#: What perf_analyzer is linked with beside CUDA's runtime, and the Debian package that has it.
_LIBRARY, _PACKAGE = "libb64.so.0d", "libb64-0d"


def perf_analyzer() -> tuple[Path, dict[str, str]]:
    """perf_analyzer, made ready where it is not.

    Returns:
        The program, and the environment variables that it wants.

    Raises:
        subprocess.CalledProcessError: something of it cannot be installed.
    """
    programs = PERF_ANALYZER.ready().parent
    folders = sorted(programs.parent.glob("lib/python*/site-packages/nvidia/cuda_runtime/lib"))
    if not _loads(_LIBRARY):
        folders.append(_unpacked(PERF_ANALYZER.folder / "debian"))
    return programs / "perf_analyzer", {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(map(str, folders))}


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _unpacked(folder: Path) -> Path:
    """The folder of the library in a package that is unpacked, not installed."""
    if not list(folder.rglob(_LIBRARY)):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", _PACKAGE], cwd=folder, check=True)
        (package,) = folder.glob("*.deb")
        subprocess.run(["dpkg", "-x", package.name, "."], cwd=folder, check=True)
    return next(folder.rglob(_LIBRARY)).parent
