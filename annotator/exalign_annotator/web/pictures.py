"""What the page asks about pictures: open, find faces, solve, views, leases. What changes is saved, then answered."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from exalign.cli_support import describe
from exalign_annotator.project.documents import AnnotatedFace, Document, box_of
from exalign_annotator.project.evidence_json import evidence_from_json, landmarks_from_json, numbers, whole
from exalign_annotator.project.inputs import MOST_BYTES, Item
from exalign_annotator.project.leases import Lease
from exalign_annotator.project.project import Project, with_face, without_face
from exalign_annotator.solving.faces import FaceSolver
from exalign_annotator.solving.link import ModelLink
from exalign_annotator.solving.views import FaceViews
from exalign_annotator.web.answers import MissingError, file_answer, holder_of, json_body
from exalign_annotator.web.shown import shown_picture
from exalign_client.errors import ExalignClientError, InvalidRequestError, Violation
from exalign_client.landmarks import N_LANDMARKS
from exalign_gateway.bodies import Bodies, Bounds

#: Faces of one picture, at most.
_MOST_FACES = 1000

_MOST_REVISION = 2**53


class Pictures:
    """The endpoints about pictures.

    Args:
        project: what is open.
        link: to the model.
    """

    def __init__(self, project: Project, link: ModelLink) -> None:
        self._project, self._link = project, link
        self._solver = FaceSolver(link)
        self._views = FaceViews(link, self._solver)
        self._bodies = Bodies(Bounds(body_bytes=2**18, all_bytes=2**22))
        self._dropped = Bodies(Bounds(body_bytes=MOST_BYTES, all_bytes=4 * MOST_BYTES))
        #: One change of an item at a time.
        self._changing: dict[str, asyncio.Lock] = {}

    async def project(self, request: Request) -> Response:
        """All items, and how far each is."""
        summaries = await asyncio.to_thread(lambda: [self._summary(item) for item in self._project.items.values()])
        return JSONResponse({"folder": str(self._project.folder.path), "items": summaries})

    async def status(self, request: Request) -> Response:
        """Whether the model answers."""
        return JSONResponse({"model": self._link.state})

    async def picture(self, request: Request) -> Response:
        """The picture itself, in a form that browsers show."""
        path = self._item(request).path
        converted = await asyncio.to_thread(shown_picture, path)
        if converted is not None:
            return Response(converted, media_type="image/jpeg", headers={"Cache-Control": "no-cache"})
        return await asyncio.to_thread(file_answer, request, path)

    async def add(self, request: Request) -> Response:
        """A picture that was dropped onto the page."""
        async with self._dropped.of(request) as data:
            item = await asyncio.to_thread(self._project.add_picture, request.query_params.get("name", ""), data)
        return JSONResponse(self._summary(item))

    async def open(self, request: Request) -> Response:
        """The document of an item, and its lease, which is taken where it is free."""
        item, body = self._any(request), await json_body(request, self._bodies)
        holder = holder_of(body)
        document, lease = await asyncio.to_thread(self._project.folder.opened, item.name, holder)
        return JSONResponse({"document": document.to_json(), "lease": _lease_json(lease, holder)})

    async def lease(self, request: Request) -> Response:
        """Renew a lease, take it from another, or give it up."""
        item, body = self._any(request), await json_body(request, self._bodies)
        holder = holder_of(body)
        if body.get("give_up") is True:
            await asyncio.to_thread(self._project.folder.give_up, item.name, holder)
            return JSONResponse({})
        force = body.get("take") is True
        lease, revision = await asyncio.to_thread(self._project.folder.lease, item.name, holder, by_force=force)
        return JSONResponse({"lease": _lease_json(lease, holder), "revision": revision})

    async def detect(self, request: Request) -> Response:
        """Find the faces of a picture that has none yet."""
        item, body = self._item(request), await json_body(request, self._bodies)
        size, faces = await self._solver.find(item.path)

        def found(document: Document) -> Document:
            first = document.next_number
            numbered = [replace(face, number=first + i) for i, face in enumerate(faces)]
            for face in numbered:
                document = with_face(document, face)
            return replace(document, size=size)

        return await self._changed(item, body, found)

    async def draw(self, request: Request) -> Response:
        """A face in a box that was drawn, or one that was removed and comes back with its evidence."""
        item, body = self._item(request), await json_body(request, self._bodies)
        corners = numbers(body.get("box"), 4, "box")
        detector = body.get("detector", "")
        if not isinstance(detector, str) or len(detector) > 64:
            raise InvalidRequestError([Violation("detector", "must be a name")])
        evidence = evidence_from_json(body.get("evidence", []))
        hidden = landmarks_from_json(body.get("hidden", []), "hidden")
        document = await asyncio.to_thread(self._project.folder.load, item.name)
        if len(document.faces) >= _MOST_FACES:
            raise InvalidRequestError([Violation("box", f"there are {_MOST_FACES} faces already")])
        number = document.next_number
        if "id" in body:
            number = whole(body["id"], "id", document.next_number)
            if document.face(number) is not None:
                raise InvalidRequestError([Violation("id", f"there is a face {number} already")])
        size, face = await self._solver.at(item.path, box_of(corners, detector), number)
        if evidence or hidden:
            face = await self._solver.solve(item.path, face, evidence, hidden)
        return await self._changed(item, body, lambda before: with_face(before, face, size), face)

    async def solve(self, request: Request) -> Response:
        """All that is known of a face, and the whole face given it."""
        item, body = self._item(request), await json_body(request, self._bodies)
        evidence = evidence_from_json(body.get("evidence"))
        hidden = landmarks_from_json(body.get("hidden", []), "hidden")
        async with self._lock(item):
            face = await self._face(item, request)
            if evidence == face.evidence:
                solved = replace(face, hidden=hidden)
            else:
                solved = await self._solver.solve(item.path, face, evidence, hidden)
        return await self._changed(item, body, lambda before: with_face(before, solved), solved)

    async def remove(self, request: Request) -> Response:
        """Take a face out."""
        item, body = self._item(request), await json_body(request, self._bodies)
        number = self._number(request)
        return await self._changed(item, body, lambda before: without_face(before, number))

    async def done(self, request: Request) -> Response:
        """Say that a picture is done, or not."""
        item, body = self._any(request), await json_body(request, self._bodies)
        done = body.get("done") is True
        return await self._changed(item, body, lambda before: replace(before, done=done))

    async def details(self, request: Request) -> Response:
        """What to click next, the pose's map and the exemplars of a face."""
        item = self._item(request)
        return JSONResponse(await self._views.details(item.path, await self._face(item, request)))

    async def heatmap(self, request: Request) -> Response:
        """Where one landmark of a face may be."""
        item = self._item(request)
        landmark = request.path_params["landmark"]
        if landmark >= N_LANDMARKS:
            raise MissingError("there is no such landmark")
        return JSONResponse(await self._views.heatmap(item.path, await self._face(item, request), landmark))

    def _any(self, request: Request) -> Item:
        found = self._project.items.get(request.path_params["name"])
        if found is None:
            raise MissingError("there is no such item")
        return found

    def _item(self, request: Request) -> Item:
        found = self._any(request)
        if found.video:
            raise MissingError("this item is a video")
        return found

    def _number(self, request: Request) -> int:
        return int(request.path_params["face"])

    async def _face(self, item: Item, request: Request) -> AnnotatedFace:
        document = await asyncio.to_thread(self._project.folder.load, item.name)
        found = document.face(self._number(request))
        if found is None:
            raise MissingError("there is no such face")
        return found

    async def _changed(
        self, item: Item, body: dict[str, Any], change: Any, face: AnnotatedFace | None = None
    ) -> Response:
        """Save a change; the answer is the document, or the one face that has changed."""
        holder = holder_of(body)
        revision = whole(body.get("revision"), "revision", _MOST_REVISION)
        async with self._lock(item):
            saved = await asyncio.to_thread(self._project.change, item.name, holder, revision, change)
        if face is not None:
            return JSONResponse({"revision": saved.revision, "face": face.to_json(), "size": saved.size})
        return JSONResponse({"document": saved.to_json()})

    def _lock(self, item: Item) -> asyncio.Lock:
        return self._changing.setdefault(item.name, asyncio.Lock())

    def _summary(self, item: Item) -> dict[str, Any]:
        return summary(item, self._project)


def summary(item: Item, project: Project) -> dict[str, Any]:
    """What the list of items shows of one."""
    found: dict[str, Any] = {"name": item.name, "video": item.video, "faces": None, "done": False, "problem": None}
    try:
        document = project.folder.load(item.name)
    except (ExalignClientError, OSError) as error:  # the others are listed
        return {**found, "problem": describe(error)}
    if item.video:
        return {**found, "corrected": len(document.frames), "done": document.done}
    if document.revision:
        clicked = sum(bool(face.evidence) for face in document.faces)
        found |= {"faces": len(document.faces), "corrected": clicked, "done": document.done}
    return found


def _lease_json(lease: Lease, holder: str) -> dict[str, Any]:
    return {"mine": lease.holder == holder, "owner": lease.owner, "since": lease.since}
