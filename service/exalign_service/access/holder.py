"""Who has a token, and why a token is not good."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Why a call is denied: its caller is told none of these, the metric and the log are.
REASONS = ("missing", "malformed", "unknown", "forged", "expired", "not_yet_valid", "claims", "scope")


@dataclass(frozen=True)
class Holder:
    """Who has a token.

    Attributes:
        name: with what vouches for it before it, such as "token:alice".
        scopes: what the token allows.
        expires: seconds since 1970; infinite: never.
    """

    name: str
    scopes: frozenset[str]
    expires: float = math.inf


class BadTokenError(Exception):
    """A token is not good.

    Args:
        reason: one of `REASONS`.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
