"""Both clients have one signature and one documentation for each call, whole for people, editors and programs."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from exalign.v1 import admin_pb2, service_pb2
from exalign_client import AsyncClient, Client
from exalign_client.calls import methods

VIEWS = "heatmaps: 'HeatmapOptions | None' = None, pose: 'PoseOptions | None' = None"
LANDMARKS = "landmarks: 'LandmarkOptions | None' = None"
DETECTOR, MAX_FACES = "detector: 'str | None' = None", "max_faces: 'int | None' = None"
TIMEOUT, ID = "timeout: 'float | None' = None", "posterior_id: 'str | None' = None"
FACES = f"image: 'ImageInput | None' = None, boxes: 'Iterable[BoxInput] | None' = None, *, {ID}"
FACE = (
    f"image: 'ImageInput | None' = None, evidence: 'Evidence' = (), *, {ID}, box: 'BoxInput | None' = None, "
    "box_moves: 'bool' = True"
)
SIGNATURES = {
    "predict": f"(self, image: 'ImageInput', boxes: 'Iterable[BoxInput] | None' = None, *, {DETECTOR}, {MAX_FACES}, "
    f"top_exemplars: 'int | None' = None, groups: 'Iterable[Group]' = (), {VIEWS}, {TIMEOUT}) -> 'Prediction'",
    "heatmaps": f"(self, {FACES}, options: 'HeatmapOptions | None' = None, pose: 'PoseOptions | None' = None, "
    f"{LANDMARKS}, {DETECTOR}, {MAX_FACES}, {TIMEOUT}) -> 'Faces'",
    "pose": f"(self, {FACES}, options: 'PoseOptions | None' = None, heatmaps: 'HeatmapOptions | None' = None, "
    f"{LANDMARKS}, {DETECTOR}, {MAX_FACES}, {TIMEOUT}) -> 'Faces'",
    "condition": f"(self, {FACE}, {VIEWS}, {LANDMARKS}, include_prior: 'bool' = False, {DETECTOR}, {TIMEOUT})"
    " -> 'Conditional'",
    "suggest": f"(self, {FACE}, candidates: 'Iterable[LandmarkOrGroup]' = (), max_suggestions: 'int | None' = None, "
    f"criterion: 'Criterion' = 'error', click_sigma: 'float | None' = None, {VIEWS}, {LANDMARKS}, {DETECTOR}, "
    f"{TIMEOUT}) -> 'Suggestions'",
    "exemplars": f"(self, class_ids: 'Iterable[int]', *, bundle_id: 'str | None' = None, {TIMEOUT})"
    " -> 'tuple[Exemplar, ...]'",
    "model": f"(self, *, {TIMEOUT}) -> 'Model'",
    "swap_model": f"(self, bundle: 'str', *, {TIMEOUT}) -> 'SwappedModel'",
}


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize("name", SIGNATURES)
def test_a_call_has_its_whole_signature_and_documentation(client: type, name: str) -> None:
    method = getattr(client, name)
    assert str(inspect.signature(method)) == SIGNATURES[name]
    assert (method.__name__, method.__qualname__) == (name, f"{client.__name__}.{name}")
    assert method.__doc__ == getattr(methods, name).__doc__
    assert inspect.iscoroutinefunction(method) is (client is AsyncClient)
    assert f"def {name}(" in inspect.getsource(method)


def test_both_clients_have_the_same_methods() -> None:
    public = [{name for name in dir(client) if not name.startswith("_")} for client in (Client, AsyncClient)]
    assert public[0] == public[1]
    assert set(SIGNATURES) <= public[0]


def test_every_unary_rpc_of_the_contract_is_described_once() -> None:
    services = (
        service_pb2.DESCRIPTOR.services_by_name["FaceAlignmentService"],
        admin_pb2.DESCRIPTOR.services_by_name["ModelAdminService"],
    )
    unary = [method.name for service in services for method in service.methods if not method.client_streaming]
    source = Path(methods.__file__).read_text("utf-8")
    assert [source.count(f'UnaryCall("{name}", ') for name in unary] == [1] * len(unary)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_the_arguments_of_track_are_named_and_have_defaults(client: type) -> None:
    parameters = inspect.signature(client.track).parameters  # type: ignore[attr-defined]
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    assert list(parameters)[:2] == ["self", "frames"]
    assert defaults == {
        "live": False,
        "temporal_model": "filter",
        "smoothing_lag": 0,
        "max_faces": None,
        "detector": None,
        "detect_every": None,
        "landmarks": None,
        "heatmaps": None,
        "pose": None,
        "path_frames": 0,
        "suggestion": None,
        "session_id": None,
        "window": 16,
        "timeout": None,
    }
