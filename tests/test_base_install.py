"""Where only the client is installed, every command says in one line what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

# What the extras bring, made impossible to import: as on a machine with the base install.
HIDDEN = ["av", "cv2", "onnxruntime", "openvino", "PIL", "numba", "grpc_health"]
HIDE = f"import sys; sys.modules.update(dict.fromkeys({HIDDEN}))"


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"{HIDE}; from {module} import main; sys.exit(main({list(arguments)!r}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("module", "arguments"),
    [("exalign_service.entry", ["serve"]), ("exalign_engine.cli", ["inspect"])],
)
def test_a_command_without_its_packages_names_the_extra(module: str, arguments: list[str]) -> None:
    result = run(module, *arguments)
    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert "pip install 'exalign[serve]'" in line


#: What the extra ``train`` brings beside those of ``serve``.
OF_TRAIN = ["torch", "scipy", "matplotlib", "onnxscript"]

HIDE_TRAINING = f"""
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OF_TRAIN}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--config", "tiny", "--data", "x"],
        ["export", "--run", "x", "--data", "x", "--out", "y"],
        ["calibrate", "--data", "x"],
        ["reproduce"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_only_training_brings_is_asked_for_by_its_extra(arguments: list[str]) -> None:
    code = f"{HIDE_TRAINING}\nfrom exalign_engine.cli import main; sys.exit(main({arguments!r}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert "pip install 'exalign[train]'" in line


def test_the_packages_can_be_imported_without_the_extras() -> None:
    packages = "exalign_engine, exalign_service, exalign_client, exalign.v1"
    code = f"{HIDE}; import {packages}; exalign_engine.InvalidInputError"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
