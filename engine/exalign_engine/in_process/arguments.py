"""What callers of the aligner give, beside pictures: landmarks, evidence and frames, each checked and named."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, TypeVar

from exalign_engine.errors import InvalidInputError, Violation, Violations
from exalign_engine.evidence.evidence import Evidence, HardClick, PoseRange, RegionConstraint, SoftClick
from exalign_engine.geometry.landmarks import GROUPS, N_LANDMARKS, NAMES

#: One piece of evidence.
Constraint = HardClick | SoftClick | RegionConstraint | PoseRange

#: A landmark by name or 0-based number, or a group of them ("jaw", …, "all").
Landmark = str | int

ChoiceT = TypeVar("ChoiceT", bound=Enum)


def read_landmarks(landmarks: Iterable[Landmark], field: str = "landmarks") -> list[int]:
    """0-based numbers of landmarks and groups, each once, in the order first named.

    Raises:
        InvalidInputError: names every one that is wrong.
    """
    if isinstance(landmarks, str) or not isinstance(landmarks, Iterable):
        raise InvalidInputError.of(field, f"is {landmarks!r}, must be a list of names or numbers")
    found: dict[int, None] = {}
    wrong = Violations(field)
    for position, landmark in enumerate(landmarks):
        if isinstance(landmark, str) and landmark in ("all", *GROUPS):
            found.update(dict.fromkeys(GROUPS[landmark] if landmark in GROUPS else range(N_LANDMARKS)))
            continue
        number = NAMES.index(landmark) if isinstance(landmark, str) and landmark in NAMES else _whole(landmark)
        if number is None or not 0 <= number < N_LANDMARKS:
            limit = f"a name such as 'nose_tip', a group, or 0 to {N_LANDMARKS - 1}"
            wrong.at(f"[{position}]").add("", f"is {landmark!r}, must be {limit}")
        else:
            found[number] = None
    wrong.raise_if_any()
    return list(found)


def read_evidence(evidence: Evidence | Constraint | Iterable[Constraint]) -> Evidence:
    """Evidence as one set.

    Raises:
        InvalidInputError: names every part that is wrong.
    """
    if isinstance(evidence, Evidence):
        return evidence
    parts: Sequence[Any]
    if isinstance(evidence, Constraint):
        parts = [evidence]
    elif isinstance(evidence, Iterable):
        parts = list(evidence)
    else:
        raise InvalidInputError.of("evidence", f"is {evidence!r}, must be evidence or a list of constraints")
    wrong = [
        Violation(f"evidence[{i}]", f"is {part!r}, must be a click, a RegionConstraint or a PoseRange")
        for i, part in enumerate(parts)
        if not isinstance(part, Constraint)
    ]
    if wrong:
        raise InvalidInputError(wrong)
    try:
        return Evidence(
            clicks=tuple(p for p in parts if isinstance(p, HardClick | SoftClick)),
            regions=tuple(p for p in parts if isinstance(p, RegionConstraint)),
            poses=tuple(p for p in parts if isinstance(p, PoseRange)),
        )
    except InvalidInputError as error:
        raise error.below("evidence") from None


def read_choice(value: str | ChoiceT, kind: type[ChoiceT], field: str) -> ChoiceT:
    """A member of an enumeration, by itself or by its value.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(member.value) for member in kind)
        raise InvalidInputError.of(field, f"is {value!r}, must be one of {known}") from None


def read_whole(value: int, field: str) -> int:
    """A whole number.

    Raises:
        InvalidInputError: it is none.
    """
    number = _whole(value)
    if number is None:
        raise InvalidInputError.of(field, f"is {value!r}, must be a whole number")
    return number


def read_numbers(values: Iterable[float], field: str) -> tuple[float, ...]:
    """Numbers.

    Raises:
        InvalidInputError: they are none.
    """
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise InvalidInputError.of(field, f"is {values!r}, must be a list of numbers") from None


def _whole(value: object) -> int | None:
    try:
        return operator.index(value)  # type: ignore[arg-type]  # finding out is the point
    except TypeError:
        return None
