"""What the page asks about videos: the timeline, a frame, its face, and what a person says of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from exalign_annotator.project.documents import AnnotatedFace, Document, FrameEvidence, box_of
from exalign_annotator.project.evidence_json import evidence_from_json, landmarks_from_json, whole
from exalign_annotator.project.inputs import Item
from exalign_annotator.project.project import Project
from exalign_annotator.project.tracks import FrameAnswer, load_track, save_track
from exalign_annotator.solving.faces import FaceSolver
from exalign_annotator.solving.link import ModelLink
from exalign_annotator.solving.video import TrackedVideo, shares_of, without_evidence
from exalign_annotator.solving.views import FaceViews
from exalign_annotator.web.answers import MissingError, file_answer, holder_of, json_body
from exalign_client.landmarks import N_LANDMARKS
from exalign_client.requests.arguments import Box
from exalign_gateway.bodies import Bodies, Bounds

#: Videos whose frames are on disk at once; of those before, the one opened first is closed.
_MOST_OPEN = 4

_MOST_REVISION = 2**53


class Videos:
    """The endpoints about videos.

    Args:
        project: what is open.
        link: to the model.
    """

    def __init__(self, project: Project, link: ModelLink) -> None:
        self._project, self._link = project, link
        self._solver = FaceSolver(link)
        self._views = FaceViews(link, self._solver)
        self._bodies = Bodies(Bounds(body_bytes=2**18, all_bytes=2**22))
        self._open: dict[str, TrackedVideo] = {}
        self._saving: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Give up what is in progress."""
        for video in self._open.values():
            await video.close()

    async def timeline(self, request: Request) -> Response:
        """How far the video is, and how uncertain each frame."""
        _, video = await self._video(request)
        return JSONResponse(
            {
                "state": video.state,
                "detail": video.detail,
                "frames": len(video.frames) if video.state != "reading" else len(video.answers) or len(video.frames),
                "through": video.through,
                "size": video.size,
                "revision": video.revision,
                "uncertainty": shares_of(video.answers),
                "states": [None if one is None else one.state for one in video.answers],
                "suggestions": [vars(one) for one in video.suggestions],
            }
        )

    async def picture(self, request: Request) -> Response:
        """The picture of a frame."""
        _, video = await self._video(request)
        number = request.path_params["frame"]
        if not await video.has(number):
            raise MissingError("there is no such frame")
        return file_answer(request, video.frames[number].path)

    async def face(self, request: Request) -> Response:
        """The face of a frame, given the whole video; null where there is none."""
        item, video = await self._video(request)
        number = request.path_params["frame"]
        document = await asyncio.to_thread(self._project.folder.load, item.name)
        found = video.answers[number] if number < len(video.answers) else None
        face = None if found is None else _face_of(found, document.frames.get(number, FrameEvidence()))
        return JSONResponse({"face": None if face is None else face.to_json(), "revision": document.revision})

    async def solve(self, request: Request) -> Response:
        """What is known of a frame: it is answered at once by its picture, and goes through the whole video then."""
        item, video = await self._video(request)
        body = await json_body(request, self._bodies)
        holder, revision = holder_of(body), whole(body.get("revision"), "revision", _MOST_REVISION)
        said = FrameEvidence(
            evidence_from_json(body.get("evidence")), landmarks_from_json(body.get("hidden", []), "hidden")
        )
        number = request.path_params["frame"]
        there = await video.has(number)
        before = video.answers[number] if number < len(video.answers) else None
        if before is None or before.answer is None or not there:
            raise MissingError("there is no face in this frame yet")
        face = await self._at_once(video, number, before, said)

        def change(document: Document) -> Document:
            return replace(document, size=video.size, frames=without_evidence(document.frames, number, said))

        saved = await asyncio.to_thread(self._project.change, item.name, holder, revision, change)
        video.answer_at_once(number, replace(before, answer=face.answer))
        self._through(item, video, saved)
        return JSONResponse({"revision": saved.revision, "face": face.to_json(), "size": video.size})

    async def details(self, request: Request) -> Response:
        """What to click next in a frame, the pose's map and the exemplars: of this frame's picture and evidence."""
        _, video = await self._video(request)
        number, face = await self._frame_face(request, video)
        return JSONResponse(await self._views.details(video.frames[number].path, face))

    async def heatmap(self, request: Request) -> Response:
        """Where one landmark may be, by this frame's picture and evidence."""
        _, video = await self._video(request)
        number, face = await self._frame_face(request, video)
        landmark = request.path_params["landmark"]
        if landmark >= N_LANDMARKS:
            raise MissingError("there is no such landmark")
        return JSONResponse(await self._views.heatmap(video.frames[number].path, face, landmark))

    async def _at_once(
        self, video: TrackedVideo, number: int, before: FrameAnswer, said: FrameEvidence
    ) -> AnnotatedFace:
        """The face of a frame by its picture alone, about the box that the track has."""
        if before.answer is None:
            raise MissingError("there is no face in this frame")
        face = AnnotatedFace(1, _box(before), (), frozenset(), before.answer)
        return await self._solver.solve(video.frames[number].path, face, said.evidence, said.hidden)

    async def _frame_face(self, request: Request, video: TrackedVideo) -> tuple[int, AnnotatedFace]:
        number = request.path_params["frame"]
        if not await video.has(number) or number >= len(video.answers):
            raise MissingError("there is no such frame yet")
        document = await asyncio.to_thread(self._project.folder.load, request.path_params["name"])
        found = video.answers[number]
        face = None if found is None else _face_of(found, document.frames.get(number, FrameEvidence()))
        if face is None:
            raise MissingError("there is no face in this frame")
        return number, face

    def _through(self, item: Item, video: TrackedVideo, document: Document) -> None:
        """Have the whole video answered anew, and keep that."""

        async def run() -> None:
            await video.track(document.frames, document.revision)
            track = video.answered()
            if track is not None and video.revision == document.revision:
                await asyncio.to_thread(save_track, self._project.folder.path, document, track)

        task = asyncio.ensure_future(run())
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def _video(self, request: Request) -> tuple[Item, TrackedVideo]:
        item = self._project.items.get(request.path_params["name"])
        if item is None or not item.video:
            raise MissingError("there is no such video")
        async with self._opening:
            found = self._open.get(item.name)
            if found is None:
                found = await self._opened(item)
        return item, found

    async def _opened(self, item: Item) -> TrackedVideo:
        while len(self._open) >= _MOST_OPEN:
            await self._open.pop(next(iter(self._open))).close()
        video = self._open[item.name] = TrackedVideo(item.path, self._link)
        document = await asyncio.to_thread(self._project.folder.load, item.name)
        kept = await asyncio.to_thread(load_track, self._project.folder.path, item.name)
        if kept is not None and kept.revision == document.revision:
            video.adopt(kept)
            video.begin()
        else:
            self._through(item, video, document)
        return video


def _box(answer: FrameAnswer) -> Box:
    if answer.answer is None:
        raise MissingError("there is no face in this frame")
    return box_of(answer.answer.box)


def _face_of(answer: FrameAnswer, said: FrameEvidence) -> AnnotatedFace | None:
    if answer.answer is None:
        return None
    return AnnotatedFace(1, _box(answer), said.evidence, said.hidden, answer.answer)
