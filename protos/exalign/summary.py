"""Answers in one line for people: arrays by type and shape, long sequences by their number. Standard library only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

#: Items of a sequence and numbers of an array that are shown one by one.
_ITEMS, _NUMBERS = 3, 6

#: Longest text that is shown whole.
_LETTERS = 40


def summarised(answer: object) -> str:
    """``__repr__`` of a dataclass of answers: its fields, each as `summary` has it."""
    fields = dataclasses.fields(answer)  # type: ignore[arg-type]  # only dataclasses have it
    shown = ", ".join(f"{field.name}={summary(getattr(answer, field.name))}" for field in fields if field.repr)
    return f"{type(answer).__name__}({shown})"


def summary(value: object) -> str:
    """A value in a few words: arrays as ``float32[68, 2]``, small ones and short sequences with what is in them."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return _array(value, tuple(shape), str(dtype))
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        return repr(value if len(value) <= _LETTERS else value[: _LETTERS - 1] + "…")
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, tuple | list):
        items = [summary(item) for item in value[:_ITEMS]]
        if len(value) > _ITEMS:
            items.append(f"… {len(value)} in all")
        return f"({', '.join(items)})" if isinstance(value, tuple) else f"[{', '.join(items)}]"
    if isinstance(value, Mapping):
        return f"{{{len(value)} entries}}" if len(value) > _ITEMS else repr(dict(value))
    return repr(value)


def _array(value: object, shape: tuple[int, ...], dtype: str) -> str:
    if len(shape) == 1 and shape[0] <= _NUMBERS:
        return f"[{', '.join(f'{number:.6g}' for number in value.tolist())}]"  # type: ignore[attr-defined]
    return f"{dtype}[{', '.join(map(str, shape))}]"
