"""Implementations by name: what a new one is added to, and what those who choose one by name read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Named(Protocol):
    """Whatever has a name."""

    @property
    def name(self) -> str:
        """Of the implementation, unique in its registry."""


Spec = TypeVar("Spec", bound=Named)


class Registry(Generic[Spec]):
    """Specifications by name, in the order of registration. Not for changes from several threads at once."""

    def __init__(self) -> None:
        self._specs: dict[str, Spec] = {}

    def register(self, spec: Spec) -> None:
        """Add an implementation.

        Raises:
            ValueError: its name is taken.
        """
        if spec.name in self._specs:
            raise ValueError(f"{spec.name!r} is registered already")
        self._specs[spec.name] = spec

    def unregister(self, name: str) -> None:
        """Take an implementation out; one that is not there is none."""
        self._specs.pop(name, None)

    def get(self, name: str) -> Spec | None:
        """The specification of that name; None where there is none."""
        return self._specs.get(name)

    def names(self) -> tuple[str, ...]:
        """Every name, in order."""
        return tuple(self._specs)

    def __iter__(self) -> Iterator[Spec]:
        return iter(tuple(self._specs.values()))
