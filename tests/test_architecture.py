"""The rooms, and who may open whose door: imports point one way. docs/architecture.md draws the picture."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from import_graph import OFFLINE, PACKAGES, ROOT, circle, imported_names, imports, modules, reachable, sources

# Package -> packages of ours that it may import. Of `exalign` the engine may import SHARED alone.
MAY_IMPORT = {
    "exalign_engine": {"exalign_engine", "exalign"},
    "exalign_service": {"exalign_service", "exalign_engine", "exalign"},
    "exalign_client": {"exalign_client", "exalign"},
    "exalign_offline": {"exalign_offline", "exalign_engine", "exalign_client", "exalign"},
    "exalign_gateway": {"exalign_gateway", "exalign_client", "exalign"},
    "exalign_annotator": {"exalign_annotator", "exalign_gateway", "exalign_client", "exalign"},
    "exalign_label_studio": {"exalign_label_studio", "exalign_gateway", "exalign_client", "exalign"},
    "exalign": {"exalign"},
}

#: What the three commands share: how a command ends, that no output destroys an input, and answers in one line.
COMMANDS = ("exalign.cli_support", "exalign.output_files", "exalign.summary")

#: What engine and client both draw a face with.
CANVAS = "exalign.canvas"

#: The one reader of videos, which client and data sets share.
VIDEO = "exalign.video"

#: Whether the data of a JPEG are whole, which engine and client must see alike.
PICTURES = "exalign.pictures"

#: What the engine may import of `exalign`: nothing of the contract.
SHARED = (*COMMANDS, CANVAS, PICTURES, VIDEO)

#: Most .py files that lie flat in a package, beside its rooms.
MOST_FLAT = 6


def foreign_imports(package: str, allowed: Callable[[Path, str], bool]) -> list[str]:
    """``file:line imports X`` for every import whose top-level package is not allowed in that file."""
    found = []
    for path in sources(package):
        for name, line in imported_names(path, package):
            top = name.split(".")[0]
            if not allowed(path, top):
                found.append(f"{path.relative_to(ROOT)}:{line} imports {top}")
    return found


def listed(lines: list[str], remedy: str) -> str:
    return "\n".join(["", *lines, remedy])


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_imports_point_one_way(package: str) -> None:
    found = foreign_imports(package, lambda _, top: top not in PACKAGES or top in MAY_IMPORT[package])
    assert not found, listed(
        found, f"{package} may import {', '.join(sorted(MAY_IMPORT[package]))}: move what is shared"
    )


def test_the_engine_knows_nothing_of_the_contract() -> None:
    found = [
        str(one)
        for one in imports()
        if one.importer.split(".")[0] == "exalign_engine"
        and one.imported.split(".")[0] == "exalign"
        and not one.imported.startswith(SHARED)
    ]
    assert not found, listed(found, f"of exalign the engine may import {' and '.join(SHARED)} alone")


@pytest.mark.parametrize("module", COMMANDS)
def test_what_the_commands_share_needs_the_standard_library_alone(module: str) -> None:
    names = imported_names(modules()[module], "exalign")
    assert {name.split(".")[0] for name, _ in names} <= {*sys.stdlib_module_names, "exalign"}


def test_the_reader_of_videos_needs_numpy_alone_until_a_file_is_opened() -> None:
    """PyAV and OpenCV are imported by the two readers, and those only where a file is opened."""
    readers = {f"{VIDEO}.pyav_reader": "av", f"{VIDEO}.opencv_reader": "cv2"}
    for module in (name for name in modules() if name.startswith(VIDEO)):
        tops = {name.split(".")[0] for name, _ in imported_names(modules()[module], "exalign")}
        others = tops - {"exalign", "numpy", *sys.stdlib_module_names}
        assert others <= {readers.get(module)}, f"{module} imports {others}"
    program = (
        "import sys; sys.modules.update(av=None, cv2=None); import exalign.video.reader as r\n"
        f"assert not set(sys.modules) & {set(readers)}"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_engine_knows_no_grpc_no_sockets_and_no_asyncio() -> None:
    network = {"grpc", "socket", "asyncio", "prometheus_client"}
    found = foreign_imports("exalign_engine", lambda _, top: top not in network)
    assert not found, listed(found, "what speaks to a network belongs into the service or the client")


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_only_training_needs_torch(package: str) -> None:
    training = PACKAGES["exalign_engine"] / "exalign_engine" / "train"
    found = foreign_imports(package, lambda path, top: top != "torch" or training in path.parents)
    assert not found, listed(found, "move what needs torch to exalign_engine/train")


def test_the_client_needs_no_more_than_the_base_install() -> None:
    base = {"grpc", "google", "numpy", "orjson", "exalign", "exalign_client", "grpc_status", *sys.stdlib_module_names}
    optional = {
        "cv2": "opencv.py",
        "PIL": "decode.py",
        "av": "video_writer.py",
        "skimage": "demo.py",
        "prometheus_client": "histograms.py",
        "opentelemetry": "trace_context.py",
        "pyarrow": "parquet.py",
    }
    found = foreign_imports("exalign_client", lambda path, top: top in base or path.name == optional.get(top))
    assert not found, listed(found, "the base install has not got it: opencv.py has require_opencv()")


def folder(module: str) -> str:
    """The folder that a file lies in; a file at a package's root, and the package's facade, are their own."""
    path = modules()[module]
    inside = path.relative_to(PACKAGES[module.split(".")[0]]).parent.parts
    return ".".join(inside) if len(inside) > 1 else module


def room(module: str) -> str:
    """The folder right below the package that a file lies in or under."""
    return ".".join(folder(module).split(".")[:2])


@pytest.mark.parametrize("node", [lambda module: module, folder, room], ids=["files", "folders", "rooms"])
def test_imports_never_lead_back(node: Callable[[str], str]) -> None:
    found = [str(one) for one in circle(imports(), node)]
    assert not found, listed(found, "a circle: move what both need to where neither imports the other")


def test_no_room_imports_its_packages_facade() -> None:
    found = [
        str(one)
        for one in imports()
        if one.imported == one.importer.split(".")[0] and one.imported != "exalign" and one.importer != one.imported
    ]
    assert not found, listed(found, "import from the file that defines it: the facade is for callers outside")


def test_nothing_that_serves_imports_what_trains_fits_or_evaluates() -> None:
    serving = [name for name in modules() if name.split(".")[0] == "exalign_service"]
    found = reachable([*serving, "exalign_engine"])
    wrong = []
    for name, through in found.items():
        if name.split(".")[0] == "exalign_engine" and name.split(".")[1:2] and name.split(".")[1] in OFFLINE:
            wrong.append(f"{name}: {through}")
    assert not wrong, listed(
        wrong, f"a server loads nothing of {', '.join(OFFLINE)}: move what it needs to another room"
    )


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_few_files_lie_flat_in_a_package(package: str) -> None:
    flat = sorted(p.name for p in (PACKAGES[package] / package).glob("*.py"))
    assert len(flat) <= MOST_FLAT, f"{package} holds {len(flat)} files, at most {MOST_FLAT}; give {flat} a room"


def test_the_graph_sees_imports_of_every_kind(tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nimport exalign_engine.errors\n"
        "if TYPE_CHECKING:\n    from exalign_engine.geometry import frames\n"
        "def late():\n    from exalign_engine.geometry.frames import iou\n"
        "    return import_module('exalign_engine.errors')\n"
    )
    ours = [one for one in imported_names(file, "exalign_engine") if one[0].startswith("exalign")]
    assert sorted(ours) == [
        ("exalign_engine.errors", 2),
        ("exalign_engine.errors", 7),
        ("exalign_engine.geometry.frames", 4),
        ("exalign_engine.geometry.frames.iou", 6),
    ]
