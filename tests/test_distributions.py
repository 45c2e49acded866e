"""What is packed apart from what: code without weights, a model under its own terms, links that hold outside."""

from __future__ import annotations

import io
import json
import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from import_graph import PACKAGES

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "exalign-model-143k"

#: Most that the code may weigh, packed as a wheel is (1.25 MiB: the store of sessions, the formats of other tools
#: and what faces in motion need came), and most that the detector's weights may add.
MOST_BYTES, MOST_WEIGHTS = 10 * 2**17, 600_000


def project(folder: Path) -> dict[str, Any]:
    """``[project]`` of the distribution in a folder."""
    return tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]


#: The detector's weights, which are under the code's own licence: with its text and notice beside them.
DETECTOR = ROOT / "engine" / "exalign_engine" / "detect" / "blazeface"


#: Of a function's values; nothing was learned.
TABLE = ROOT / "engine" / "exalign_engine" / "posterior" / "rice_table.npy"


def test_the_code_weighs_little_and_holds_no_weights_but_those_of_the_detector() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for package, folder in PACKAGES.items():
            # distributions of their own
            if package in ("exalign_gateway", "exalign_annotator", "exalign_label_studio"):
                continue
            for path in (folder / package).rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md":  # no package data
                    weights = path.suffix in {".npz", ".npy", ".onnx", ".pt"}
                    assert not weights or path.parent == DETECTOR or path == TABLE, path
                    if not weights:
                        archive.write(path, path.relative_to(folder))
    assert len(packed.getvalue()) <= MOST_BYTES
    assert sum(path.stat().st_size for path in DETECTOR.glob("*.onnx")) <= MOST_WEIGHTS


def test_the_detectors_weights_are_packed_with_their_terms() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = built["tool"]["setuptools"]["package-data"]["exalign_engine"]
    for path in DETECTOR.iterdir():
        if path.is_file() and path.suffix != ".py":
            assert any(path.match(pattern) for pattern in patterns), path
    for name in ("LICENSE", "NOTICE"):
        assert str((DETECTOR / name).relative_to(ROOT)) in built["project"]["license-files"]
    assert "Apache License" in (DETECTOR / "LICENSE").read_text("utf-8")


def test_nothing_asks_an_index_for_the_model() -> None:
    code = project(ROOT)
    asked = [*code["dependencies"], *(r for extra in code["optional-dependencies"].values() for r in extra)]
    assert not [requirement for requirement in asked if requirement.startswith("exalign-model")]


def test_the_models_terms_are_those_of_its_manifest() -> None:
    model = project(MODEL)
    assert re.fullmatch(r"LicenseRef-[A-Za-z0-9.-]+", model["license"])
    (name,) = model["license-files"]
    text = (MODEL / name).read_text("utf-8")
    manifest = json.loads((MODEL / "exalign_model_143k" / "bundle" / "manifest.json").read_text("utf-8"))
    assert model["license"] in text
    assert manifest["name"] in text
    for licence in manifest["licences"]:
        assert licence["name"] in model["license"].lower()
        assert licence["terms"] in text
        assert licence["subject"] in text


def test_the_code_is_under_another_licence_than_the_model() -> None:
    assert project(ROOT)["license"] == "Apache-2.0"


def test_training_takes_a_range_of_torch_and_the_tests_one_version() -> None:
    extras = project(ROOT)["optional-dependencies"]
    (in_train,) = (r for r in extras["train"] if r.startswith("torch"))
    (in_dev,) = (r for r in extras["dev"] if r.startswith("torch"))
    assert in_train.startswith("torch>=")
    assert "," in in_train
    assert in_dev.startswith("torch==")
    assert 'e["dev"] if r.startswith("torch")' in (ROOT / "Makefile").read_text("utf-8")


def targets(text: str) -> list[str]:
    """What the links of a Markdown file point to, but for those into the file itself."""
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    return [target for target in found if not target.startswith("#")]


def test_the_links_of_the_readme_hold_outside_of_the_repository() -> None:
    blob = project(ROOT)["urls"]["Source"] + "/blob/main/"
    for target in targets((ROOT / "README.md").read_text("utf-8")):
        assert target.startswith("https://"), target
        if target.startswith(blob):
            assert (ROOT / target.removeprefix(blob).partition("#")[0]).is_file(), target


@pytest.mark.parametrize("readme", [ROOT / "README.md", MODEL / "README.md"], ids=["code", "model"])
def test_every_reference_of_a_readme_is_defined(readme: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", readme.read_text("utf-8"), flags=re.DOTALL)
    defined = set(re.findall(r"^\[([^\]]+)\]: ", text, re.MULTILINE))
    used = set(re.findall(r"\]\[([^\]]+)\]", text))
    assert used <= defined


def test_the_project_urls_are_of_one_place() -> None:
    urls = project(ROOT)["urls"]
    assert {"Source", "Documentation", "Changelog", "Issues"} <= set(urls)
    assert all(url.startswith(urls["Source"]) for url in urls.values())
