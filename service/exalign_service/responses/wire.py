"""Messages in their wire format, made of parts.

Writing a message of many megabytes holds up every thread for its time, and copying one into another does so twice. So
each face is written where it was made, in a thread, and what is around it is written about the bytes: in the wire
format, a message is its fields one after the other, and a field that holds a message is its number, its length and its
bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from exalign.v1 import face_pb2

#: From so many bytes on, an answer is put together in a thread: copying less takes no longer than the way there.
LARGE = 2**20

_LENGTH_DELIMITED = 2

#: A posterior id with its field, bytes.
_POSTERIOR_ID = 26


@dataclass(frozen=True)
class WrittenFace:
    """A face in its wire format.

    Attributes:
        written: the parts of all of it but the posterior id.
        summary: what of it is counted: its presence.
    """

    written: list[bytes]
    summary: face_pb2.Face

    @classmethod
    def of(cls, face: face_pb2.Face, more: Sequence[bytes] = ()) -> WrittenFace:
        """Write a face.

        Args:
            face: all of it that is small.
            more: fields in their wire format that it has besides.
        """
        summary = face_pb2.Face(presence=face.presence if face.HasField("presence") else None)
        return cls([serialized(face), *more], summary)

    @property
    def size(self) -> int:
        """Bytes, with its posterior id."""
        return sum(map(len, self.written)) + _POSTERIOR_ID

    def parts(self, posterior_id: str) -> list[bytes]:
        """The parts of the face, with its posterior id."""
        return [*self.written, serialized(face_pb2.Face(posterior_id=posterior_id))]


def serialized(message: Message) -> bytes:
    """A message in its wire format, always the same for the same message."""
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def packed_floats(number: int, values: NDArray[np.floating]) -> bytes:
    """A repeated field of floats in its wire format; 32,400 of them from a list took 35 times as long.

    Args:
        number: of the field.
        values: any shape, in C order.
    """
    data = values.astype("<f4").tobytes()
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(data)) + data


def field_parts(kind: type[Message], name: str, parts: Sequence[bytes]) -> list[bytes]:
    """The parts of a field, one of its values where it is repeated.

    Args:
        kind: of the message that has the field.
        name: of the field, which holds a message or bytes.
        parts: of these, in order.
    """
    number = kind.DESCRIPTOR.fields_by_name[name].number
    return [_varint(number << 3 | _LENGTH_DELIMITED) + _varint(sum(map(len, parts))), *parts]


def message_parts(message: Message, repeated: str) -> list[bytes]:
    """The parts of a message, each value of one of its fields for itself; the field is empty after that.

    Args:
        message: written.
        repeated: name of the field, which holds messages.
    """
    parts: list[bytes] = []
    for value in getattr(message, repeated):
        parts += field_parts(type(message), repeated, [serialized(value)])
    message.ClearField(repeated)
    return [serialized(message), *parts]


def _varint(number: int) -> bytes:
    """A number in groups of seven bits, the least first."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
