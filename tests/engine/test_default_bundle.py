"""Where the default bundle is looked for: the checkout, the installed package, the checkout installed from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exalign_engine.bundle import bundle as bundle_module
from exalign_engine.bundle.bundle import MANIFEST, Bundle, default_bundle_path
from exalign_engine.errors import BundleError


def test_the_default_bundle_loads() -> None:
    bundle = Bundle.load(default_bundle_path())
    assert bundle.exemplars.count == bundle.manifest.exemplars > 1000
    assert bundle.calibration.card
    assert "mtcnn" in bundle.detectors
    np.testing.assert_array_equal(
        bundle.exemplars.mirror_of[bundle.exemplars.mirror_of], np.arange(bundle.exemplars.count)
    )


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The engine lies outside of any checkout, and its distribution was installed from an index."""
    monkeypatch.setattr(bundle_module, "__file__", str(tmp_path / "lib" / "exalign_engine" / "bundle" / "bundle.py"))
    monkeypatch.setattr(bundle_module, "distribution", lambda name: NotedDistribution(None))
    return tmp_path


class NotedDistribution:
    """An installed distribution, and what its installer noted about where it came from."""

    def __init__(self, noted: dict[str, Any] | None) -> None:
        self._noted = noted

    def read_text(self, name: str) -> str | None:
        return json.dumps(self._noted) if name == "direct_url.json" and self._noted is not None else None


def model_in(folder: Path) -> Path:
    """A model's package in a folder; the directory of its bundle."""
    bundle = folder / "exalign_model_143k" / "bundle"
    bundle.mkdir(parents=True)
    (bundle / MANIFEST).write_text("{}")
    return bundle


def test_the_default_bundle_is_that_of_the_checkout() -> None:
    root = Path(__file__).parents[2]
    assert default_bundle_path() == root / "models" / "exalign-model-143k" / "exalign_model_143k" / "bundle"


def test_outside_of_a_checkout_the_default_bundle_is_the_installed_packages(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = model_in(elsewhere / "installed")
    monkeypatch.syspath_prepend(elsewhere / "installed")
    assert default_bundle_path() == bundle


@pytest.mark.parametrize("editable", [False, True])
def test_without_that_package_it_is_that_of_the_checkout_installed_from(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, editable: bool
) -> None:
    checkout = elsewhere / "a check out"
    bundle = model_in(checkout / "models" / "exalign-model-143k")
    noted = {"url": checkout.as_uri(), "dir_info": {"editable": editable}}
    monkeypatch.setattr(bundle_module, "distribution", lambda name: NotedDistribution(noted))
    assert default_bundle_path() == bundle


@pytest.mark.parametrize(
    "noted",
    [
        None,
        {"url": "file:///nowhere", "dir_info": {}},
        {"url": "https://example.org/exalign.whl", "archive_info": {}},
        {"url": "https://example.org/exalign", "dir_info": {}},
        {"dir_info": {}},
    ],
)
def test_a_default_bundle_that_is_not_installed_is_one_line_that_says_how(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, noted: dict[str, Any] | None
) -> None:
    monkeypatch.setattr(bundle_module, "distribution", lambda name: NotedDistribution(noted))
    with pytest.raises(BundleError) as raised:
        default_bundle_path()
    (line,) = str(raised.value).splitlines()
    assert "pip install ./models/exalign-model-143k" in line
    assert "--bundle DIR" in line
