"""Messages changed by their own grammar: fields set, cleared, repeated, removed, and numbers at their borders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

#: Whole numbers that limits are made of, and what lies beside them.
WHOLE = (0, 1, -1, 2, 3, 7, 8, 9, 30, 31, 63, 64, 65, 67, 68, 69, 180, 181, 255, 256, 257, 1000, 2**31 - 1, -(2**31))
REAL = (0.0, -0.0, 0.5, 1.0, -1.0, 0.001, 1e-4, 1e-30, 10.0, 40.0, 180.0, -180.5, 1e6, 1.1e6, 3e38)
NO_REAL = (math.nan, math.inf, -math.inf)
TEXTS = ("", "a", "blazeface", "mtcnn", "x" * 65, "../../etc", "é\u202e", "A" * 24)

#: Most entries that one change adds to a repeated field.
MOST_ADDED = 70

_KIND = FieldDescriptor
_WHOLE_KINDS = {_KIND.TYPE_INT32, _KIND.TYPE_INT64, _KIND.TYPE_UINT32, _KIND.TYPE_UINT64, _KIND.TYPE_SINT32}
_LONG = {_KIND.TYPE_INT64, _KIND.TYPE_UINT64}
_UNSIGNED = {_KIND.TYPE_UINT32, _KIND.TYPE_UINT64}
_REAL_KINDS = {_KIND.TYPE_FLOAT, _KIND.TYPE_DOUBLE}


def change(message: Message, random: Random, blobs: Sequence[bytes] = (b"",)) -> None:
    """Change one thing in a message, somewhere in it.

    Args:
        message: is changed.
        random: decides.
        blobs: what its fields of bytes may hold.
    """
    descriptor = message.DESCRIPTOR
    if not descriptor.fields:
        return
    field = random.choice(descriptor.fields)
    if _is_map(field):
        if random.random() < 0.3:
            message.ClearField(field.name)
        return
    if field.is_repeated:
        _change_repeated(message, field, random, blobs)
    elif field.type == _KIND.TYPE_MESSAGE:
        if message.HasField(field.name) and random.random() < 0.25:
            message.ClearField(field.name)
        else:
            getattr(message, field.name).SetInParent()
            change(getattr(message, field.name), random, blobs)
    elif random.random() < 0.15:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, value_of(field, random, blobs))


def value_of(field: FieldDescriptor, random: Random, blobs: Sequence[bytes]) -> Any:
    """A value of a field that is no message."""
    if field.type in _WHOLE_KINDS:
        found = random.choice(WHOLE) if random.random() < 0.8 else random.randint(-(2**31), 2**31 - 1)
        if field.type in _LONG and random.random() < 0.1:
            found = random.choice((2**63 - 1, -(2**63)))
        return abs(found) % 2**32 if field.type in _UNSIGNED else found
    if field.type in _REAL_KINDS:
        if random.random() < 0.1:
            return random.choice(NO_REAL)
        return random.choice(REAL) if random.random() < 0.5 else random.uniform(-100.0, 100.0)
    if field.type == _KIND.TYPE_BOOL:
        return random.random() < 0.5
    if field.type == _KIND.TYPE_ENUM:
        return random.choice([*(v.number for v in field.enum_type.values), 99, -1])
    if field.type == _KIND.TYPE_STRING:
        return random.choice(TEXTS)
    return random.choice(blobs)


def _change_repeated(message: Message, field: FieldDescriptor, random: Random, blobs: Sequence[bytes]) -> None:
    entries = getattr(message, field.name)
    action = random.random()
    if entries and action < 0.25:
        del entries[random.randrange(len(entries))]
    elif entries and action < 0.55:
        place = random.randrange(len(entries))
        if field.type == _KIND.TYPE_MESSAGE:
            change(entries[place], random, blobs)
        else:
            entries[place] = value_of(field, random, blobs)
    else:
        for _ in range(1 if action < 0.95 else random.randint(2, MOST_ADDED)):
            if field.type == _KIND.TYPE_MESSAGE:
                change(entries.add(), random, blobs)
            else:
                entries.append(value_of(field, random, blobs))


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)
