"""Tokens of the server's own: a file holds a line for each, with a salted hash and never the token.

    exalign_ID_SECRET                                          the token; the secret has 256 random bits
    ID NAME SCOPES EXPIRES SALT HASH                           its line

A fast hash is enough: nobody tries 2^256 secrets.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from exalign_service.access.holder import BadTokenError, Holder
from exalign_service.access.scopes import SCOPES
from exalign_service.access.watched_files import read_file
from exalign_service.config.start_checks import StartError

PREFIX = "exalign_"

#: What a holder may be called.
NAME = re.compile(r"[A-Za-z0-9_.@:/-]{1,64}")

_TOKEN = re.compile(r"exalign_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
_LINE = re.compile(
    r"(?P<id>[0-9a-f]{16}) (?P<name>\S+) (?P<scopes>\S+) (?P<expires>\S+) (?P<salt>[0-9a-f]{32}) (?P<hash>[0-9a-f]{64})"
)
_NEVER = "never"


@dataclass(frozen=True)
class TokenLine:
    """One line of the file.

    Attributes:
        token_id: the part of the token that finds the line.
        holder: whose token it is.
        salt: (16 bytes) random.
        digest: (32 bytes) SHA-256 of salt and token.
    """

    token_id: str
    holder: Holder
    salt: bytes
    digest: bytes

    def __str__(self) -> str:
        name = self.holder.name.partition(":")[2]
        scopes = ",".join(sorted(self.holder.scopes, key=SCOPES.index))
        ends = self.holder.expires
        expires = _NEVER if math.isinf(ends) else datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{self.token_id} {name} {scopes} {expires} {self.salt.hex()} {self.digest.hex()}"


#: Compared with where no line has the token's id, so that both take as long.
_NOBODY = TokenLine("", Holder("", frozenset()), bytes(16), bytes(32))


def new_token(name: str, scopes: frozenset[str], expires: float = math.inf) -> tuple[str, TokenLine]:
    """A new token, and the line for the file.

    Args:
        name: matches `NAME`.
        scopes: some of `SCOPES`.
        expires: seconds since 1970; infinite: never.
    """
    token_id, salt = secrets.token_hex(8), secrets.token_bytes(16)
    token = f"{PREFIX}{token_id}_{secrets.token_urlsafe(32)}"
    return token, TokenLine(token_id, Holder(f"token:{name}", scopes, expires), salt, _digest(salt, token))


class StaticTokens:
    """The tokens of one version of the file.

    Args:
        lines: by id.
        clock: seconds since 1970.
    """

    def __init__(self, lines: Mapping[str, TokenLine], clock: Callable[[], float] = time.time) -> None:
        self._lines, self._clock = lines, clock

    def holder(self, token: str) -> Holder:
        """Whose token it is.

        Raises:
            BadTokenError: nobody's.
        """
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise BadTokenError("malformed")
        line = self._lines.get(match[1], _NOBODY)
        good = hmac.compare_digest(_digest(line.salt, token), line.digest)
        if line is _NOBODY:
            raise BadTokenError("unknown")
        if not good:
            raise BadTokenError("forged")
        if line.holder.expires <= self._clock():
            raise BadTokenError("expired")
        return line.holder


def read_tokens(path: Path) -> StaticTokens:
    """Read the file.

    Raises:
        StartError: it cannot be read, or a line is none; the error shows no part of the line.
    """
    lines: dict[str, TokenLine] = {}
    for number, text in enumerate(read_file("token_file", path).decode("utf-8", "replace").splitlines(), 1):
        text = text.strip()
        if not text or text.startswith("#"):
            continue
        try:
            line = _parse(text)
            if line.token_id in lines:
                raise ValueError("another line has its id")
        except ValueError as e:
            raise StartError(f"token_file is {str(path)!r}, line {number}: {e}") from None
        lines[line.token_id] = line
    return StaticTokens(lines)


def check_scopes(text: str) -> frozenset[str]:
    """Scopes with commas between them.

    Raises:
        ValueError: one is none.
    """
    scopes = frozenset(text.split(","))
    if not scopes <= frozenset(SCOPES):
        raise ValueError(f"scopes must be some of {','.join(SCOPES)}")
    return scopes


def parse_expiry(text: str) -> float:
    """A day or a moment of UTC as ISO 8601 writes it, or "never"; seconds since 1970.

    Raises:
        ValueError: it is neither.
    """
    if text == _NEVER:
        return math.inf
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError('expiry must be "never", or a day or moment as ISO 8601 writes it') from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parse(text: str) -> TokenLine:
    match = _LINE.fullmatch(text)
    if match is None or not NAME.fullmatch(match["name"]):
        raise ValueError("must be as `exalign-server token` writes it: ID NAME SCOPES EXPIRES SALT HASH")
    holder = Holder(f"token:{match['name']}", check_scopes(match["scopes"]), parse_expiry(match["expires"]))
    return TokenLine(match["id"], holder, bytes.fromhex(match["salt"]), bytes.fromhex(match["hash"]))


def _digest(salt: bytes, token: str) -> bytes:
    return hashlib.sha256(salt + token.encode()).digest()
