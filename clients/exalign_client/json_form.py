"""Results as plain JSON values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias

import numpy as np

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def json_form(value: object) -> Json:
    """Turn a result into values that ``json.dumps`` takes.

    Dataclasses become objects with their fields' names, arrays nested lists, enumerations their values. A
    float becomes the shortest decimal that gives the same number back in its own precision.

    Raises:
        TypeError: the value has no JSON form.
    """
    match value:
        case Enum():
            return json_form(value.value)
        case None | bool() | int() | float() | str():
            return value
        case np.ndarray() if value.dtype == np.float32:
            # At once: a face has hundreds of them.
            decimals = np.array([float(str(number)) for number in value.ravel()]).reshape(value.shape)
            form: Json = decimals.tolist()
            return form
        case np.ndarray():
            return [json_form(item) for item in value]
        case np.floating():
            return float(str(value))
        case np.integer():
            return int(value)
        case Mapping():
            return {str(key): json_form(item) for key, item in value.items()}
        case tuple() | list():
            return [json_form(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_form(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def float32_decimal(value: float) -> float:
    """A 32-bit float of the wire as the shortest decimal that names it: 0.99, not 0.9900000095367432."""
    return float(str(np.float32(value)))
