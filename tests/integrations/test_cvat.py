"""The function for CVAT, called as Nuclio calls it, with a fake context and the fake server."""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import grpc
import numpy as np
import pytest
import yaml

from exalign_client.formats import FORMATS, picture_from, point_names
from fake_server import FakeService, abort, points

FOLDER = Path(__file__).parents[2] / "integrations" / "cvat"
IMAGE = base64.b64encode(b"the fake server looks at no bytes").decode()


def loaded(name: str) -> ModuleType:
    """A file of the function, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"cvat_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def function(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A call of the function with a body: what it answers."""
    monkeypatch.setenv("EXALIGN_SERVER", service.address)
    module, context = loaded("main"), SimpleNamespace(user_data=SimpleNamespace(), Response=SimpleNamespace)
    module.init_context(context)
    yield lambda body: module.handler(context, SimpleNamespace(body=body))
    context.user_data.client.close()


def test_a_face_is_a_skeleton_whose_points_are_those_of_the_format(function: Any, service: FakeService) -> None:
    answer = function({"image": IMAGE})
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    (face,) = json.loads(answer.body)
    assert (face["label"], face["type"]) == ("face", "skeleton")
    assert [element["label"] for element in face["elements"]] == list(point_names(68))
    assert {(element["type"], element["outside"]) for element in face["elements"]} == {("points", 0)}
    np.testing.assert_allclose([element["points"] for element in face["elements"]], points() + 0.5, atol=0.006)
    assert service.requests[-1].image.encoded == base64.b64decode(IMAGE)


def test_its_points_are_where_our_own_files_for_cvat_have_them(
    function: Any, service: FakeService, tmp_path: Path
) -> None:
    from exalign_client import Client

    with Client(service.address) as client:
        FORMATS["cvat-images"].write([picture_from("photo.jpg", client.predict(b"photo"))], tmp_path / "faces.xml")
    ours = {
        one.get("label"): [float(v) for v in (one.get("points") or "").split(",")]
        for one in ET.parse(tmp_path / "faces.xml").getroot().iter("points")
    }
    (face,) = json.loads(function(json.dumps({"image": IMAGE}).encode()).body)
    assert {element["label"]: element["points"] for element in face["elements"]} == ours


def test_the_threshold_is_that_of_a_faces_presence(function: Any) -> None:
    assert len(json.loads(function({"image": IMAGE, "threshold": 0.9}).body)) == 1
    assert json.loads(function({"image": IMAGE, "threshold": 0.995}).body) == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"image": 3},
        {"image": "!"},
        [],
        None,
        b"{",
        {"image": IMAGE, "threshold": "x"},
        {"image": IMAGE, "threshold": 1e999},
    ],
)
def test_a_body_that_is_none_is_refused(function: Any, body: Any) -> None:
    answer = function(body)
    assert answer.status_code == 400
    assert json.loads(answer.body)["error"]


def test_a_server_that_fails_is_said_to(function: Any, service: FakeService) -> None:
    service.faults.append(abort(grpc.StatusCode.INTERNAL, "broken"))
    assert function({"image": IMAGE}).status_code == 502


def test_the_file_is_what_its_maker_makes_and_what_cvat_reads() -> None:
    text = (FOLDER / "function.yaml").read_text("utf-8")
    assert text == loaded("make_function").function(), "run: python integrations/cvat/make_function.py"
    read = yaml.safe_load(text)
    about = read["metadata"]["annotations"]
    assert about["type"] == "detector"
    assert read["spec"]["handler"] == "main:handler"
    (face,) = json.loads(about["spec"])
    assert [one["name"] for one in face["sublabels"]] == list(point_names(68))
    drawing = ET.fromstring(f"<svg>{face['svg']}</svg>")
    assert [one.get("data-label-name") for one in drawing.iter("circle")] == list(point_names(68))
    nodes = {one.get("data-node-id") for one in drawing.iter("circle")}
    assert {line.get("data-node-from") for line in drawing.iter("line")} <= nodes
