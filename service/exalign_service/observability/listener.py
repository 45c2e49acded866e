"""Accepts connections also where the process has no descriptor left: it keeps some in reserve."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from exalign_service.observability.logs import Seldom

_log = logging.getLogger(__name__)

#: Descriptors in reserve, each for one connection; and the longest wait for one to come back, seconds.
_RESERVE, _REFILL_EVERY = 4, 0.5

#: Connections at once; one more takes the place of the oldest.
MOST_CONNECTIONS = 64

#: Connections that wait to be accepted.
_BACKLOG = 100

#: What `accept` says where the process, or the machine, has no descriptor or no memory left.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """Listens on one address. For the event loop's thread.

    Args:
        connected: has a connection, non-blocking, until it returns.
        exhausted: called for each connection for which no descriptor is left, before it is accepted by the reserve.
    """

    def __init__(
        self, connected: Callable[[socket.socket], Awaitable[None]], exhausted: Callable[[], object] = lambda: None
    ) -> None:
        self._connected, self._on_exhausted = connected, exhausted
        self._sockets: list[socket.socket] = []
        #: Descriptors of the null device, the first of which stays.
        self._reserve: list[int] = []
        #: Those that are open, oldest first.
        self._connections: dict[asyncio.Task[None], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._exhausted = Seldom(1.0)

    async def start(self, host: str, port: int) -> int:
        """Listen.

        Args:
            host: name or address.
            port: 0 picks one.

        Returns:
            The port.

        Raises:
            OSError: the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        # Not in a thread of the loop's, to end which it starts another one: there may be no memory for that.
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                self._sockets.append(_listening(socket.AddressFamily(family), address))
        except OSError:
            await self.close()
            raise
        self._refill()
        for listening in self._sockets:
            loop.add_reader(listening, self._accept, listening)
        bound: int = self._sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening; what is being answered is finished, or cut where this is cancelled."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        for listening in self._sockets:
            loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()
        try:
            if self._connections:
                await asyncio.wait(self._connections)
        finally:
            for task in self._connections:
                task.cancel()
            while self._reserve:
                os.close(self._reserve.pop())

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_BACKLOG):
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as e:
                if e.errno not in _EXHAUSTED:
                    raise
                # One a turn: the system looks for a descriptor before it looks whether anybody is there.
                self._accept_by_reserve(listening, e)
                return
            self._serve(connection, reserved=False)

    def _accept_by_reserve(self, listening: socket.socket, error: OSError) -> None:
        """Accept one connection, for which a descriptor of the reserve is given up."""
        self._on_exhausted()
        if self._exhausted.due():
            fields = {"error": error.strerror, "left_out": self._exhausted.left_out}
            _log.error("no descriptor is left", extra={"fields": fields})
        if len(self._reserve) > 1:
            os.close(self._reserve.pop())
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                self._refill()
                return
            except OSError:  # another thread was faster
                pass
            else:
                self._serve(connection, reserved=True)
                return
        self._pause()

    def _serve(self, connection: socket.socket, *, reserved: bool) -> None:
        while len(self._connections) >= MOST_CONNECTIONS:
            oldest = next(iter(self._connections))
            oldest.cancel()
            del self._connections[oldest]
        connection.setblocking(False)
        task = asyncio.create_task(self._until_answered(connection))
        self._connections[task] = None
        # Not in the task itself: one that is cancelled before its turn never begins.
        task.add_done_callback(lambda done: self._release(done, connection, reserved=reserved))

    async def _until_answered(self, connection: socket.socket) -> None:
        await self._connected(connection)

    def _release(self, task: asyncio.Task[None], connection: socket.socket, *, reserved: bool) -> None:
        self._connections.pop(task, None)
        if reserved and self._reserve:
            # Never free meanwhile: another thread would take it.
            descriptor = connection.detach()
            os.dup2(self._reserve[0], descriptor, inheritable=False)
            self._reserve.append(descriptor)
        connection.close()

    def _refill(self) -> None:
        """Take back what the reserve lacks, as far as there is any."""
        with suppress(OSError):
            while len(self._reserve) <= _RESERVE:
                self._reserve.append(os.open(os.devnull, os.O_RDONLY))

    def _pause(self) -> None:
        """Accept nothing for a while: what waits would be seen again at once, and again."""
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.remove_reader(listening)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(_REFILL_EVERY, self._go_on)

    def _go_on(self) -> None:
        self._refill()
        for listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)


def _listening(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
