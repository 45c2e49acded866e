"""A server in a thread of its only caller's process. Registered in pyproject.toml as `exalign.local_answers.GROUP`.

Its answers are those of `exalign-server serve`: it is the same server, under the same settings. It warms nothing up
beforehand, for what is never called need not be compiled, and it has no metrics port.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace

from exalign.cli_support import abandon_thread, first_line
from exalign.local_answers import CannotAnswerError
from exalign_engine.errors import ExalignError
from exalign_service.startup.memory import hopeless_limit, lack_of_memory

#: The longest deadline of a call that a server may be set to, seconds: its caller sees what it is doing.
_MAX_DEADLINE = "3600"

#: Seconds that the thread is given to end with its block.
_END = 5.0


@contextmanager
def answer_here(address: str, say: Callable[[str], None]) -> Iterator[str]:
    """Answer in this process; see `exalign.local_answers.Answerer`.

    Raises:
        CannotAnswerError: a setting is wrong, the model cannot be loaded, or there is too little memory.
    """
    hopeless = hopeless_limit()
    if hopeless is not None:
        raise CannotAnswerError(hopeless)
    server = _ServerThread(address, say)
    server.start()
    try:
        yield server.wait()
    finally:
        server.end()


class _ServerThread(threading.Thread):
    """Runs the event loop of a server."""

    def __init__(self, address: str, say: Callable[[str], None]) -> None:
        # A caller that is interrupted while the model is loading must be able to leave.
        super().__init__(name="exalign server", daemon=True)
        self._address, self._say = address, say
        self._serving: Future[str] = Future()
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()

    def wait(self) -> str:
        """Its address, once it serves."""
        while True:
            try:
                # In slices: where threads wait for locks without end, Ctrl-C is seen late on some platforms.
                return self._serving.result(timeout=0.5)
            except TimeoutError:
                if self._serving.done():
                    raise

    def end(self) -> None:
        """Stop serving."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ending.set)
        if not self._serving.done():
            abandon_thread()  # nobody waits until the model is loaded
            return
        self.join(_END)

    def run(self) -> None:
        """Serve until the end."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except CannotAnswerError as error:
            self._fail(error)
        except ExalignError as error:
            self._fail(CannotAnswerError(lack_of_memory(error) or first_line(error)))
        except BaseException as error:  # noqa: BLE001  # a bug is raised where the caller waits
            lack = lack_of_memory(error)
            self._fail(error if lack is None else CannotAnswerError(lack))

    def _fail(self, error: BaseException) -> None:
        if not self._serving.done():
            self._serving.set_exception(error)

    async def _serve(self) -> None:
        self._say("loading the model")
        # Here, not with the module: these take seconds too.
        from exalign_service.config.schema import AccessConfig, ConfigError, RecordingConfig, TracesConfig
        from exalign_service.config.sources import SCHEMA
        from exalign_service.config.start_checks import StartError, check_start
        from exalign_service.server import Server

        flags = {
            "address": self._address,
            "metrics_address": "127.0.0.1:0",
            "max_deadline": _MAX_DEADLINE,
            "max_decode_seconds": _MAX_DEADLINE,
        }
        try:
            config = SCHEMA.load(flags, os.environ).config
            # Only this process knows the address, and what it is asked is nobody else's business.
            config = replace(config, access=AccessConfig(), traces=TracesConfig(), recording=RecordingConfig())
            check_start(config)
            server = Server(config, embedded=True)
            try:
                await server.start()
                self._serving.set_result(server.address)
                await self._ending.wait()
            finally:
                await server.stop(grace=0.0)
        except (ConfigError, StartError) as error:
            raise CannotAnswerError(first_line(error)) from error
