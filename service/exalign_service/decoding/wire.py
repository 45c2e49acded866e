"""What the server and a decoder say to each other, over a pair of sockets: a length, JSON, and for a picture its file.

A job carries the descriptor of the memory into which the decoder writes the picture. The server makes that memory, of
the size that it has planned, and no decoder can change the size: what a decoder writes is pixels, and no more.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import struct
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from exalign_engine.arrays import U8
from exalign_engine.geometry.image_limits import ImageLimits

#: What a decoder says once it has been started, and once it has read a job.
READY, TAKEN = b"r", b"t"

#: <sys/mman.h> of Linux.
_MADV_REMOVE = 9

_LENGTH = struct.Struct(">I")

#: Bytes of the length in front of each message.
LENGTH_BYTES = _LENGTH.size


@dataclass(frozen=True)
class Job:
    """A picture to be decoded.

    Attributes:
        size: of its file, bytes, which follow.
        picture_bytes: of the memory for its pixels.
        peak_bytes: planned memory of decoding.
        cpu_seconds: CPU time after which the decoder is ended by the system.
        field: named in errors.
        limits: what is accepted.
    """

    size: int
    picture_bytes: int
    peak_bytes: int
    cpu_seconds: float
    field: str
    limits: ImageLimits

    def packed(self) -> bytes:
        """As a message."""
        return pack(asdict(self))

    @classmethod
    def unpacked(cls, body: bytes) -> Job:
        """From a message, without its length."""
        fields = json.loads(body)
        return cls(**{**fields, "limits": ImageLimits(**fields["limits"])})


def pack(message: dict[str, Any]) -> bytes:
    """A message with its length."""
    body = json.dumps(message).encode()
    return _LENGTH.pack(len(body)) + body


def length_of(prefix: bytes) -> int:
    """The length that a message's first bytes state."""
    (length,) = _LENGTH.unpack(prefix)
    return int(length)


def picture_memory(size: int) -> int:
    """The descriptor of new memory that two processes can map, of so many bytes.

    It is not in /dev/shm, which containers bound to 64 MB.
    """
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            return os.dup(file.fileno())
    descriptor = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    # Who reads memory that has been cut off behind its back dies of it.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return descriptor


def mapped(descriptor: int, size: int) -> mmap.mmap:
    """The memory behind a descriptor, which may be closed then."""
    return mmap.mmap(descriptor, size)


def empty(picture: U8) -> None:
    """Give back the memory of a picture that nobody looks at any more; where the system can, elsewhere nothing. Blocks.

    The last one who lets go of 40 megapixels would wait 25 ms for that otherwise, and that is the event loop.

    Args:
        picture: in `mapped` memory, from its beginning on; what is read of it afterwards is 0.
    """
    with suppress(AttributeError, OSError):
        where, size = ctypes.c_void_p(picture.ctypes.data), ctypes.c_size_t(picture.nbytes)
        ctypes.CDLL(None).madvise(where, size, _MADV_REMOVE)
