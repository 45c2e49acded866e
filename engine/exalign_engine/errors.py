"""Every error that the engine raises on purpose.

    ExalignError
    ├── InvalidInputError     what the caller gave is wrong: one or more named fields
    ├── DataError             a training or evaluation file is wrong: path and line
    ├── BundleError           a model bundle is missing, damaged or inconsistent: file and field
    └── RuntimeUnavailableError   the chosen runtime cannot work on this machine

Anything else that leaves the engine is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


class ExalignError(Exception):
    """Base of all errors raised on purpose. ``str(error)`` is one line fit for a terminal."""


@dataclass(frozen=True)
class Violation:
    """One wrong field: its path in the request, and a sentence with the value and the limit."""

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}"


class InvalidInputError(ExalignError):
    """The caller's input is wrong. Carries *every* wrong field found, not only the first.

    Args:
        violations: at least one.
    """

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        if not self.violations:
            raise ValueError("InvalidInputError needs at least one violation")
        super().__init__("; ".join(str(v) for v in self.violations))

    @classmethod
    def of(cls, field: str, description: str) -> InvalidInputError:
        """The common case of one wrong field."""
        return cls([Violation(field, description)])

    def below(self, path: str) -> InvalidInputError:
        """The same error, with every field below a path."""
        violations = Violations(path)
        violations.extend(self.violations)
        return InvalidInputError(violations)


class Violations:
    """Collects every wrong field of one input, so that one error names them all.

    `at` gives the same collection one level down: what is added there is found here too, in the order in which it was
    added. Nobody has to pass paths along.

    Args:
        path: where fields added here stand, such as "boxes[0]"; empty: at the top.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._found: list[Violation] = []

    @property
    def path(self) -> str:
        """Where fields added here stand."""
        return self._path

    def at(self, field: str) -> Violations:
        """The part of this collection below a field, such as "boxes", or an element, such as "[0]"."""
        below = Violations(self._join(field))
        below._found = self._found
        return below

    def add(self, field: str, description: str) -> None:
        """Add one wrong field.

        Args:
            field: below this path; empty: the path itself.
            description: a sentence with the value and the limit.
        """
        self._found.append(Violation(self._join(field), description))

    def extend(self, violations: Iterable[Violation]) -> None:
        """Add violations whose fields stand below this path."""
        for violation in violations:
            self.add(violation.field, violation.description)

    def raise_if_any(self) -> None:
        """Raise unless nothing was added, here or anywhere else in the collection.

        Raises:
            InvalidInputError: every violation.
        """
        if self._found:
            raise InvalidInputError(self._found)

    def __len__(self) -> int:
        """How many there are, wherever they were added."""
        return len(self._found)

    def __iter__(self) -> Iterator[Violation]:
        """All of them, in the order in which they were added."""
        return iter(self._found)

    def _join(self, field: str) -> str:
        between = "." if self._path and field and not field.startswith("[") else ""
        return f"{self._path}{between}{field}"


class DataError(ExalignError):
    """A data file is wrong.

    Args:
        path: the file.
        problem: one sentence.
        line: 1-based line in a text file, or None.
    """

    def __init__(self, path: Path | str, problem: str, line: int | None = None) -> None:
        self.path, self.line, self.problem = Path(path), line, problem
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {problem}")


class BundleError(ExalignError):
    """A model bundle cannot be used.

    Args:
        path: the file in the bundle (or its directory).
        problem: one sentence that names the field and what was expected.
    """

    def __init__(self, path: Path | str, problem: str) -> None:
        self.path, self.problem = Path(path), problem
        super().__init__(f"bundle {path}: {problem}")


class RuntimeUnavailableError(ExalignError):
    """The chosen runtime cannot work here; the message says what is missing."""
