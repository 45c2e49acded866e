"""Results as plain JSON values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_NOT_FINITE = "a number is not finite"


def json_form(value: object) -> Json:
    """Turn a result into values that ``json.dumps`` takes.

    Dataclasses become objects with their fields' names, arrays nested lists, enumerations their values. A
    float becomes the shortest decimal that gives the same number back in its own precision.

    Raises:
        TypeError: the value has no JSON form.
        ValueError: a number is not finite.
    """
    match value:
        case Enum():
            return json_form(value.value)
        case None | bool() | int() | str():
            return value
        case float():
            return _finite(float(value))
        case np.ndarray() if value.dtype == np.float32:
            return _decimals(value)
        case np.ndarray():
            return [json_form(item) for item in value]
        case np.floating():
            return _finite(float(str(value)))
        case np.integer():
            return int(value)
        case Mapping():
            return {str(key): json_form(item) for key, item in value.items()}
        case tuple() | list():
            return [json_form(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: json_form(getattr(value, name)) for name in _fields(type(value))}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _decimals(values: NDArray[np.float32]) -> Json:
    """All at once, by a library that has the shortest decimals of 32-bit floats: a face has hundreds of them."""
    if not np.isfinite(values).all():
        raise ValueError(_NOT_FINITE)
    if not values.ndim:
        return float(str(values))
    form: Json = orjson.loads(orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY))
    return form


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(_NOT_FINITE)
    return number


@cache
def _fields(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def float32_decimal(value: float) -> float:
    """A 32-bit float of the wire as the shortest decimal that names it: 0.99, not 0.9900000095367432."""
    return float(str(np.float32(value)))
