"""Whether video sessions are recorded, and what of them. By default nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from exalign_engine.settings import ConfigError, Problem, Rule, check

#: What the network gave and no picture; or the frames as they were sent.
FEATURES, ALL = "features", "all"


@dataclass(frozen=True)
class RecordingConfig:
    """Whether video sessions are recorded, and what of them.

    Raises:
        ConfigError: a setting is wrong, or says what to record and not where.
    """

    record_sessions: Annotated[
        Path | None, Rule("directory in which video sessions are recorded, a file each; not set: nothing is written")
    ] = None
    record: Annotated[
        str | None,
        Rule(
            "what of them: features (no picture; not set: these) or all (the frames as sent)", choices=(FEATURES, ALL)
        ),
    ] = None
    record_max_bytes: Annotated[
        int | None, Rule("most bytes of all recordings in that directory; not set: 1 GiB", least=1, most=2**50)
    ] = None

    def __post_init__(self) -> None:
        check(self)
        problems = list(self._incomplete())
        if problems:
            raise ConfigError(problems)

    @property
    def pictures(self) -> bool:
        """Whether frames are recorded as they were sent."""
        return self.record == ALL

    @property
    def max_bytes(self) -> int:
        """See ``record_max_bytes``."""
        return 2**30 if self.record_max_bytes is None else self.record_max_bytes

    def _incomplete(self) -> Iterator[Problem]:
        """Settings that stand without the directory."""
        for name in ("record", "record_max_bytes"):
            value = getattr(self, name)
            if value is not None and self.record_sessions is None:
                yield Problem((name, "record_sessions"), f"{name} is {value!r}, must not be without record_sessions")
