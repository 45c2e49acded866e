"""Answers as flat tables of leaves, and how two such tables differ."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Leaf: TypeAlias = "bool | int | float | str | Numbers | None"
Table: TypeAlias = dict[str, Leaf]


@dataclass(frozen=True, eq=False)
class Numbers:
    """An array: the hash of all of it, and evenly spaced numbers of it to show and to compare with.

    Attributes:
        sha256: of dtype, shape and bytes; its first half.
        dtype: its name.
        shape: of the whole array.
        stride: every so manieth number is kept, counted over the flat array.
        kept: those numbers.
    """

    sha256: str
    dtype: str
    shape: tuple[int, ...]
    stride: int
    kept: NDArray[Any]

    @classmethod
    def of(cls, array: NDArray[Any], keep: int) -> Numbers:
        """Of an array, keeping about so many numbers; an odd stride, so that x and y are both kept."""
        whole = np.ascontiguousarray(array)
        head = f"{whole.dtype.str} {whole.shape} ".encode()
        stride = math.ceil(whole.size / keep) if whole.size else 1
        stride += 1 - stride % 2
        digest = hashlib.sha256(head + whole.tobytes()).hexdigest()[:32]
        return cls(digest, whole.dtype.str, whole.shape, stride, whole.reshape(-1)[::stride].copy())


def flatten(value: object, *, leave_out: Collection[str] = (), keep: int = 1 << 20) -> Table:
    """An answer as leaves by their path.

    Args:
        value: dataclasses, mappings and lists of numbers, texts, enumerations, bytes and arrays.
        leave_out: fields of dataclasses that the clock or chance decides.
        keep: numbers kept of each array.

    Raises:
        TypeError: something in it is of no such kind.
    """
    table: Table = {}

    def walk(path: str, value: object) -> None:
        match value:
            case Enum():
                walk(path, value.value)
            case None | bool() | int() | str():
                table[path] = value
            case np.ndarray():
                table[path] = Numbers.of(value, keep)
            case np.generic():
                walk(path, value.item())
            case float():
                table[path] = value
            case bytes():
                table[path] = "sha256 " + hashlib.sha256(value).hexdigest()
            case Mapping():
                for key, item in value.items():
                    walk(f"{path}.{key}" if path else str(key), item)
            case tuple() | list():
                table[f"{path}.length"] = len(value)
                for i, item in enumerate(value):
                    walk(f"{path}[{i}]", item)
            case _ if is_dataclass(value) and not isinstance(value, type):
                names = [f.name for f in fields(value) if f.name not in leave_out]
                walk(path, {name: getattr(value, name) for name in names})
            case _:
                raise TypeError(f"{path} is a {type(value).__name__}")

    walk("", value)
    return table


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may be off: |now − then| ≤ absolute + relative · |then|."""

    relative: float
    absolute: float

    def holds(self, now: NDArray[Any], then: NDArray[Any]) -> NDArray[np.bool_]:
        """Which numbers are near enough."""
        return np.asarray(np.isclose(now, then, rtol=self.relative, atol=self.absolute, equal_nan=True))


def difference(now: Table, then: Table, tolerance: Tolerance | None = None) -> str | None:
    """What differs first, in words; None: nothing does.

    Args:
        now: computed.
        then: recorded.
        tolerance: None compares exactly.
    """
    for path in [*then, *(p for p in now if p not in then)]:
        if path not in now:
            return f"{path} is no longer there (was {_text(then[path])})"
        if path not in then:
            return f"{path} is new ({_text(now[path])})"
        found = _leaf_difference(now[path], then[path], tolerance)
        if found:
            return f"{path}{found}"
    return None


def _text(leaf: Leaf) -> str:
    return f"{leaf.dtype} {leaf.shape}" if isinstance(leaf, Numbers) else json.dumps(leaf)


def _leaf_difference(now: Leaf, then: Leaf, tolerance: Tolerance | None) -> str | None:
    if isinstance(now, Numbers) and isinstance(then, Numbers):
        return _numbers_difference(now, then, tolerance)
    if isinstance(now, float) and isinstance(then, float):
        same = _same(np.array([now]), np.array([then]), tolerance).all()
        return None if same else f" is {now!r}, was {then!r}"
    if type(now) is type(then) and now == then:
        return None
    return f" is {_text(now)}, was {_text(then)}"


def _same(now: NDArray[Any], then: NDArray[Any], tolerance: Tolerance | None) -> NDArray[np.bool_]:
    """Which numbers agree; exactly: bit for bit, so that −0.0 is not 0.0."""
    if tolerance is not None and now.dtype.kind == "f":
        return tolerance.holds(now, then)
    size = now.dtype.itemsize
    return np.asarray((now.view(np.uint8).reshape(-1, size) == then.view(np.uint8).reshape(-1, size)).all(axis=1))


def _numbers_difference(now: Numbers, then: Numbers, tolerance: Tolerance | None) -> str | None:
    if (now.dtype, now.shape, now.stride) != (then.dtype, then.shape, then.stride):
        return f" is {_text(now)}, was {_text(then)}"
    wrong = np.flatnonzero(~_same(now.kept, then.kept, tolerance))
    if len(wrong):
        first = int(wrong[0])
        place = ", ".join(map(str, np.unravel_index(first * now.stride, now.shape)))
        a, b = now.kept[first], then.kept[first]
        most = ""
        if now.dtype[1] == "f":
            off = np.abs(now.kept[wrong].astype(np.float64) - then.kept[wrong].astype(np.float64))
            most = f"; {len(wrong)} of {len(now.kept)} numbers kept differ, by at most {np.max(off):.3g}"
        return f"[{place}] is {a!r}, was {b!r}{most}"
    if tolerance is None and now.sha256 != then.sha256:
        return f" differs in numbers that are not kept: sha256 is {now.sha256[:12]}…, was {then.sha256[:12]}…"
    return None


def pack(tables: Mapping[str, Table]) -> tuple[dict[str, dict[str, Any]], dict[str, NDArray[Any]]]:
    """Tables as JSON, with the kept numbers of all arrays one after another, by dtype."""
    parts: dict[str, list[NDArray[Any]]] = {}
    sizes: dict[str, int] = {}
    packed: dict[str, dict[str, Any]] = {}
    for name, table in tables.items():
        packed[name] = {}
        for path, leaf in table.items():
            if not isinstance(leaf, Numbers):
                packed[name][path] = leaf
                continue
            start = sizes.get(leaf.dtype, 0)
            sizes[leaf.dtype] = start + len(leaf.kept)
            parts.setdefault(leaf.dtype, []).append(leaf.kept)
            packed[name][path] = [leaf.sha256, leaf.dtype, leaf.shape, leaf.stride, start]
    return packed, {dtype: np.concatenate(found) for dtype, found in parts.items()}


def unpack(packed: Mapping[str, Mapping[str, Any]], numbers: Mapping[str, NDArray[Any]]) -> dict[str, Table]:
    """Back from `pack`."""

    def leaf(value: Any) -> Leaf:
        if not isinstance(value, list):
            return value  # type: ignore[no-any-return]
        digest, dtype, shape, stride, start = value
        count = -(-math.prod(shape) // stride)
        return Numbers(digest, dtype, tuple(shape), stride, numbers[dtype][start : start + count])

    return {name: {path: leaf(value) for path, value in table.items()} for name, table in packed.items()}
