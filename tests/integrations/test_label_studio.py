"""The backend by Label Studio's contract: what it answers, what a moved point does, and whose pictures it fetches."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="the backend needs uvicorn (pip install ./gateway)")
pytest.importorskip("httpx", reason="the backend needs httpx (extra 'dev')")

import httpx
import pytest_asyncio

from exalign_client import AsyncClient
from exalign_client.formats import FORMATS, labeling_config, point_names
from exalign_label_studio import Bounds, LabelStudio, backend
from exalign_label_studio.command import main
from exalign_label_studio.labels.labeling import LabelingError, labeling_of
from fake_server import BOX, IMAGE_SIZE, FakeService, abort, points

HTTP = httpx.AsyncClient
JSON = {"content-type": "application/json"}
PICTURE = b"the fake server looks at no bytes"
INLINE = "data:image/jpeg;base64," + base64.b64encode(PICTURE).decode()
VERSION = "exalign-" + "ab" * 6
NOSE_TIP = point_names(68).index("nose_tip")


@dataclass
class Studio:
    """A Label Studio that serves pictures to whom it knows, and notes what it is asked for."""

    asked: list[str] = field(default_factory=list)
    #: The access token that is taken now.
    access: str = "access-1"
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        known = handler.headers.get("authorization") in (f"Bearer {self.access}", "Token legacy")
        self.asked.append(handler.path)
        if handler.path == "/api/token/refresh/":
            given = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
            self.send(
                handler, 200 if given == {"refresh": "a.b.c"} else 401, json.dumps({"access": self.access}).encode()
            )
        elif handler.path == "/data/elsewhere.jpg":
            handler.send_response(302)
            handler.send_header("location", "http://example.com/data/upload/1/photo.jpg")
            handler.send_header("content-length", "0")
            handler.end_headers()
        elif not known:
            self.send(handler, 401, b"{}")
        else:
            self.send(handler, 200, PICTURE if handler.path == "/data/upload/1/photo.jpg" else bytes(5000))

    @staticmethod
    def send(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture
def studio() -> Iterator[Studio]:
    found = Studio()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.answer(self)

        def do_POST(self) -> None:
            found.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


@asynccontextmanager
async def client(
    service: FakeService, studio: Studio, *, token: str = "a.b.c", **more: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Calls of a backend for that server and that Label Studio."""
    app = backend(lambda: AsyncClient(service.address), LabelStudio(studio.url, token, picture_bytes=4096), **more)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://backend") as found,
    ):
        yield found


@pytest_asyncio.fixture
async def http(service: FakeService, studio: Studio) -> AsyncIterator[HTTP]:
    async with client(service, studio) as found:
        yield found


def asked(*values: str, context: Any = None, config: str | None = None) -> dict[str, Any]:
    """What Label Studio sends for tasks whose pictures these are."""
    tasks = [{"id": n, "data": {"image": value}} for n, value in enumerate(values)]
    params = {"login": None, "password": None, "context": context}
    config = labeling_config(68) if config is None else config
    return {"tasks": tasks, "project": "1.1", "label_config": config, "params": params}


def percent(xy: Any) -> dict[str, float]:
    """A place in pixels, as Label Studio has it."""
    x, y = ((np.asarray(xy) + 0.5) / IMAGE_SIZE * 100).tolist()
    return {"x": x, "y": y}


def moved(name: str, xy: Any, **more: Any) -> dict[str, Any]:
    """A point that a person has moved."""
    value = percent(xy) | {"width": 0.5, "keypointlabels": [name]}
    about = {"id": "k1", "type": "keypointlabels", "from_name": "landmarks", "to_name": "image"}
    return about | {"value": value, "origin": "prediction-changed"} | more


def rectangle(key: str, x0: float, y0: float, x1: float, y1: float, **more: Any) -> dict[str, Any]:
    """A rectangle that a person has drawn, in percent."""
    value = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0, "rectanglelabels": ["face"]} | more
    return {"id": key, "type": "rectanglelabels", "from_name": "faces", "to_name": "image", "value": value}


def placed(result: list[dict[str, Any]], name: str) -> Any:
    """Where a point is, in pixels."""
    (value,) = [r["value"] for r in result if r["value"].get("keypointlabels") == [name]]
    return np.array([value["x"], value["y"]]) * IMAGE_SIZE / 100 - 0.5


async def test_health_and_setup_say_what_label_studio_asks(http: HTTP, service: FakeService) -> None:
    assert (await http.get("/health")).json() == {"status": "UP", "model_class": "Exalign"}
    body = {"project": "1.1", "schema": labeling_config(68), "hostname": "http://localhost:8080", "access_token": "x"}
    assert (await http.post("/setup", json=body)).json() == {"model_version": VERSION}
    assert (await http.get("/versions")).json() == {"versions": [VERSION]}
    refused = await http.post("/setup", json=body | {"schema": "<View><Text name='t' value='$t'/></View>"})
    assert refused.status_code == 400
    assert "KeyPointLabels" in refused.json()["error"]
    assert (await http.post("/train", json={})).status_code == 501
    assert (await http.post("/webhook", json={"action": "ANNOTATION_CREATED"})).json() == {}
    assert (await http.post("/webhook", json={"action": "START_TRAINING"})).status_code == 501
    service.health.set("", 2)
    assert (await http.get("/health")).status_code == 503


async def test_a_prediction_is_what_the_format_writes(http: HTTP, tmp_path: Path) -> None:
    (answer,) = (await http.post("/predict", json=asked("/data/upload/1/photo.jpg"))).json()["results"]
    assert answer["model_version"] == VERSION
    assert answer["score"] == pytest.approx(0.99)
    exported = tmp_path / "tasks.json"
    exported.write_text(json.dumps([{"data": {"image": "photo.jpg"}, "predictions": [answer]}]))
    (picture,) = FORMATS["label-studio"].read(exported)
    assert picture.size == IMAGE_SIZE
    np.testing.assert_allclose(picture.faces[0].points, points(), atol=1e-9)
    np.testing.assert_allclose(picture.faces[0].extent, BOX, atol=1e-9)
    np.testing.assert_array_equal(picture.faces[0].visibility, np.where(np.arange(68) / 67 >= 0.5, 2, 1))


async def test_a_moved_point_is_a_click_and_stays_where_it_was_put(http: HTTP, service: FakeService) -> None:
    untouched = moved("chin", (1, 1), id="k2", origin="prediction")
    context = {"result": [untouched, moved("nose_tip", (50, 40))]}
    (answer,) = (await http.post("/predict", json=asked(INLINE, context=context))).json()["results"]
    evidence = service.requests[-1]
    assert evidence.posterior_id == "p1"  # the picture and the network are not needed again
    (click,) = evidence.evidence.clicks
    assert (click.landmark, round(click.position.x, 4), round(click.position.y, 4)) == (NOSE_TIP, 50, 40)
    np.testing.assert_allclose(placed(answer["result"], "nose_tip"), (50, 40), atol=1e-9)
    np.testing.assert_allclose(placed(answer["result"], "jaw_8"), points()[8] + (3, 0), atol=1e-4)


async def test_a_posterior_that_is_gone_is_asked_about_by_its_picture(http: HTTP, service: FakeService) -> None:
    gone = [lambda context: None, abort(grpc.StatusCode.NOT_FOUND, "it gave way")]
    service.faults += gone
    context = {"result": [moved("nose_tip", (50, 40))]}
    assert (await http.post("/predict", json=asked(INLINE, context=context))).status_code == 200
    assert service.requests[-1].image.encoded == PICTURE
    assert service.requests[-1].box.x1 == BOX[2]


async def test_drawn_rectangles_are_the_faces_and_a_point_belongs_to_the_one_it_names(
    http: HTTP, service: FakeService
) -> None:
    point = moved("nose_tip", (50, 40), parentID="second")
    context = {"result": [rectangle("first", 10, 10, 40, 60), rectangle("second", 50, 10, 90, 60), point]}
    (answer,) = (await http.post("/predict", json=asked(INLINE, context=context))).json()["results"]
    boxes = service.requests[-2].boxes
    assert [round(box.x0, 3) for box in boxes] == [11.5, 59.5]
    assert [r["id"] for r in answer["result"] if r["type"] == "rectanglelabels"] == ["first", "second"]
    by_face = {p: [r for r in answer["result"] if r.get("parentID") == p] for p in ("first", "second")}
    np.testing.assert_allclose(placed(by_face["first"], "jaw_8"), points()[8], atol=1e-4)
    np.testing.assert_allclose(placed(by_face["second"], "jaw_8"), points()[8] + (3, 0), atol=1e-4)


async def test_a_turned_rectangle_is_taken_with_all_its_corners(http: HTTP, service: FakeService) -> None:
    context = {"result": [rectangle("r", 50, 10, 70, 40, rotation=90)]}
    assert (await http.post("/predict", json=asked(INLINE, context=context))).status_code == 200
    (box,) = service.requests[-1].boxes
    assert [round(v, 2) for v in (box.x0, box.y0, box.x1, box.y1)] == [23.5, 7.5, 59.5, 23.5]


@pytest.mark.parametrize("points_of", [51, 5])
async def test_a_project_has_the_points_and_names_that_its_configuration_says(http: HTTP, points_of: int) -> None:
    config = labeling_config(points_of).replace('"landmarks"', '"kp"').replace('value="face"', 'value="person"')
    context = {"result": [moved(point_names(points_of)[0], (50, 40), from_name="kp")]}
    (answer,) = (await http.post("/predict", json=asked(INLINE, context=context, config=config))).json()["results"]
    assert len(answer["result"]) == 1 + points_of
    assert answer["result"][0]["value"]["rectanglelabels"] == ["person"]
    assert {r["from_name"] for r in answer["result"][1:]} == {"kp"}
    np.testing.assert_allclose(placed(answer["result"], point_names(points_of)[0]), (50, 40), atol=1e-9)


async def test_without_rectangles_there_are_points_alone(http: HTTP) -> None:
    config = labeling_config(68).replace("RectangleLabels", "BrushLabels")
    (answer,) = (await http.post("/predict", json=asked(INLINE, config=config))).json()["results"]
    assert len(answer["result"]) == 68
    assert not any("parentID" in region for region in answer["result"])


async def test_of_many_tasks_one_that_cannot_be_answered_takes_nothing_from_others(http: HTTP) -> None:
    answers = (await http.post("/predict", json=asked(INLINE, "http://example.com/photo.jpg", INLINE))).json()[
        "results"
    ]
    assert [type(answer) for answer in answers] == [dict, list, dict]
    assert answers[1] == []
    alone = await http.post("/predict", json=asked("http://example.com/photo.jpg"))
    assert alone.status_code == 422


async def test_a_token_is_exchanged_and_exchanged_again_when_it_has_run_out(
    service: FakeService, studio: Studio, http: HTTP
) -> None:
    body = asked(studio.url + "/data/upload/1/photo.jpg")
    for _ in range(2):
        assert (await http.post("/predict", json=body)).status_code == 200
    studio.access = "access-2"
    assert (await http.post("/predict", json=body)).status_code == 200
    picture, refresh = "/data/upload/1/photo.jpg", "/api/token/refresh/"
    assert studio.asked == [refresh, picture, picture, picture, refresh, picture]
    async with client(service, studio, token="legacy") as other:
        assert (await other.post("/predict", json=body)).status_code == 200
    async with client(service, studio, token="d.e.f") as unknown:
        assert "401" in (await unknown.post("/predict", json=body)).json()["error"]


@pytest.mark.parametrize(
    "value",
    [
        "http://example.com/data/upload/1/photo.jpg",
        "//example.com/data/upload/1/photo.jpg",
        "http://127.0.0.1:1/data/upload/1/photo.jpg",
        "{url}@example.com/data/upload/1/photo.jpg",
        "/api/users/",
        "/data/../api/users/",
        "/data/%2e%2e/api/users/",
        "/data/%252e%252e/api/users/",
        "file:///etc/passwd",
        "s3://bucket/photo.jpg",
        "/etc/passwd",
        "data:text/html,x",
        "data:image/png;base64,!",
        "http://[",
        "",
        3,
        None,
        {"a": 1},
    ],
)
async def test_nothing_else_is_ever_fetched(http: HTTP, studio: Studio, value: Any) -> None:
    given = value.replace("{url}", studio.url) if isinstance(value, str) else value
    answer = await http.post("/predict", json=asked(given))
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert studio.asked == []


async def test_redirects_are_not_followed_and_pictures_are_bounded(http: HTTP, studio: Studio) -> None:
    assert "302" in (await http.post("/predict", json=asked("/data/elsewhere.jpg"))).json()["error"]
    assert "larger than 4096" in (await http.post("/predict", json=asked("/data/upload/1/large.jpg"))).json()["error"]
    inline = "data:image/png;base64," + base64.b64encode(bytes(5000)).decode()
    assert "larger than 4096" in (await http.post("/predict", json=asked(inline))).json()["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"tasks": []}, 400),
        ({"tasks": 3}, 400),
        ({"label_config": "<!DOCTYPE x [<!ENTITY a 'a'>]><View/>"}, 400),
        ({"label_config": "<View"}, 400),
        ({"label_config": None}, 400),
        ({"params": {"context": {"result": 3}}}, 400),
        ({"params": {"context": {"result": [3]}}}, 400),
        ({"params": {"context": {"result": [{"from_name": "landmarks", "value": {}}]}}}, 400),
        ({"params": {"context": {"result": [moved("nose_tip", (1e300, 0))]}}}, 400),
        ({"params": {"context": {"result": [rectangle("r", 60, 10, 40, 60)]}}}, 200),
        ({"params": {"context": {"result": [rectangle("\ud800", 10, 10, 40, 60)]}}}, 200),
        ({"params": 3}, 200),
        ({"tasks": [3]}, 422),
    ],
)
async def test_a_request_that_is_none_is_refused(http: HTTP, body: dict[str, Any], status: int) -> None:
    answer = await http.post("/predict", content=json.dumps(asked(INLINE) | body), headers=JSON)
    assert answer.status_code == status, answer.text


async def test_bodies_are_bounded_and_of_one_type(service: FakeService, studio: Studio) -> None:
    async with client(service, studio, bounds=Bounds(body_bytes=100)) as http:
        assert (await http.post("/predict", json=asked(INLINE))).status_code == 413
        assert (await http.post("/predict", content=b"{}", headers={"content-type": "text/plain"})).status_code == 415
        assert (await http.post("/setup", content=b"[", headers=JSON)).status_code == 400
        assert (await http.post("/setup", json=[])).status_code == 400
    async with client(service, studio, bounds=Bounds(requests=0)) as full:
        assert (await full.post("/setup", json={})).status_code == 503
        assert (await full.get("/health")).status_code == 200
    assert service.requests == []


async def test_a_server_that_does_not_answer_fails_all_tasks(http: HTTP, service: FakeService) -> None:
    service.faults.append(abort(grpc.StatusCode.INTERNAL, "broken"))
    assert (await http.post("/predict", json=asked(INLINE, INLINE, INLINE))).status_code == 502


async def test_a_password_is_asked_for_where_there_is_one(service: FakeService, studio: Studio) -> None:
    async with client(service, studio, password="studio:secret") as http:
        assert (await http.get("/health")).status_code == 401
        assert (await http.get("/health", auth=("studio", "wrong"))).status_code == 401
        assert (await http.get("/health", headers={"authorization": b"Basic \xff"})).status_code == 401
        assert (await http.get("/health", auth=("studio", "secret"))).status_code == 200


def test_points_of_another_picture_or_without_all_labels_are_no_labeling() -> None:
    config = labeling_config(68)
    assert labeling_of(config).points == 68
    assert labeling_of(config.replace('"jaw_0"', '"chin"')).points == 51
    for wrong in (config.replace("toName", "of"), config.replace("$image", "image"), "x" * 2_000_000):
        with pytest.raises(LabelingError):
            labeling_of(wrong)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--host", "0.0.0.0"],
        ["--label-studio", "localhost:8080"],
        ["--label-studio", "http://user@localhost"],
        ["--port", "70000"],
        ["--cert", "cert.pem"],
        ["--token-file", "/nowhere"],
        ["--max-picture-bytes", "1"],
    ],
)
def test_wrong_usage_ends_before_anything_listens(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert arguments[0].removeprefix("--") in capsys.readouterr().err or "nowhere" in arguments[1]
