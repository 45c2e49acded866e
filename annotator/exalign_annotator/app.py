"""The page and what it asks, as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from exalign_annotator.project.project import Project
from exalign_annotator.solving.link import ModelLink
from exalign_annotator.web.answers import answered
from exalign_annotator.web.exports import Exports
from exalign_annotator.web.guard import Guard
from exalign_annotator.web.pictures import Pictures
from exalign_annotator.web.videos import Videos
from exalign_gateway.errors import failure


def annotator(project: Project, link: ModelLink, *, token: str | None = None, any_host: bool = False) -> Starlette:
    """The application. The model is asked for when it starts, and let go of when it ends.

    Args:
        project: what is labelled.
        link: to the model.
        token: that callers must show; None: none is needed.
        any_host: whether requests may name any host, which needs a token; else only this machine's own names.

    Raises:
        ValueError: any host, and no token.
    """

    pictures, videos, exports = Pictures(project, link), Videos(project, link), Exports(project)

    @asynccontextmanager
    async def connected(app: Starlette) -> AsyncIterator[None]:
        await link.start()
        try:
            yield
        finally:
            await videos.close()
            await link.close()

    static = Path(str(resources.files("exalign_annotator"))) / "static"

    async def page(request: Request) -> Response:
        return FileResponse(static / "index.html", headers={"Cache-Control": "no-cache"})

    async def icon(request: Request) -> Response:
        return FileResponse(static / "icon.svg")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/icon.svg", icon),
            *_routes(pictures, videos, exports),
            Mount("/assets", StaticFiles(directory=static / "assets", check_dir=False)),
        ],
        lifespan=connected,
        middleware=[Middleware(Guard, token=token, any_host=any_host)],
        exception_handlers={HTTPException: _no_route},
    )


def _routes(pictures: Pictures, videos: Videos, exports: Exports) -> list[Route]:
    """What the page asks."""
    item, face = "/api/items/{name}", "/api/items/{name}/faces/{face:int}"
    frame = "/api/items/{name}/frames/{frame:int}"
    return [
        Route(path, answered(endpoint), methods=[method])
        for method, path, endpoint in (
            ("GET", "/api/status", pictures.status),
            ("GET", "/api/project", pictures.project),
            ("POST", "/api/items", pictures.add),
            ("GET", f"{item}/picture", pictures.picture),
            ("POST", f"{item}/open", pictures.open),
            ("POST", f"{item}/lease", pictures.lease),
            ("POST", f"{item}/detect", pictures.detect),
            ("POST", f"{item}/done", pictures.done),
            ("POST", f"{item}/faces", pictures.draw),
            ("PUT", face, pictures.solve),
            ("DELETE", face, pictures.remove),
            ("GET", f"{face}/details", pictures.details),
            ("GET", f"{face}/heatmaps/{{landmark:int}}", pictures.heatmap),
            ("GET", f"{item}/timeline", videos.timeline),
            ("GET", f"{frame}/picture", videos.picture),
            ("GET", f"{frame}/face", videos.face),
            ("PUT", f"{frame}/face", videos.solve),
            ("GET", f"{frame}/details", videos.details),
            ("GET", f"{frame}/heatmaps/{{landmark:int}}", videos.heatmap),
            ("GET", "/api/export/{format}", exports.export),
        )
    ]


async def _no_route(request: Request, error: Exception) -> Response:
    """Nothing is at this path, or it is asked for otherwise."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return failure("not_found", f"there is no {request.method} {request.url.path}", status=status)
