"""Names that are no settings: misspelt ones, those of others, and those that settings had before."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from exalign_engine.settings.rules import Problem

#: What Kubernetes and Docker set for the other containers beside a service: its host and its ports.
_OF_PLATFORMS = re.compile(r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")

#: From this likeness on a name is taken for another one misspelt (`difflib`, 0 to 1).
_MISSPELT = 0.8


@dataclass(frozen=True)
class UnknownVariable:
    """A variable of the environment that begins as ours and is none.

    Attributes:
        name: of the variable.
        nearest: the one of ours that it is most like.
        misspelt: whether it is so like it that it must be meant.
    """

    name: str
    nearest: str
    misspelt: bool


def unknown_variables(
    environ: Mapping[str, str], prefix: str, known: Collection[str], former: Collection[str]
) -> list[UnknownVariable]:
    """Variables that begin as ours and are none.

    What platforms set by themselves beside a service of this name (``EXALIGN_SERVICE_HOST``) is left out.

    Args:
        environ: the process's environment.
        prefix: of our variables; where it is empty, none is ours.
        known: our variables.
        former: variables that were ours: `renamed_problems` names them.
    """
    if not prefix:
        return []
    names = [variable.removeprefix(prefix) for variable in known]
    found = []
    for variable in sorted(environ):
        name = variable.removeprefix(prefix)
        if name == variable or name in names or variable in former or _OF_PLATFORMS.fullmatch(name):
            continue
        (nearest,) = difflib.get_close_matches(name.upper(), names, 1, 0.0)
        alike = difflib.SequenceMatcher(None, name.upper(), nearest).ratio()
        found.append(UnknownVariable(variable, prefix + nearest, alike >= _MISSPELT))
    return found


def renamed_problems(
    renamed: Mapping[str, str], flags: Mapping[str, Any], environ: Mapping[str, str], prefix: str
) -> list[Problem]:
    """What was set by the name that a setting had before, on the command line or in the environment.

    Args:
        renamed: former names with today's.
        flags: text by name, None where the flag was not given.
        environ: the process's environment.
        prefix: of our variables; where it is empty, none is ours.
    """
    problems = []
    for old, new in renamed.items():
        if flags.get(old) is not None:
            flag, now = (f"--{name.replace('_', '-')}" for name in (old, new))
            problems.append(Problem((old,), f"{flag} is called {now} now", "command line"))
        variable, now = (prefix + name.upper() for name in (old, new))
        if prefix and variable in environ:
            problems.append(Problem((old,), f"{variable} is called {now} now", "environment"))
    return problems
