"""Tokens that somebody else signs: JWTs, verified with the public keys of a JWKS file. Needs the extra ``jwt``.

A token is good where its signature is one of the keys', it has not expired, and it is for this server: ``aud``. Its
holder is ``sub``; ``scope`` holds scopes with blanks between them, of which those that mean nothing here are ignored.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import jwt
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("token_jwks needs the extra 'jwt': pip install 'exalign[jwt]'") from missing

from exalign_service.access.holder import BadTokenError, Holder
from exalign_service.access.scopes import SCOPES
from exalign_service.access.watched_files import read_file
from exalign_service.config.start_checks import StartError

#: Signatures of a private key alone: with a secret that both sides have, whoever verifies can also sign.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

#: Two clocks may be so far apart, seconds.
_LEEWAY = 10.0

#: Verified tokens that are remembered: a signature costs more than all else about access.
_REMEMBERED = 1024

#: The longest `sub` that names a caller, characters.
_LONGEST_NAME = 256


class JwtTokens:
    """The keys of one version of the file. For one thread.

    Args:
        keys: with their algorithms, by key id.
        audience: a token must be for it.
        issuer: who must have made it; None: whoever has a key.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        keys: dict[str | None, jwt.PyJWK],
        audience: str,
        issuer: str | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys, self._audience, self._issuer, self._clock = keys, audience, issuer, clock
        #: Holders by the hash of their token.
        self._verified: dict[bytes, Holder] = {}

    def holder(self, token: str) -> Holder:
        """Whose token it is.

        Raises:
            BadTokenError: nobody's.
        """
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is None:
            known = self._verify(token)
            if len(self._verified) >= _REMEMBERED:
                del self._verified[next(iter(self._verified))]
            self._verified[digest] = known
        elif known.expires + _LEEWAY <= self._clock():
            del self._verified[digest]
            raise BadTokenError("expired")
        return known

    def _verify(self, token: str) -> Holder:
        try:
            claims = self._claims(token)
        except jwt.ExpiredSignatureError:
            raise BadTokenError("expired") from None
        except (jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError):
            raise BadTokenError("not_yet_valid") from None
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
            raise BadTokenError("forged") from None
        except (jwt.InvalidAudienceError, jwt.InvalidIssuerError, jwt.MissingRequiredClaimError):
            raise BadTokenError("claims") from None
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError):
            raise BadTokenError("malformed") from None
        subject, scope = claims["sub"], claims.get("scope", "")
        named = isinstance(subject, str) and 0 < len(subject) <= _LONGEST_NAME and subject.isprintable()
        if not named or not isinstance(scope, str):
            raise BadTokenError("claims")
        return Holder(f"jwt:{subject}", frozenset(scope.split()) & frozenset(SCOPES), float(claims["exp"]))

    def _claims(self, token: str) -> dict[str, Any]:
        key_id = jwt.get_unverified_header(token).get("kid")
        key = self._keys.get(key_id)
        if key is None and key_id is None and len(self._keys) == 1:
            (key,) = self._keys.values()
        if key is None:
            raise BadTokenError("unknown")
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm_name],  # never the token's own word for it
            audience=self._audience,
            issuer=self._issuer,
            leeway=_LEEWAY,
            options={"require": ["exp", "sub", "aud"]},
        )
        return claims


def read_jwks(path: Path, audience: str, issuer: str | None) -> JwtTokens:
    """Read the file.

    Raises:
        StartError: it cannot be read, is no set of keys, or one of them is not public.
    """
    about = f"token_jwks is {str(path)!r}"
    try:
        found = jwt.PyJWKSet.from_json(read_file("token_jwks", path).decode()).keys
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError) as e:
        raise StartError(f"{about}, must be a JSON Web Key Set with keys that can be used") from e
    keys: dict[str | None, jwt.PyJWK] = {}
    for key in found:
        if key.public_key_use == "enc":
            continue
        if key.algorithm_name not in ALGORITHMS:
            raise StartError(f"{about}, has a key for {key.algorithm_name}, must be for {', '.join(ALGORITHMS)}")
        if hasattr(key.key, "private_bytes"):
            raise StartError(f"{about}, has a private key, must have public ones alone")
        if key.key_id in keys:
            raise StartError(f"{about}, has two keys with one id, or without any")
        keys[key.key_id] = key
    if not keys:
        raise StartError(f"{about}, must have a key")
    return JwtTokens(keys, audience, issuer)
