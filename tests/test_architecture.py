"""The rooms, and who may open whose door: imports point one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PACKAGES = {
    "exalign_engine": ROOT / "engine",
    "exalign_service": ROOT / "service",
    "exalign_client": ROOT / "clients",
    "exalign": ROOT / "protos",
}

# Package -> packages of ours that it may import.
MAY_IMPORT = {
    "exalign_engine": {"exalign_engine"},
    "exalign_service": {"exalign_service", "exalign_engine", "exalign"},
    "exalign_client": {"exalign_client", "exalign"},
    "exalign": {"exalign"},
}


def imported(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def sources(package: str) -> list[Path]:
    files = sorted((PACKAGES[package] / package).rglob("*.py"))
    assert files, package
    return files


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_imports_point_one_way(package: str) -> None:
    for path in sources(package):
        foreign = (imported(path) & set(PACKAGES)) - MAY_IMPORT[package]
        assert not foreign, f"{path.relative_to(ROOT)} imports {', '.join(sorted(foreign))}"


@pytest.mark.parametrize("package", ["exalign_engine"])
def test_the_engine_knows_no_grpc_no_sockets_and_no_asyncio(package: str) -> None:
    for path in sources(package):
        foreign = imported(path) & {"grpc", "socket", "asyncio", "prometheus_client"}
        assert not foreign, f"{path.relative_to(ROOT)} imports {', '.join(sorted(foreign))}"


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_torch_is_needed_under_train_only(package: str) -> None:
    room = PACKAGES["exalign_engine"] / "exalign_engine" / "train"
    for path in sources(package):
        assert room in path.parents or "torch" not in imported(path), f"{path.relative_to(ROOT)} imports torch"


def test_the_client_needs_no_more_than_the_base_install() -> None:
    base = {"grpc", "google", "numpy", "exalign", "exalign_client", "grpc_status"}
    optional = {"cv2": {"overlay.py", "demo.py", "pictures.py"}, "skimage": {"demo.py"}}
    for path in sources("exalign_client"):
        third_party = {n for n in imported(path) if n not in base and not _standard(n)}
        foreign = {n for n in third_party if path.name not in optional.get(n, set())}
        assert not foreign, f"{path.relative_to(ROOT)} imports {', '.join(sorted(foreign))}"


def _standard(name: str) -> bool:
    import sys

    return name in sys.stdlib_module_names
