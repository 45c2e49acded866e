"""The file of one recorded session: a header, and what happened after it, block by block.

    "exalrec2" | block, block, ...      block: length (u64) | CRC-32 (u32) | bytes

The first block is the header, as JSON. Blocks are only ever appended: whatever ends the writing leaves all before it
whole. The name of a file that more may be appended to ends in ``.part``.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

SUFFIX, PART = ".session", ".session.part"

MAGIC = b"exalrec2"

_BLOCK = struct.Struct("<QI")


class RecordingError(Exception):
    """A recording cannot be read or replayed: a line that follows its name."""


@dataclass(frozen=True)
class Header:
    """What must be known before a session can be replayed.

    Attributes:
        session: its name.
        began: when, UTC, ISO 8601.
        record: what of it is recorded, see `exalign_service.config.recording`.
        bundle: id of the bundle that answered.
        versions: of all that computes the answers, by name; replayed elsewhere they could differ.
        processor: that computed them, in words.
        config: the session's, without name and token: a serialized `TrackConfig`.
    """

    session: str
    began: str
    record: str
    bundle: str
    versions: Mapping[str, str]
    processor: str
    config: bytes

    def encode(self) -> bytes:
        """As JSON."""
        return json.dumps({**asdict(self), "config": base64.b64encode(self.config).decode()}).encode()

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """Back from `encode`.

        Raises:
            RecordingError: it is not what `encode` gives.
        """
        try:
            read = json.loads(data)
            config = base64.b64decode(read.pop("config"), validate=True)
            header = cls(**read, config=config)
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            raise RecordingError(f"has a damaged header: {e}") from e
        texts = (header.session, header.began, header.record, header.bundle, header.processor)
        if not all(isinstance(text, str) for text in texts) or not isinstance(header.versions, dict):
            raise RecordingError("has a damaged header: a field is of another type")
        return header


def block(data: bytes) -> bytes:
    """Data as they stand in the file."""
    return _BLOCK.pack(len(data), zlib.crc32(data)) + data


class SessionReader:
    """Reads a recording from its beginning.

    Args:
        path: the file.

    Attributes:
        header: its header.

    Raises:
        RecordingError: it is no recording.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise RecordingError("is no recording of a session, or one of another version")
            first = self._next(file, os.fstat(file.fileno()).st_size - len(MAGIC))
        if first is None:
            raise RecordingError("ends before its header does")
        self.header, self._start = Header.decode(first), len(MAGIC) + _BLOCK.size + len(first)

    def blocks(self) -> Iterator[bytes]:
        """What stands after the header; ends where the file is cut off.

        Raises:
            RecordingError: a block is damaged.
        """
        with self._path.open("rb") as file:
            left = os.fstat(file.fileno()).st_size - self._start
            file.seek(self._start)
            while (data := self._next(file, left)) is not None:
                left -= _BLOCK.size + len(data)
                yield data

    def _next(self, file: BinaryIO, left: int) -> bytes | None:
        """The next block; None where there is none, or not all of one.

        Args:
            file: where it begins.
            left: bytes of the file from there on.
        """
        head = file.read(_BLOCK.size)
        if len(head) < _BLOCK.size:
            return None
        length, checksum = _BLOCK.unpack(head)
        if length > left - _BLOCK.size:  # before memory for it is asked
            return None
        data = file.read(length)
        if zlib.crc32(data) != checksum:
            raise RecordingError(f"is damaged: a block of {length:,} bytes does not match its checksum")
        return data
