"""A decoder: a process that decodes one picture after another, under a watch.

`python -m exalign_service.decoding.worker DESCRIPTOR`, with its end of a pair of sockets. It ends when the other end
is closed. The system ends it where a picture takes more CPU time than its job allows (SIGPROF, by its timer, which
needs nobody's help). It imports neither gRPC nor asyncio.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import signal
import socket
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import AvifImagePlugin, BmpImagePlugin, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin

from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.image import decode
from exalign_service.decoding.wire import LENGTH_BYTES, READY, TAKEN, Job, length_of, mapped, pack

#: Loaded here, so that no picture pays for it with its CPU time.
_READERS = (AvifImagePlugin, BmpImagePlugin, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin)

#: Memory that a job may take beside that of the idle process: this multiple of what is planned, and so many bytes.
_MEMORY_FACTOR, _MEMORY_BYTES = 2, 256 * 1024 * 1024


def main(descriptor: int) -> None:
    """Serve until the other end is closed."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    cv2.setNumThreads(1)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    idle_bytes = _data_bytes()
    with socket.socket(fileno=descriptor) as server:
        server.sendall(READY)
        # Closed or reset: in either case the server has gone.
        with contextlib.suppress(OSError):
            while _serve(server, idle_bytes):
                pass


def _serve(server: socket.socket, idle_bytes: int) -> bool:
    """Do one job; whether there was one."""
    prefix, descriptors, _, _ = socket.recv_fds(server, LENGTH_BYTES, 1)
    if not prefix:
        return False
    prefix += _received(server, LENGTH_BYTES - len(prefix))
    job = Job.unpacked(_received(server, length_of(prefix)))
    with mapped(descriptors[0], job.picture_bytes) as memory:
        os.close(descriptors[0])
        data = _received(server, job.size)
        server.sendall(TAKEN)
        server.sendall(pack(_decoded(data, job, memory, idle_bytes)))
    return True


def _decoded(data: bytes, job: Job, memory: mmap.mmap, idle_bytes: int) -> dict[str, object]:
    """Decode into the memory; what to answer."""
    _bound_memory(idle_bytes + _MEMORY_FACTOR * job.peak_bytes + _MEMORY_BYTES)
    signal.setitimer(signal.ITIMER_PROF, job.cpu_seconds)
    try:
        shape = decode(data, job.limits, field=job.field, into=np.frombuffer(memory, np.uint8)).shape
    except InvalidInputError as e:
        return {"violations": [(v.field, v.description) for v in e.violations]}
    except MemoryError:
        return {"violations": [(job.field, "takes more memory to decode than a picture of its size may")]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return {"shape": shape}


def _received(server: socket.socket, size: int) -> bytes:
    """Exactly so many bytes.

    Raises:
        ConnectionError: the other end was closed before.
    """
    parts = bytearray()
    while len(parts) < size:
        part = server.recv(size - len(parts))
        if not part:
            raise ConnectionError("the server has gone")
        parts += part
    return bytes(parts)


def _data_bytes() -> int:
    """Private memory of this process, as the system bounds it; 0 where that is not known."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:"))


def _bound_memory(size: int) -> None:
    """Let allocations beyond fail, where the system can: on Linux."""
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


if __name__ == "__main__":
    main(int(sys.argv[1]))
