"""The connection to the model: a server that was named, or one in this process that loads while the page is there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress

import numpy as np

from exalign.cli_support import abandon_thread, first_line
from exalign_client.calls.aio import AsyncClient
from exalign_client.errors import ExalignClientError, UnavailableError
from exalign_client.requests.evidence import Click
from exalign_client.requests.views import HeatmapOptions, PoseOptions
from exalign_client.transport.channel import Encryption
from exalign_client.transport.in_process import answered_here
from exalign_client.transport.token import Token

#: Seconds that a question of the page waits for a model that is loading.
WAIT_SECONDS = 60.0

#: Seconds for one call, retries included.
CALL_SECONDS = 30.0


class ModelLink:
    """A client of the model, as soon as there is one. Lives in one event loop.

    Args:
        server: address; None: answers in this process.
        tls: how the connection is encrypted.
        token: for the server.
        say: told what the model in this process is doing, from any thread.
    """

    def __init__(
        self,
        server: str | None,
        *,
        tls: Encryption = False,
        token: Token | None = None,
        say: Callable[[str], None] = lambda doing: None,
    ) -> None:
        self._server, self._tls, self._token, self._say = server, tls, token, say
        self._ready = asyncio.Event()
        self._leaving = threading.Event()
        self._thread: threading.Thread | None = None
        self._client: AsyncClient | None = None
        self._warming: asyncio.Future[None] | None = None
        self._exemplars: int | None = None
        self._failure: str | None = None
        self.doing = "starting"

    @property
    def state(self) -> dict[str, str | None]:
        """For the page: whether questions can be answered, or what is being done, or why they never will."""
        if self._failure is not None:
            return {"state": "failed", "detail": self._failure}
        return {"state": "ready" if self._client else "loading", "detail": None if self._client else self.doing}

    async def start(self) -> None:
        """Connect; a model in this process loads in a thread of its own."""
        if self._server is not None:
            self._connected(self._server)
            return
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._load, args=(loop,), name="model", daemon=True)
        self._thread.start()

    async def client(self) -> AsyncClient:
        """The client, once there is one.

        Raises:
            UnavailableError: there is none within `WAIT_SECONDS`, or never will be.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            raise UnavailableError(f"the model is not there yet: {self.doing}") from None
        if self._client is None:
            raise UnavailableError(self._failure or "the model has gone")
        return self._client

    async def close(self) -> None:
        """Close the connection, and end what answers here."""
        if self._warming is not None:
            self._warming.cancel()
        if self._client is not None:
            await self._client.close()
        self._leaving.set()
        if self._thread is not None:
            if self._client is None and self._failure is None:
                abandon_thread()  # nobody waits until the model is loaded
            else:
                await asyncio.to_thread(self._thread.join, 10.0)

    def _connected(self, address: str) -> None:
        self._client = AsyncClient(address, tls=self._tls, token=self._token, timeout=CALL_SECONDS)
        if self._server is None:
            self._warming = asyncio.ensure_future(_warm_up(self._client))
        self._ready.set()

    async def exemplar_count(self) -> int:
        """K, the number of shapes that the model knows."""
        if self._exemplars is None:
            self._exemplars = (await (await self.client()).model()).exemplars
        return self._exemplars

    def _load(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            with ExitStack() as stack:
                address = stack.enter_context(answered_here(self._at))
                loop.call_soon_threadsafe(self._connected, address)
                self._leaving.wait()
        except (ExalignClientError, OSError) as error:
            text = first_line(error)
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._failed, text)

    def _at(self, doing: str) -> None:
        self.doing = doing
        self._say(doing)

    def _failed(self, text: str) -> None:
        self._failure = text
        self._say(f"the model cannot be had: {text}")
        self._ready.set()


async def _warm_up(client: AsyncClient) -> None:
    """Ask once what a person will ask: a model in this process compiles with the first call of each kind."""
    grey = np.full((64, 64, 3), 128, np.uint8)
    with suppress(ExalignClientError):
        found = (await client.predict(grey, [(8, 8, 56, 56)]))[0]
        if found.posterior_id is not None:
            solved = await client.condition(
                None, Click(30, 32, 34), posterior_id=found.posterior_id, pose=PoseOptions()
            )
            await client.suggest(posterior_id=solved.face.posterior_id or found.posterior_id, max_suggestions=1)
            await client.heatmaps(posterior_id=found.posterior_id, options=HeatmapOptions([30], encoding="uint8"))
