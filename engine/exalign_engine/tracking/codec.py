"""Frozen dataclasses to bytes and back: little-endian, every number exact, nothing executed on reading.

A field's annotation decides its form:

    bool, int, float     1, 8 (signed) and 8 bytes
    str, bytes           length, then UTF-8 or the bytes
    Enum                 1 byte, the member's place
    tuple[A, B]          the items;  tuple[A, ...]: their number first
    A | B | None         1 byte, the alternative's place, then its value
    NDArray[T]           number of axes, length of each, values in C order; T is float16, float32, float64 or int32
    dataclass            its fields in order; with `encode` and `decode` of its own: length, then what `encode` returns

A dataclass that says `WRITTEN_ONCE` keeps its bytes: states of one session after the other hold the same values.

A number of items or bytes is a varint: 7 bits a byte, the lowest first, the top bit set on all but the last.
"""

from __future__ import annotations

import math
import struct
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache, lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np

from exalign_engine.tracking.errors import StateError, StateReason

T = TypeVar("T")

#: Codes of `struct` for numbers, and of numpy for the values of arrays.
_NUMBERS: dict[Any, str] = {bool: "?", int: "q", float: "d"}
_ARRAYS: dict[Any, str] = {np.float16: "<f2", np.float32: "<f4", np.float64: "<f8", np.int32: "<i4"}

_BYTES = [bytes([i]) for i in range(256)]


def encode(kind: type[T], value: T) -> bytes:
    """A value as bytes.

    Raises:
        TypeError: an annotation has no form, or an array holds numbers that its annotation's would round.
    """
    parts: list[bytes] = []
    _form(kind).write(value, parts)
    return b"".join(parts)


def decode(kind: type[T], data: bytes, count: int) -> T:
    """What `encode` wrote; equal, and its arrays are copies.

    Args:
        kind: as it was encoded.
        data: all of it.
        count: K, which classes with a form of their own are decoded with.

    Raises:
        StateError: DAMAGED: the data end too early or too late.
        ValueError: the data hold what `encode` does not write.
    """
    reader = _ByteReader(data, count)
    value: T = _form(kind).read(reader)
    if reader.at != len(data):
        raise StateError(StateReason.DAMAGED, f"holds {len(data) - reader.at} bytes after its end")
    return value


def layout(kind: type) -> str:
    """The form of a class in one line; another form gives another line, other names do not."""
    return _form(kind).layout


class _ByteReader:
    """Bytes, and how far they have been read."""

    def __init__(self, data: bytes, count: int) -> None:
        self.data, self.count, self.at = data, count, 0

    def take(self, size: int) -> bytes:
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise StateError(StateReason.DAMAGED, f"ends after {len(self.data)} bytes, within a value")
        return self.data[start : self.at]

    def varint(self) -> int:
        value, shift = 0, 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7


def _varint(value: int) -> bytes:
    if value < 128:
        return _BYTES[value]
    found = bytearray()
    while value >= 128:
        found.append(128 | value & 127)
        value >>= 7
    found.append(value)
    return bytes(found)


@dataclass(frozen=True)
class _Form:
    """How values of one annotation are written and read.

    Attributes:
        layout: see `layout`.
        write: appends a value's bytes to a list.
        read: the next value of a reader.
    """

    layout: str
    write: Callable[[Any, list[bytes]], None]
    read: Callable[[_ByteReader], Any]


def _form(kind: Any) -> _Form:
    """The form of an annotation."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is None:
        return _class(kind)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments)
    if origin is tuple:
        return _sequence(arguments[0]) if arguments[-1] is Ellipsis else _record(tuple, arguments)
    if origin is np.ndarray:
        (scalar,) = typing.get_args(arguments[1])
        return _array(scalar)
    raise TypeError(f"{kind} has no form as bytes")


@cache
def _class(kind: Any) -> _Form:
    """The form of a class that is not generic."""
    if kind in _NUMBERS:
        return _number(_NUMBERS[kind])
    if kind is bytes:
        return _sized("b", bytes, bytes)
    if kind is str:
        return _sized("s", str.encode, bytes.decode)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        if hasattr(kind, "encode") and hasattr(kind, "decode"):
            return _own(kind)
        return _kept(_fields_of(kind)) if getattr(kind, "WRITTEN_ONCE", False) else _fields_of(kind)
    raise TypeError(f"{kind} has no form as bytes")


def _number(code: str) -> _Form:
    packed = struct.Struct(f"<{code}")

    def write(value: Any, parts: list[bytes]) -> None:
        parts.append(packed.pack(value))

    return _Form(code, write, lambda reader: packed.unpack(reader.take(packed.size))[0])


def _sized(code: str, to_bytes: Callable[[Any], bytes], from_bytes: Callable[[bytes], Any]) -> _Form:
    def write(value: Any, parts: list[bytes]) -> None:
        data = to_bytes(value)
        parts += _varint(len(data)), data

    return _Form(code, write, lambda reader: from_bytes(reader.take(reader.varint())))


def _own(kind: Any) -> _Form:
    def write(value: Any, parts: list[bytes]) -> None:
        data = value.encode()
        parts += _varint(len(data)), data

    return _Form("o", write, lambda reader: kind.decode(reader.take(reader.varint()), reader.count))


def _enum(kind: type[Enum]) -> _Form:
    members = tuple(kind)
    # By name: to hash a member takes ten times as long as to hash a string.
    places = {member.name: _BYTES[i] for i, member in enumerate(members)}

    def write(value: Any, parts: list[bytes]) -> None:
        parts.append(places[value._name_])

    return _Form(repr([m.value for m in members]), write, lambda reader: _at(members, reader))


def _at(choices: tuple[T, ...], reader: _ByteReader) -> T:
    """The choice whose place comes next."""
    (place,) = reader.take(1)
    if place >= len(choices):
        raise ValueError(f"{place} is none of {len(choices)} choices")
    return choices[place]


def _union(kinds: tuple[Any, ...]) -> _Form:
    nothing = _Form("-", lambda value, parts: None, lambda reader: None)
    forms = tuple(nothing if kind is type(None) else _form(kind) for kind in kinds)
    text = "(" + "|".join(form.layout for form in forms) + ")"
    if len(kinds) == 2 and type(None) in kinds:
        none = kinds.index(type(None))
        absent, present, some = _BYTES[none], _BYTES[1 - none], forms[1 - none].write

        def write(value: Any, parts: list[bytes]) -> None:
            if value is None:
                parts.append(absent)
            else:
                parts.append(present)
                some(value, parts)

        return _Form(text, write, lambda reader: _at(forms, reader).read(reader))
    if not all(isinstance(kind, type) and (is_dataclass(kind) or kind is type(None)) for kind in kinds):
        raise TypeError(f"alternatives must be dataclasses, not {kinds}")
    places = {kind: (_BYTES[i], form.write) for i, (kind, form) in enumerate(zip(kinds, forms, strict=True))}

    def write_one(value: Any, parts: list[bytes]) -> None:
        place, write = places[type(value)]
        parts.append(place)
        write(value, parts)

    return _Form(text, write_one, lambda reader: _at(forms, reader).read(reader))


def _sequence(kind: Any) -> _Form:
    form = _form(kind)
    write_one = form.write

    def write(value: Any, parts: list[bytes]) -> None:
        parts.append(_varint(len(value)))
        for item in value:
            write_one(item, parts)

    return _Form(f"[{form.layout}]", write, lambda reader: tuple([form.read(reader) for _ in range(reader.varint())]))


def _fields_of(kind: Any) -> _Form:
    """The form of a dataclass that has none of its own."""
    hints, names = typing.get_type_hints(kind), [f.name for f in fields(kind)]
    get = attrgetter(*names)
    # For one name it returns the value itself.
    items = get if len(names) > 1 else lambda value: (get(value),)
    return _record(lambda values: kind(*values), [hints[name] for name in names], items)


def _kept(form: _Form) -> _Form:
    """The form of a class whose values keep their bytes."""

    def write(value: Any, parts: list[bytes]) -> None:
        data = value.__dict__.get("_written")
        if data is None:
            own: list[bytes] = []
            form.write(value, own)
            data = value.__dict__["_written"] = b"".join(own)
        parts.append(data)

    return _Form(form.layout, write, form.read)


def _record(
    make: Callable[[list[Any]], Any], kinds: Sequence[Any], items: Callable[[Any], Sequence[Any]] | None = None
) -> _Form:
    """Values one after the other; numbers in a row are packed at once.

    Args:
        make: one object of all values.
        kinds: their annotations.
        items: the values of an object; None: it is a sequence of them.
    """
    forms = [_form(kind) for kind in kinds]
    steps: list[tuple[_Form, int | slice]] = []
    for alike, group in groupby(range(len(kinds)), lambda i: kinds[i] in _NUMBERS):
        run = list(group)
        if alike and len(run) > 1:
            steps.append((_numbers([kinds[i] for i in run]), slice(run[0], run[-1] + 1)))
        else:
            steps += [(forms[i], i) for i in run]
    writers = [(form.write, at) for form, at in steps]
    readers = [(form.read, isinstance(at, slice)) for form, at in steps]

    def write(value: Any, parts: list[bytes]) -> None:
        values = value if items is None else items(value)
        for write_one, at in writers:
            write_one(values[at], parts)

    def read(reader: _ByteReader) -> Any:
        values: list[Any] = []
        for read_one, several in readers:
            if several:
                values += read_one(reader)
            else:
                values.append(read_one(reader))
        return make(values)

    return _Form("{" + ",".join(form.layout for form in forms) + "}", write, read)


def _numbers(kinds: Sequence[Any]) -> _Form:
    """Several numbers as one."""
    code = "".join(_NUMBERS[kind] for kind in kinds)
    packed = struct.Struct(f"<{code}")

    def write(values: Any, parts: list[bytes]) -> None:
        parts.append(packed.pack(*values))

    return _Form(code, write, lambda reader: packed.unpack(reader.take(packed.size)))


def _array(scalar: Any) -> _Form:
    if scalar not in _ARRAYS:
        raise TypeError(f"arrays of {scalar} have no form as bytes")
    code = _ARRAYS[scalar]
    stored, own = np.dtype(code), np.dtype(scalar)

    def write(value: Any, parts: list[bytes]) -> None:
        if value.dtype != stored:
            if not np.can_cast(value.dtype, own, "safe"):
                raise TypeError(f"an array of {value.dtype} does not fit one of {own}")
            value = value.astype(stored)
        parts += _shape(value.shape), value.tobytes()

    def read(reader: _ByteReader) -> Any:
        (axes,) = reader.take(1)
        shape = [reader.varint() for _ in range(axes)]
        data = reader.take(stored.itemsize * math.prod(shape))
        return np.frombuffer(data, stored).astype(own).reshape(shape)

    return _Form(code, write, read)


@lru_cache(maxsize=256)
def _shape(shape: tuple[int, ...]) -> bytes:
    return _BYTES[len(shape)] + b"".join(map(_varint, shape))
