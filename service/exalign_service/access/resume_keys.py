"""The keys that authenticate resume tokens: HMAC-SHA256, shared by whoever must take each other's tokens."""

from __future__ import annotations

import hmac
import re
import secrets
from pathlib import Path

from exalign_service.access.watched_files import ReloadObserver, WatchedFiles, read_file
from exalign_service.config.start_checks import StartError

#: Bytes of an authenticator: 128 bits, of 256 that the hash has.
MAC_BYTES = 16

_KEY_BYTES = 32

#: Keys of one file. The first one signs; the others are from before, and hold until their tokens are gone.
_MOST_KEYS = 4

#: The file is looked at so often, seconds.
_LOOK = 1.0

_KEY = re.compile(rf"(?:[0-9a-fA-F]{{2}}){{{_KEY_BYTES},}}")


class ResumeKeys:
    """Signs and verifies.

    Args:
        path: file of keys, read again when it changes; None: a random key, which ends with this process.
        observer: see `ReloadObserver`.

    Raises:
        StartError: the file cannot be used.
    """

    def __init__(self, path: Path | None, observer: ReloadObserver) -> None:
        self._own = (secrets.token_bytes(_KEY_BYTES),)
        self._files = None
        if path is not None:
            self._files = WatchedFiles("resume_keys", [path], lambda: read_resume_keys(path), observer, _LOOK)

    def sign(self, owner: str, data: bytes) -> bytes:
        """(16 bytes) what shows that the data are ours, and for this owner."""
        return _mac(self._keys()[0], owner, data)

    def verify(self, owner: str, data: bytes, mac: bytes) -> bool:
        """Whether `sign` has made this of the data for this owner, with one of the keys; in constant time."""
        good = False
        for key in self._keys():
            good |= hmac.compare_digest(_mac(key, owner, data), mac)
        return good

    def _keys(self) -> tuple[bytes, ...]:
        return self._own if self._files is None else self._files.current()


def read_resume_keys(path: Path) -> tuple[bytes, ...]:
    """Read the file: a key a line, in hex.

    Raises:
        StartError: it cannot be read, or holds no keys, or a line that is none; the error shows no part of it.
    """
    keys = []
    for number, text in enumerate(read_file("resume_keys", path).decode("utf-8", "replace").splitlines(), 1):
        text = text.strip()
        if not text or text.startswith("#"):
            continue
        if not _KEY.fullmatch(text):
            raise StartError(f"resume_keys is {str(path)!r}, line {number}: must be a key of 32 bytes or more, in hex")
        keys.append(bytes.fromhex(text))
    if not 0 < len(keys) <= _MOST_KEYS:
        raise StartError(f"resume_keys is {str(path)!r}, has {len(keys)} keys, must have 1 to {_MOST_KEYS}")
    return tuple(keys)


def _mac(key: bytes, owner: str, data: bytes) -> bytes:
    name = owner.encode("utf-8", "surrogatepass")
    return hmac.digest(key, len(name).to_bytes(4, "big") + name + data, "sha256")[:MAC_BYTES]
