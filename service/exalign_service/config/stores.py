"""Where the state of video sessions is kept, so that another server can go on with them. By default in the process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from exalign_engine.settings import ConfigError, Problem, Rule, check

#: A result is sent only after the state behind it is in the store; or as soon as it is there.
BEFORE, AFTER = "before", "after"

_URL = (
    r"rediss?://([^\s:@/]+@)?(\[[0-9A-Fa-f:.%]+\]|[^\s:@/\[\]]+)(:\d{1,5})?(/\d{1,4})?|unix:/\S+",
    "redis://[USER@]HOST[:PORT][/NUMBER], rediss://... for TLS, or unix:/PATH, without a password",
)
_PREFIX = (r"[A-Za-z0-9._-]{1,64}", "1 to 64 letters, digits, points, lines and underscores")


@dataclass(frozen=True)
class StoreConfig:
    """Where the state of video sessions is kept.

    Raises:
        ConfigError: a setting is wrong, or stands without the store that it is about.
    """

    store: Annotated[
        str | None,
        Rule(
            "Redis or Valkey that keeps video sessions for all servers (extra redis); not set: each its own",
            pattern=_URL,
        ),
    ] = None
    store_prefix: Annotated[str | None, Rule("begins its keys; not set: exalign", pattern=_PREFIX)] = None
    store_password: Annotated[Path | None, Rule("file with its password")] = None
    store_ca: Annotated[Path | None, Rule("PEM file of the authorities that vouch for it; not set: the system's")] = (
        None
    )
    store_cert: Annotated[Path | None, Rule("PEM file of our certificate for it")] = None
    store_key: Annotated[Path | None, Rule("PEM file of the certificate's key")] = None
    durability: Annotated[
        str, Rule("whether a result is sent before or after its state is in the store", choices=(BEFORE, AFTER))
    ] = AFTER
    checkpoint_frames: Annotated[
        int, Rule("frames of a session after which its state goes to the store", least=1, most=1024)
    ] = 1
    checkpoint_interval: Annotated[
        float, Rule("longest time until then, where it is several frames, seconds", least=0.001, most=60.0)
    ] = 0.2
    store_timeout: Annotated[
        float, Rule("a store that does not answer for so long is away, seconds", least=0.01, most=60.0)
    ] = 1.0
    max_stored_bytes: Annotated[
        int, Rule("largest session that goes to the store, bytes; a larger one lives here alone", 1024, 2**29)
    ] = 32 * 1024 * 1024

    def __post_init__(self) -> None:
        check(self)
        problems = list(self._unfit())
        if problems:
            raise ConfigError(problems)

    @property
    def prefix(self) -> str:
        """See ``store_prefix``."""
        return "exalign" if self.store_prefix is None else self.store_prefix

    @property
    def host(self) -> str:
        """Whose certificate it must be, with TLS; for messages otherwise."""
        return urlsplit(self.store or "").hostname or "localhost"

    def _unfit(self) -> Iterator[Problem]:
        for name in ("store_prefix", "store_password", "store_ca", "store_cert", "store_key"):
            value = getattr(self, name)
            if value is not None and self.store is None:
                yield Problem((name, "store"), f"{name} is {str(value)!r}, must not be without store")
        for name in ("store_ca", "store_cert", "store_key"):
            if getattr(self, name) is not None and not re.match("rediss:", self.store or "rediss:"):
                yield Problem((name, "store"), f"{name} is set, must not be without rediss:// in store")
        if (self.store_cert is None) != (self.store_key is None):
            yield Problem(("store_cert", "store_key"), "store_cert and store_key: must be both set, or none")
        if self.durability == BEFORE and self.checkpoint_frames > 1:
            text = f"checkpoint_frames is {self.checkpoint_frames}, must be 1 with durability before"
            yield Problem(("checkpoint_frames", "durability"), text)
