"""Enum values of a request."""

from __future__ import annotations

from google.protobuf.descriptor import EnumDescriptor

from exalign_engine.errors import Violations


def add_unknown_enum(violations: Violations, field: str, value: int, enum: EnumDescriptor) -> None:
    """Add that a field holds a number that its enum does not have, or that may not be sent."""
    names = enum.values_by_number
    shown = f"{names[value].name} ({value})" if value in names else str(value)
    wanted = ", ".join(entry.name for entry in enum.values if entry.number)
    violations.add(field, f"is {shown}, must be one of {wanted}")
