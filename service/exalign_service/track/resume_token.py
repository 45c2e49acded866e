"""The resume token: the point of a session from which another stream can go on.

It is opaque to callers. The checksum finds damage. The authenticator (`access.resume_keys`) shows that the token is
ours, and for this owner. The secret, one a session, tells it from an earlier one of the same name.

    "XT2" | len, session | secret (16) | epoch (u32) | frame (i64) | len, bundle id | state hash (16)
          | authenticator of all before (16) | checksum (8)
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace

from exalign_service.access.resume_keys import MAC_BYTES, ResumeKeys

_MAGIC = b"XT2"
_FIXED = struct.Struct(">16sIq")
_CHECKSUM_BYTES = 8

SECRET_BYTES = HASH_BYTES = 16

#: `ResumeToken.frame` before the first frame is answered.
NO_FRAME = -1


class DamagedTokenError(ValueError):
    """The bytes are not a token, or not all of one."""


@dataclass(frozen=True)
class ResumeToken:
    """Where a session stood.

    Attributes:
        session: its name.
        secret: (16 bytes) what only the tokens of that session hold.
        epoch: which of its streams gave the token.
        frame: newest frame answered; `NO_FRAME` before the first.
        bundle_id: which bundle answered.
        state_hash: `state_hash` of the engine's state after that frame.
        mac: (16 bytes) its authenticator.
    """

    session: str
    secret: bytes
    epoch: int
    frame: int
    bundle_id: str
    state_hash: bytes
    mac: bytes = bytes(MAC_BYTES)

    def signed(self, keys: ResumeKeys, owner: str) -> ResumeToken:
        """The same with its authenticator, for an owner (`Call.owner`)."""
        return replace(self, mac=keys.sign(owner, self._body()))

    def is_signed(self, keys: ResumeKeys, owner: str) -> bool:
        """Whether the authenticator is right."""
        return keys.verify(owner, self._body(), self.mac)

    def encode(self) -> bytes:
        """As it is sent."""
        body = self._body() + self.mac
        return body + _checksum(body)

    def _body(self) -> bytes:
        """All that is authenticated."""
        name, bundle = self.session.encode(), self.bundle_id.encode()
        return b"".join(
            (
                _MAGIC,
                bytes([len(name)]),
                name,
                _FIXED.pack(self.secret, self.epoch, self.frame),
                bytes([len(bundle)]),
                bundle,
                self.state_hash,
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> ResumeToken:
        """Back from what was sent.

        Raises:
            DamagedTokenError: one sentence names the fault.
        """
        body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
        if not body.startswith(_MAGIC):
            raise DamagedTokenError(f"has {len(data)} bytes, must be a token as this version of the server gives them")
        if _checksum(body) != checksum:
            raise DamagedTokenError("is damaged: its checksum does not match")
        try:
            at = len(_MAGIC)
            name, at = _text(body, at)
            secret, epoch, frame = _FIXED.unpack_from(body, at)
            bundle, at = _text(body, at + _FIXED.size)
        except (IndexError, struct.error, UnicodeDecodeError) as e:
            raise DamagedTokenError("is damaged: a part of it is missing") from e
        if len(body) - at != HASH_BYTES + MAC_BYTES:
            raise DamagedTokenError("is damaged: a part of it is missing")
        return cls(name, secret, epoch, frame, bundle, body[at:-MAC_BYTES], body[-MAC_BYTES:])


def state_hash(state: bytes) -> bytes:
    """(16 bytes) the hash of an encoded state, as tokens hold it."""
    return hashlib.sha256(state).digest()[:HASH_BYTES]


def _text(body: bytes, at: int) -> tuple[str, int]:
    """A text with its length before it, and where it ends."""
    end = at + 1 + body[at]
    return body[at + 1 : end].decode(), end


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:_CHECKSUM_BYTES]
