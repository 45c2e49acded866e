"""What a browser asks, against a real server with a fake network: faces, evidence, views, leases, exports, refusals."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import pytest_asyncio

from exalign_annotator.app import annotator
from exalign_annotator.project.folder import ProjectFolder
from exalign_annotator.project.leases import Leases
from exalign_annotator.project.project import Project
from exalign_annotator.solving.link import ModelLink
from exalign_annotator.web.guard import Guard
from exalign_client.formats import FORMATS
from listening_gateway import listening
from service_fakes import FakeDetector, Running, config, encoded, picture, running, until

ME, OTHER = "me1234567890", "other1234567"
FOUND = (12.0, 9.0, 44.0, 41.0)


@pytest_asyncio.fixture
async def live(tmp_path: Path) -> AsyncIterator[Running]:
    (tmp_path / "bundle").mkdir()
    async with running(tmp_path / "bundle", detector=FakeDetector((FOUND, 0.99))) as it:
        yield it


@asynccontextmanager
async def opened(live: Running, folder: Path, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The page of a project with a picture ``a.png``, and whatever else lies there."""
    (folder / "a.png").write_bytes(encoded())
    project_folder = folder / "project"
    project = Project(
        [one for one in (folder / "a.png", folder / "c.mp4") if one.exists()],
        ProjectFolder(project_folder, Leases(project_folder, "anna")),
    )
    async with listening(annotator(project, ModelLink(live.server.address), **more)) as client:
        yield client


@pytest_asyncio.fixture
async def page(live: Running, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(live, tmp_path) as client:
        yield client


async def posted(page: httpx.AsyncClient, path: str, method: str = "POST", **body: Any) -> dict[str, Any]:
    """The answer to a request about ``a.png``, which must be one."""
    answer = await page.request(method, f"/api/items/a.png{path}", json={"holder": ME, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def detected(page: httpx.AsyncClient) -> dict[str, Any]:
    """The document with the one face that the detector finds."""
    opened = await posted(page, "/open")
    assert opened["lease"]["mine"]
    return dict((await posted(page, "/detect", revision=opened["document"]["revision"]))["document"])


def click(x: float, y: float, landmark: int = 30) -> dict[str, Any]:
    return {"kind": "click", "landmark": landmark, "x": x, "y": y}


async def test_a_click_moves_the_face_and_is_kept(page: httpx.AsyncClient, tmp_path: Path) -> None:
    found = await detected(page)
    (face,) = found["faces"]
    x, y = face["points"][30]
    solved = await posted(page, "/faces/1", "PUT", revision=1, evidence=[click(x + 2, y + 1)], hidden=[8])
    assert solved["revision"] == 2
    assert solved["face"]["points"][30] == pytest.approx([x + 2, y + 1], abs=0.01)
    assert solved["face"]["points"][:30] != face["points"][:30]
    assert (await posted(page, "/open"))["document"]["faces"] == [solved["face"]]

    undone = await posted(page, "/faces/1", "PUT", revision=2, evidence=[], hidden=[])
    assert {**undone["face"], "id": 1} == face
    (kept,) = FORMATS["coco"].read(tmp_path / "project" / "a.png.json")
    assert len(kept.faces) == 1


async def test_a_restarted_server_is_sent_the_picture_again(tmp_path: Path) -> None:
    """It has forgotten every posterior; who clicks does not notice."""
    (tmp_path / "bundle").mkdir()
    async with running(tmp_path / "bundle", detector=FakeDetector((FOUND, 0.99))) as first:
        address = first.server.address
        async with opened(first, tmp_path) as page:
            (face,) = (await detected(page))["faces"]
            x, y = face["points"][30]
            before = await posted(page, "/faces/1", "PUT", revision=1, evidence=[click(x + 2, y)])
            await first.server.stop(0)
            async with running(tmp_path / "bundle", config(address=address), detector=FakeDetector()):
                await posted(page, "/faces/1", "PUT", revision=2, evidence=[])
                after = await posted(page, "/faces/1", "PUT", revision=3, evidence=[click(x + 2, y)])
                assert after["face"] == before["face"]
                assert (await page.get("/api/items/a.png/faces/1/details")).status_code == 200


async def test_faces_are_drawn_removed_and_brought_back(page: httpx.AsyncClient) -> None:
    (face,) = (await detected(page))["faces"]
    drawn = await posted(page, "/faces", revision=1, box=[5, 5, 30, 30])
    assert drawn["face"]["id"] == 2
    removed = await posted(page, "/faces/1", "DELETE", revision=2)
    assert [one["id"] for one in removed["document"]["faces"]] == [2]
    source = face["source"]
    back = await posted(page, "/faces", revision=3, box=source["box"], detector=source["detector"], id=1)
    assert {**back["face"]} == face
    answer = await page.post(
        "/api/items/a.png/faces", json={"holder": ME, "revision": 4, "box": [5, 5, 30, 30], "id": 1}
    )
    assert answer.status_code == 400


async def test_views_of_a_face(page: httpx.AsyncClient) -> None:
    await detected(page)
    details = (await page.get("/api/items/a.png/faces/1/details")).json()
    assert len(details["suggestions"]) == 5
    assert details["exemplar_count"] == 12
    assert len(base64.b64decode(details["pose_map"])) == details["pose_bins"] ** 2
    assert sum(one["probability"] for one in details["exemplars"]) <= 1.001
    heat = (await page.get("/api/items/a.png/faces/1/heatmaps/30")).json()
    assert max(base64.b64decode(heat["cells"])) == 255
    assert (await page.get("/api/items/a.png/faces/1/heatmaps/68")).status_code == 404


async def test_who_comes_second_is_told_and_writes_nothing(page: httpx.AsyncClient) -> None:
    await detected(page)
    opened = (await page.post("/api/items/a.png/open", json={"holder": OTHER})).json()
    assert opened["lease"] == {"mine": False, "owner": "anna", "since": opened["lease"]["since"]}
    refused = await page.put(
        "/api/items/a.png/faces/1", json={"holder": OTHER, "revision": 1, "evidence": [click(20, 20)]}
    )
    assert refused.status_code == 409
    assert refused.json()["lease"]["owner"] == "anna"
    taken = (await page.post("/api/items/a.png/lease", json={"holder": OTHER, "take": True})).json()
    assert taken["lease"]["mine"]
    refused = await page.post("/api/items/a.png/done", json={"holder": ME, "revision": 1, "done": True})
    assert refused.status_code == 409
    await page.post("/api/items/a.png/lease", json={"holder": OTHER, "give_up": True})
    stale = await page.post("/api/items/a.png/done", json={"holder": ME, "revision": 0, "done": True})
    assert (stale.status_code, stale.json()["lease"], stale.json()["revision"]) == (409, None, 1)
    assert (await posted(page, "/done", revision=1, done=True))["document"]["done"] is True


@pytest.mark.parametrize("form", list(FORMATS))
async def test_every_format_is_exported(page: httpx.AsyncClient, tmp_path: Path, form: str) -> None:
    (face,) = (await detected(page))["faces"]
    answer = await page.get(f"/api/export/{form}")
    if form == "cvat-video":  # a picture is no frame
        assert answer.status_code in (200, 500)
        return
    assert answer.status_code == 200, answer.text
    out = tmp_path / answer.headers["content-disposition"].split('"')[1]
    out.write_bytes(answer.content)
    if form == "pts":
        zipfile.ZipFile(io.BytesIO(answer.content)).extractall(out := tmp_path / "unpacked")
    (kept,) = FORMATS[form].read(out)
    np.testing.assert_allclose(kept.faces[0].points, face["points"], atol=0.01)
    assert (await page.get("/api/export/none")).status_code == 404


async def test_a_picture_is_dropped(page: httpx.AsyncClient, tmp_path: Path) -> None:
    data = encoded(picture(seed=3))
    added = (await page.post("/api/items?name=..%2Fb.png", content=data)).json()
    assert added["name"] == "b.png"
    assert (tmp_path / "project" / "pictures" / "b.png").read_bytes() == data
    assert (await page.get("/api/items/b.png/picture")).content == data
    assert [one["name"] for one in (await page.get("/api/project")).json()["items"]] == ["a.png", "b.png"]
    assert (await page.post("/api/items?name=b.svg", content=b"<svg/>")).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/open", {}, 400),
        ("POST", "/open", {"holder": "short"}, 400),
        ("POST", "/open", {"holder": "../../../etc"}, 400),
        ("PUT", "/faces/1", {"holder": ME, "revision": 1, "evidence": 5}, 400),
        ("PUT", "/faces/1", {"holder": ME, "revision": -1, "evidence": []}, 400),
        ("PUT", "/faces/9", {"holder": ME, "revision": 1, "evidence": []}, 404),
        ("POST", "/faces", {"holder": ME, "revision": 1, "box": [1, 2, 3]}, 400),
        ("POST", "/faces", {"holder": ME, "revision": 1, "box": [30, 30, 5, 5]}, 400),
        ("POST", "/faces", {"holder": ME, "revision": 1, "box": [5, 5, 30, 30], "detector": "none"}, 400),
        ("GET", "/frames/0/picture", None, 404),
        ("GET", "/timeline", None, 404),
        ("GET", "/nothing", None, 404),
    ],
)
async def test_what_cannot_be_is_refused(
    page: httpx.AsyncClient, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    await detected(page)
    answer = await page.request(method, f"/api/items/a.png{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["message"]


async def test_bodies_must_be_json_and_small(page: httpx.AsyncClient) -> None:
    async def status(content: bytes, kind: str) -> int:
        return (await page.post("/api/items/a.png/open", content=content, headers={"content-type": kind})).status_code

    assert await status(b"{}", "text/plain") == 400
    assert await status(b"[" * 100_000, "application/json") == 400
    assert await status(b"[]", "application/json") == 400
    assert await status(b" " * (2**18 + 1), "application/json") == 413


async def test_other_pages_and_other_names_are_not_answered(page: httpx.AsyncClient) -> None:
    async def status(method: str = "GET", **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await page.request(method, "/api/items?name=x.png", content=b"", headers=named)).status_code

    own = str(page.base_url).rstrip("/")
    assert (await page.get("/api/project")).status_code == 200
    assert await status(host="evil.example") == 403
    assert await status(host="127.0.0.1.evil.example") == 403
    assert await status(host="localhost.evil.example:80") == 403
    assert await status("POST", origin="http://evil.example") == 403
    assert await status("POST", origin="null") == 403
    assert await status("POST", sec_fetch_site="cross-site") == 403
    assert await status("POST", origin=own) == 200
    answer = await page.get("/api/project", headers={"host": "localhost:1"})
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_token_is_asked_for_and_leaves_the_address(live: Running, tmp_path: Path) -> None:
    async with opened(live, tmp_path, token="t" * 32, any_host=True) as page:
        assert (await page.get("/api/project")).status_code == 401
        assert (await page.get("/?token=wrong")).status_code == 401
        assert (await page.get("/api/project", headers={"authorization": "Bearer " + "t" * 32})).status_code == 200
        entered = await page.get(str(page.base_url) + "//evil.example/?token=" + "t" * 32 + "&a=1")
        assert (entered.status_code, entered.headers["location"]) == (303, "/evil.example/?a=1")
        assert "HttpOnly" in entered.headers["set-cookie"]
        assert "samesite=strict" in entered.headers["set-cookie"].lower()
        assert (await page.get("/api/project")).status_code == 200  # by the cookie
        assert (await page.get("/api/project", headers={"cookie": "exalign-token-1=" + "t" * 32})).status_code == 401


def test_any_host_needs_a_token() -> None:
    with pytest.raises(ValueError, match="without a token"):
        Guard(None, None, any_host=True)  # type: ignore[arg-type]


def clip(path: Path, frames: int = 6) -> Path:
    """A short video."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            shown = av.VideoFrame.from_ndarray(picture(seed=number // 3), format="rgb24")
            for packet in stream.encode(shown):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


async def test_a_click_in_a_video_goes_through_all_of_it_and_is_kept(live: Running, tmp_path: Path) -> None:
    clip(tmp_path / "c.mp4")
    item = "/api/items/c.mp4"
    async with opened(live, tmp_path) as page:

        async def line() -> dict[str, Any]:
            return dict((await page.get(f"{item}/timeline")).json())

        async def ready(revision: int) -> dict[str, Any]:
            async with asyncio.timeout(60):
                while not ((now := await line())["state"] == "ready" and now["revision"] == revision):
                    assert now["state"] != "failed", now
                    await asyncio.sleep(0.01)
            return now

        first = await ready(0)
        assert (first["frames"], first["size"], len(first["uncertainty"])) == (6, [64, 48], 6)
        assert (await page.post(f"{item}/open", json={"holder": ME})).json()["lease"]["mine"]
        face = (await page.get(f"{item}/frames/2/face")).json()["face"]
        x, y = face["points"][30]
        said = {"holder": ME, "revision": 0, "evidence": [click(x + 3, y)], "hidden": []}
        solved = (await page.put(f"{item}/frames/2/face", json=said)).json()
        assert solved["revision"] == 1
        await ready(1)
        before, after = face["points"], (await page.get(f"{item}/frames/2/face")).json()["face"]
        assert after["evidence"] == said["evidence"]
        assert after["points"] != before
        assert (await page.get(f"{item}/frames/2/details")).json()["suggestions"]
        assert (await page.get(f"{item}/frames/2/heatmaps/30")).json()["cells"]
        assert (await page.get(f"{item}/frames/2/picture")).headers["content-type"] == "image/jpeg"
        for path in ("frames/6/picture", "frames/6/details", "frames/2/heatmaps/68", "picture"):
            assert (await page.get(f"{item}/{path}")).status_code == 404, path
        kept = tmp_path / "project" / "c.mp4.frames.json"
        await until(lambda: kept.exists() and json.loads(kept.read_text("utf-8"))["exalign"]["revision"] == 1)
    batches = len(live.runtime.batches)
    async with opened(live, tmp_path) as page:  # opened again: nothing is computed anew
        async with asyncio.timeout(60):
            while (now := (await page.get(f"{item}/timeline")).json())["state"] != "ready":
                await asyncio.sleep(0.01)
        assert now["revision"] == 1
        assert (await page.get(f"{item}/frames/2/face")).json()["face"]["points"] == after["points"]
        assert len(live.runtime.batches) == batches
        exported = await page.get("/api/export/cvat-video")
        assert exported.status_code == 200
