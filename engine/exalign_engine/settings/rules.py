"""What a setting may be: rules that annotate the fields of a frozen dataclass."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Problem:
    """What is wrong with one setting, or with several that do not fit together.

    Attributes:
        names: of the settings.
        text: their values, and the limit.
        origin: where the values are from; empty for a configuration made by hand.
    """

    names: tuple[str, ...]
    text: str
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.text} (from {self.origin})" if self.origin else self.text


class ConfigError(Exception):
    """Settings are wrong. ``str(error)`` is one line for each: its name, value, limit and origin.

    Attributes:
        problems: at least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True)
class Rule:
    """What one setting may be.

    Args:
        help: one sentence; the unit is in it.
        least: smallest number.
        most: largest number.
        choices: the only values, or what gives them when asked.
        pattern: a regular expression that a text must match, and what that means in words.
        above: numbers must be larger than this.
        below: numbers must be smaller than this.
        test: another test, and what it means in words.
    """

    help: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] | Callable[[], tuple[str, ...]] | None = None
    pattern: tuple[str, str] | None = None
    above: float | None = None
    below: float | None = None
    test: tuple[Callable[[Any], bool], str] | None = None

    @property
    def values(self) -> tuple[str, ...]:
        """The only values; empty where there are others."""
        return self.choices() if callable(self.choices) else self.choices or ()

    @property
    def limit(self) -> str:
        """The limit in words, to follow "must be"; empty where there is none."""
        if self.choices is not None:
            return f"one of {', '.join(self.values)}"
        for rule in (self.pattern, self.test):
            if rule is not None:
                return rule[1]
        if self.least is not None and self.most is not None:
            return f"{self.least:,} to {self.most:,}"
        words = (("at least", self.least), ("at most", self.most), ("above", self.above), ("below", self.below))
        return " and ".join(f"{word} {number:,}" for word, number in words if number is not None)

    def accepts(self, value: object) -> bool:
        """Whether a value of the right type is within the limit; None (not set) always is."""
        if value is None:
            return True
        if self.choices is not None:
            return value in self.values
        if self.pattern is not None:
            return re.fullmatch(self.pattern[0], str(value)) is not None
        if self.test is not None:
            return self.test[0](value)
        bounds = (self.least, self.most, self.above, self.below)
        if all(bound is None for bound in bounds):
            return True
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max and self._within(value)

    def _within(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


@dataclass(frozen=True)
class Family:
    """A field that holds values by name: each of its members is a setting of its own.

    Attributes:
        members: for each member its key in the field, the setting's name and its rule. Asked each time, since what is
            registered elsewhere may add members.
    """

    members: Callable[[], Iterable[tuple[str, str, Rule]]]


def annotated_fields(section: type[Any]) -> dict[str, tuple[Any, Any]]:
    """Type and rule (or family) of every annotated field of a section, by name, in order."""
    hints = get_type_hints(section, include_extras=True)
    pairs = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Annotated}
    return {name: (kind, rule) for name, (kind, rule) in pairs.items()}


def check(section: Any) -> None:
    """Check a section that was made by hand.

    Raises:
        ConfigError: with every value that breaks its rule.
    """
    problems = []
    for name, (_, rule) in annotated_fields(type(section)).items():
        value = getattr(section, name)
        if isinstance(rule, Rule) and not rule.accepts(value):
            problems.append(Problem((name,), f"{name} is {value!r}, must be {rule.limit}"))
    if problems:
        raise ConfigError(problems)
