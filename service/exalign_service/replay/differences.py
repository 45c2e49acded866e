"""Where two messages differ first."""

from __future__ import annotations

import struct
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

#: Characters shown of a value.
_SHOWN = 60


def first_difference(here: Message, there: Message, path: str = "") -> str | None:
    """The first field, in the order of the contract, of which two messages of one kind have other values.

    Args:
        here: a message.
        there: another.
        path: where they stand.

    Returns:
        "PATH is VALUE, was VALUE"; None where all bits are the same.
    """
    fields: Any = here.DESCRIPTOR.fields  # the stubs name two kinds of descriptors
    for field in sorted(fields, key=lambda one: one.number):
        at = f"{path}.{field.name}" if path else field.name
        ours, theirs = _values(here, field), _values(there, field)
        for i, (one, other) in enumerate(zip(ours, theirs, strict=False)):
            found = _difference(one, other, f"{at}[{i}]" if field.is_repeated else at)
            if found is not None:
                return found
        if len(ours) != len(theirs):
            if field.is_repeated:
                return f"{at} has {len(ours)} values, had {len(theirs)}"
            return f"{at} is {'there' if ours else 'not there'}, was {'there' if theirs else 'not there'}"
    return None


def _values(message: Message, field: FieldDescriptor) -> list[Any]:
    """All values of a field; of one that is not repeated one, or none where it is not there."""
    value = getattr(message, field.name)
    if field.is_repeated:
        return list(value)
    return [value] if not field.has_presence or message.HasField(field.name) else []


def _difference(here: Any, there: Any, path: str) -> str | None:
    if isinstance(here, Message):
        return first_difference(here, there, path)
    # 0 is not −0, and what is no number is not itself.
    same = struct.pack("<d", here) == struct.pack("<d", there) if isinstance(here, float) else here == there
    return None if same else f"{path} is {_shown(here)}, was {_shown(there)}"


def _shown(value: Any) -> str:
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
