"""The backend as an ASGI application: the calls that Label Studio makes of an ML backend."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from exalign_client import AsyncClient, ExalignClientError, HealthStatus, InvalidRequestError
from exalign_label_studio.answers import Answerer, Json, version_of
from exalign_label_studio.labels.context import ContextError, Drawn, drawn_in
from exalign_label_studio.labels.labeling import LabelingError, labeling_of
from exalign_label_studio.pictures import LabelStudio, PictureError, Pictures

_LOG = logging.getLogger("exalign_label_studio")

#: Seconds for asking the server whether it serves.
_HEALTH_SECONDS = 5.0


@dataclass(frozen=True)
class Bounds:
    """What Label Studio may take.

    Attributes:
        body_bytes: largest request.
        body_seconds: longest time for one to arrive.
        requests: most with a body that are in progress; one more is answered 503.
        tasks: most of one request.
        pictures: most that are fetched and asked about at once, of all requests.
    """

    body_bytes: int = 32 * 2**20
    body_seconds: float = 60.0
    requests: int = 16
    tasks: int = 1000
    pictures: int = 4


class _RefusedError(Exception):
    """A request is answered with a status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


def backend(
    client: Callable[[], AsyncClient], place: LabelStudio, *, password: str = "", bounds: Bounds | None = None
) -> Starlette:
    """The application.

    Args:
        client: makes the client of the server; called when the application starts.
        place: whose pictures are fetched.
        password: ``user:password`` that Label Studio must show (Basic); empty: none.
        bounds: what Label Studio may take.

    Raises:
        ValueError: the address of Label Studio is none.
    """
    place.base()
    here = _Backend(place, password, bounds or Bounds())

    @asynccontextmanager
    async def connected(app: Starlette) -> AsyncIterator[None]:
        pictures = Pictures(place)
        async with client() as here.client:
            here.pictures = pictures
            try:
                yield
            finally:
                await pictures.close()

    routes = [Route("/health", here.answering(here.health)), Route("/versions", here.answering(here.versions))]
    routes += [
        Route(path, here.answering(to), methods=["POST"])
        for path, to in (
            ("/setup", here.setup),
            ("/predict", here.predict),
            ("/train", _no_training),
            ("/webhook", here.webhook),
        )
    ]
    return Starlette(routes=routes, lifespan=connected, exception_handlers={HTTPException: _no_route})


class _Backend:
    """The calls."""

    client: AsyncClient
    pictures: Pictures

    def __init__(self, place: LabelStudio, password: str, bounds: Bounds) -> None:
        self._password, self._bounds = password.encode(), bounds
        self._in_progress, self._slots = 0, asyncio.Semaphore(bounds.pictures)

    def answering(self, call: Callable[[Request], Awaitable[Json]]) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint; what goes wrong becomes a status and a reason."""

        async def answer(request: Request) -> Response:
            if not self._is_known(request):
                return _failure(401, "user and password are asked for", {"WWW-Authenticate": "Basic"})
            counts = request.method == "POST"  # a backend that is busy is not ill
            if counts and self._in_progress >= self._bounds.requests:
                return _failure(503, "too many requests are in progress; try again", {"Retry-After": "1"})
            self._in_progress += counts
            try:
                return _Ascii(await call(request))
            except _RefusedError as refused:
                return _failure(refused.status, str(refused))
            except (LabelingError, ContextError) as error:
                return _failure(400, str(error))
            except PictureError as error:
                return _failure(422, str(error))
            except ExalignClientError as error:
                return _failure(422 if isinstance(error, InvalidRequestError) else 502, str(error))
            finally:
                self._in_progress -= counts

        return answer

    async def health(self, request: Request) -> Json:
        """Whether the server behind serves."""
        status = await self.client.health(timeout=_HEALTH_SECONDS)
        if status is not HealthStatus.SERVING:
            raise _RefusedError(503, f"the server is {status.value}")
        return {"status": "UP", "model_class": "Exalign"}

    async def setup(self, request: Request) -> Json:
        """Whether a project has places for what is predicted. The token that comes with it is not kept."""
        labeling_of((await self._body(request)).get("schema"))
        return {"model_version": await self._version()}

    async def versions(self, request: Request) -> Json:
        """The one model that answers."""
        return {"versions": [await self._version()]}

    async def predict(self, request: Request) -> Json:
        """Predictions of tasks; with a context, what follows from what a person has drawn."""
        body = await self._body(request)
        tasks, params = body.get("tasks"), body.get("params") or {}
        if not isinstance(tasks, list) or not 0 < len(tasks) <= self._bounds.tasks:
            raise _RefusedError(400, f"tasks must be a list of 1 to {self._bounds.tasks}")
        answerer = Answerer(self.client, labeling_of(body.get("label_config")))
        context = params.get("context") if isinstance(params, dict) else None
        drawn = drawn_in(context, answerer.labeling) if isinstance(context, dict) and context else None
        if len(tasks) == 1:
            return {"results": [await self._answer(answerer, tasks[0], drawn)]}
        answers = [asyncio.ensure_future(self._one_of_many(answerer, task, drawn)) for task in tasks]
        try:
            return {"results": await asyncio.gather(*answers)}
        finally:
            for answer in answers:
                answer.cancel()  # where one failed for all, the others are in vain

    async def webhook(self, request: Request) -> Json:
        """Events of the project, of which Label Studio tells every backend: all but the wish to train are let pass."""
        if (await self._body(request)).get("action") == "START_TRAINING":
            return await _no_training(request)
        return {}

    async def _one_of_many(self, answerer: Answerer, task: object, drawn: Drawn | None) -> Json | list[Json]:
        """A prediction, or an empty list: a picture that cannot be answered does not take those of others away."""
        try:
            return await self._answer(answerer, task, drawn)
        except (PictureError, InvalidRequestError) as error:
            name = task.get("id") if isinstance(task, dict) else None
            _LOG.warning("no prediction of task %r: %s", name, error)
            return []

    async def _answer(self, answerer: Answerer, task: object, drawn: Drawn | None) -> Json:
        data = task.get("data") if isinstance(task, dict) else None
        value = data.get(answerer.labeling.value) if isinstance(data, dict) else None
        if value is None:
            raise PictureError(f"the task's data have no {answerer.labeling.value!r}")
        async with self._slots:
            picture = await self.pictures.get(value)
            if drawn is not None and (drawn.points or drawn.rectangles):
                return await answerer.corrected(picture, drawn)
            return await answerer.predicted(picture)

    async def _version(self) -> str:
        return version_of((await self.client.model()).bundle_id)

    async def _body(self, request: Request) -> dict[str, Any]:
        # Only pages that a browser asks for permission can send this type: others are no callers.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise _RefusedError(415, "content-type must be application/json")
        body = bytearray()
        try:
            async with asyncio.timeout(self._bounds.body_seconds):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self._bounds.body_bytes:
                        raise _RefusedError(413, f"the request is larger than {self._bounds.body_bytes} bytes")
        except TimeoutError:
            raise _RefusedError(408, f"the request did not arrive within {self._bounds.body_seconds:g} s") from None
        except ClientDisconnect:
            raise _RefusedError(400, "the caller has gone") from None
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _RefusedError(400, f"the request is no JSON: {type(error).__name__}") from None
        if not isinstance(found, dict):
            raise _RefusedError(400, "the request must be a JSON object")
        return found

    def _is_known(self, request: Request) -> bool:
        if not self._password:
            return True
        kind, _, shown = request.headers.get("authorization", "").partition(" ")
        try:
            decoded = base64.b64decode(shown, validate=True)
        except (binascii.Error, ValueError):
            return False
        return kind.lower() == "basic" and hmac.compare_digest(decoded, self._password)


async def _no_training(request: Request) -> Json:
    raise _RefusedError(501, "this backend does not train: exalign-model does")


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _failure(status, f"there is no {request.method} {request.url.path}")


def _failure(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    return _Ascii({"error": reason}, status, headers)


class _Ascii(JSONResponse):
    """JSON in ASCII: ids that a request made up may hold half a character, which UTF-8 has no bytes for."""

    def render(self, content: object) -> bytes:
        """See `JSONResponse`."""
        return json.dumps(content, allow_nan=False).encode("ascii")
