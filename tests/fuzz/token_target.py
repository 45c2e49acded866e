"""Whatever shows who somebody is, or that something is theirs -> the check: resume tokens, bearer tokens and JWTs.

    byte 0: 0 a resume token as it is; 1 one whose checksum is made to fit; 2 a bearer token, metadata as text

What nobody was given must never be taken: it is a find if it is.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from exalign_service.access.gate import Gate
from exalign_service.access.resume_keys import ResumeKeys
from exalign_service.access.static_tokens import new_token
from exalign_service.config.access import AccessConfig
from exalign_service.rpc.errors import AccessError, PreconditionError, SessionNotFoundError
from exalign_service.track.record import SessionRecord
from exalign_service.track.requests import TrackOptions
from exalign_service.track.resume_checks import check_record, check_token, session_gone
from exalign_service.track.resume_token import DamagedTokenError, ResumeToken, state_hash
from fuzz_target import BrokenPromiseError, Target

_AS_IT_IS, _FITTING, _BEARER = range(3)

METHOD = "exalign.v1.FaceAlignmentService/PredictLandmarks"
OWNER, OTHER = "token:alice", "token:bob"
AUDIENCE = "exalign"

#: Seconds since 1970: the keys are new each time, the claims are not.
_FAR = 4_000_000_000


class _Nobody:
    """Observers that count nothing."""

    def file_reloaded(self, what: str, *, good: bool) -> None:
        """See `ReloadObserver`."""

    def access_denied(self, reason: str) -> None:
        """See `AccessObserver`."""


class Fuzzed(Target):
    """See the module."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        nobody = _Nobody()
        keys = folder / "keys"
        keys.write_text("\n".join(hashlib.sha256(bytes([i])).hexdigest() for i in range(2)))
        self._keys = ResumeKeys(keys, nobody)
        state = b"state"
        self._record = SessionRecord(
            name="mine",
            secret=bytes(range(16)),
            bundle_id="b" * 64,
            config=b"config",
            state=state,
            state_hash=state_hash(state),
            epoch=2,
            frame=7,
            acked=5,
            owner=OWNER,
        )
        self._given = {owner: replace(self._record, owner=owner).token(self._keys) for owner in (OWNER, OTHER, "")}
        self._good = self._bearers(folder)
        config = AccessConfig(
            token_file=folder / "tokens", token_jwks=folder / "jwks", token_audience=AUDIENCE, insecure=True
        )
        self._gate = Gate(config, nobody)

    def seeds(self) -> Sequence[bytes]:
        tokens = [self._given[OWNER], replace(self._record, frame=9).token(self._keys), b"XT2"]
        found = [bytes([_AS_IT_IS]) + token for token in tokens]
        found += [bytes([_FITTING]) + token[:-8] for token in tokens]
        others = ("Bearer ", "Basic YTpi", "Bearer a.b.c", "bearer exalign_" + "0" * 16 + "_" + "A" * 43)
        return found + [bytes([_BEARER]) + text.encode() for text in (*self._good, *others)]

    def run(self, data: bytes) -> str:
        kind, content = (data[0] % 3, data[1:]) if data else (_AS_IT_IS, b"")
        if kind == _BEARER:
            return self._admit(content)
        if kind == _FITTING:
            content += hashlib.sha256(content).digest()[:8]
        return self._resume(content)

    def mutate(self, data: bytes, random: Random) -> bytes | None:
        """Parts of JWTs written anew, and tokens signed for others; mostly, bytes are changed."""
        if not data or random.random() < 0.7:
            return None
        if data[0] % 3 != _BEARER:
            owner = random.choice((OWNER, OTHER, ""))
            return bytes([random.randrange(2)]) + self._given[owner]
        header = {
            "alg": random.choice(("none", "HS256", "ES256", "RS256", "é")),
            "kid": random.choice(("k", "", 1, None)),
        }
        claims = {
            "sub": random.choice(("eve", "", 7, None)),
            "aud": AUDIENCE,
            "exp": random.choice((_FAR, "x", -1, 1e400)),
        }
        parts = [jwt.utils.base64url_encode(json.dumps(part).encode()).decode() for part in (header, claims)]
        signature = random.choice(("", "AAAA", self._good[1].rpartition(".")[2]))
        return bytes([_BEARER]) + f"Bearer {parts[0]}.{parts[1]}.{signature}".encode()

    def _resume(self, data: bytes) -> str:
        try:
            token = ResumeToken.decode(data)
        except DamagedTokenError:
            return "damaged"
        for owner, given in self._given.items():
            if token.is_signed(self._keys, owner) and data != given:
                known = replace(self._record, owner=owner, frame=9).token(self._keys)
                if data != known:
                    raise BrokenPromiseError(f"a token that was never given is good for {owner!r}")
        if not token.is_signed(self._keys, OWNER):
            session_gone(token)
            return "not ours"
        options: Any = None
        options = TrackOptions("mine", token, b"config", False, options, options, options, None)
        try:
            check_token(token, options)
            check_record(token, options, self._record)
        except (PreconditionError, SessionNotFoundError) as e:
            return f"refused {getattr(e, 'reason', 'gone')}"
        return "resumed"

    def _admit(self, content: bytes) -> str:
        try:  # as gRPC does it with metadata
            text = content.decode()
        except UnicodeDecodeError:
            text = content.decode("latin1")
        try:
            name = self._gate.admit(METHOD, [("authorization", text)])
        except AccessError as e:
            return f"denied {e.reason}"
        # What is signed decides: a signature can be written in several ways.
        _, _, token = text.partition(" ")
        if token.rpartition(".")[0] != self._good[1].partition(" ")[2].rpartition(".")[0] and token != self._static:
            raise BrokenPromiseError(f"a token that was never given is good for {name!r}")
        return "admitted"

    def _bearers(self, folder: Path) -> list[str]:
        """Good tokens of both kinds, with the files that say so."""
        token, line = new_token("alice", frozenset(("predict", "track")))
        (folder / "tokens").write_text(f"{line}\n")
        key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
        (folder / "jwks").write_text(json.dumps({"keys": [{**public, "kid": "k", "alg": "ES256", "use": "sig"}]}))
        claims = {"sub": "alice", "aud": AUDIENCE, "exp": _FAR, "iat": int(time.time()) - 60, "scope": "predict track"}
        signed = jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k"})
        self._static = token
        return [f"Bearer {token}", f"Bearer {signed}"]
