"""Every error that the engine raises on purpose.

    ExalignError
    ├── InvalidInputError     what the caller gave is wrong: one or more named fields
    ├── DataError             a training or evaluation file is wrong: path and line
    ├── BundleError           a model bundle is missing, damaged or inconsistent: file and field
    └── RuntimeUnavailableError   the chosen runtime cannot work on this machine

Anything else that leaves the engine is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
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
