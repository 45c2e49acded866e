"""One decoder as the server sees it: started, given a picture, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence

import numpy as np

from exalign_engine.arrays import U8
from exalign_engine.errors import InvalidInputError, Violation
from exalign_service.decoding.wire import (
    LENGTH_BYTES,
    READY,
    TAKEN,
    Job,
    length_of,
    mapped,
    picture_memory,
)
from exalign_service.rpc.errors import DecoderUnavailableError
from exalign_service.scheduling.slices import DECODING, set_slice

#: How a decoder is started; the descriptor of its socket follows. -P: nothing is imported from the current directory.
COMMAND = (sys.executable, "-P", "-m", "exalign_service.decoding.worker")

#: Priority of decoders, as `nice` counts it: they get a tenth of a processor that the server wants too.
_NICE = 10


class JobNotTakenError(Exception):
    """The decoder ended before it had read the job: another one can do it."""


class DecoderDiedError(Exception):
    """The decoder ended while it decoded.

    Args:
        status: of its exit; negative: the signal that ended it.
    """

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the decoder ended with {status}")

    @property
    def out_of_time(self) -> bool:
        """Whether it was ended for the CPU time that it took."""
        return self.status == -signal.SIGPROF

    @property
    def how(self) -> str:
        """For people."""
        return signal.Signals(-self.status).name if self.status < 0 else f"exit code {self.status}"


class DecoderProcess:
    """A decoder. Made by `start`; for the event loop's thread, one job at a time."""

    def __init__(self, process: asyncio.subprocess.Process, connection: socket.socket) -> None:
        self._process, self._connection = process, connection

    @classmethod
    async def start(cls, command: Sequence[str] = COMMAND) -> DecoderProcess:
        """Start a process and wait until it can decode: a quarter of a second of CPU time.

        Raises:
            DecoderUnavailableError: it could not be started, or ended at once.
        """
        try:
            own, its = socket.socketpair()
        except OSError as e:
            raise DecoderUnavailableError(f"no decoder could be started: {e.strerror}") from e
        own.setblocking(False)
        started = None
        try:
            with its:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    str(its.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    pass_fds=(its.fileno(),),
                    env=_environment(),
                    # Ctrl-C in a terminal is for the server alone. But it is of the server's session: where the system
                    # shares processors out between sessions first, priorities say nothing from one to another.
                    process_group=0,
                )
            started = cls(process, own)
            with contextlib.suppress(OSError):  # it has ended, or this process has less priority already
                os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)  # from the start: it imports for 0.15 s
            set_slice(DECODING, process.pid)
            if await asyncio.get_running_loop().sock_recv(own, len(READY)) != READY:
                raise DecoderUnavailableError(f"a decoder ended at its start with {await process.wait()}")
        except BaseException as e:
            if started is None:
                own.close()
            else:
                started.kill()
            if isinstance(e, OSError | RuntimeError):  # the latter: no memory for the thread in which asyncio waits
                raise DecoderUnavailableError(f"no decoder could be started: {e}") from e
            raise
        return started

    @property
    def alive(self) -> bool:
        """Whether the process has not ended, as far as is known."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    async def decode(self, job: Job, data: bytes) -> U8:
        """Decode a picture. Where this is cancelled, the decoder must be killed.

        Args:
            job: what is planned.
            data: the file.

        Returns:
            (H, W, 3) uint8 RGB, upright; the memory is shared with the decoder, which writes there no more.

        Raises:
            InvalidInputError: it cannot be decoded.
            JobNotTakenError: see there.
            DecoderDiedError: see there.
            DecoderUnavailableError: there is no memory, or no descriptor, for the picture.
        """
        loop = asyncio.get_running_loop()
        try:
            descriptor = picture_memory(job.picture_bytes)
        except OSError as e:
            raise DecoderUnavailableError(f"there is no memory for a picture: {e.strerror}") from e
        try:
            # A socket with nothing in it takes so few bytes at once.
            socket.send_fds(self._connection, [job.packed()], [descriptor])
            await loop.sock_sendall(self._connection, data)
            if await loop.sock_recv(self._connection, len(TAKEN)) != TAKEN:
                raise JobNotTakenError
            memory = mapped(descriptor, job.picture_bytes)
        except OSError:
            raise JobNotTakenError from None
        finally:
            os.close(descriptor)
        answer = json.loads(await self._received(length_of(await self._received(LENGTH_BYTES))))
        if "violations" in answer:
            raise InvalidInputError(Violation(*fields) for fields in answer["violations"])
        height, width = answer["shape"][:2]
        return np.frombuffer(memory, np.uint8).reshape(height, width, 3)

    def close(self) -> None:
        """Let the process end; it does so at once where it has no job."""
        self._connection.close()

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.close()
        if self.alive:
            self._process.kill()

    async def ended(self) -> int:
        """The exit status, once it has ended."""
        return await self._process.wait()

    async def _received(self, size: int) -> bytes:
        """Exactly so many bytes."""
        parts = bytearray()
        while len(parts) < size:
            try:
                part = await asyncio.get_running_loop().sock_recv(self._connection, size - len(parts))
            except OSError:
                part = b""
            if not part:
                raise DecoderDiedError(await self.ended())
            parts += part
        return bytes(parts)


def _environment() -> dict[str, str]:
    """This process's, with the packages where it found them, and without threads that a decoder does not need."""
    path = os.pathsep.join(part for part in sys.path if part)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
