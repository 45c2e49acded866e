"""Whether a text that strangers see shows what is nobody's business: a path, a trace, an object as it prints itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Of a path, of Python's traces, and of objects as they print themselves.
GIVEN_AWAY = re.compile(
    rb"""(?<![\w.])/(?:[\w.-]+/)+[\w.-]*|\b\w+\.py\b|Traceback|File "|, line \d|\b0x[0-9a-f]{6,}|<\w+ object"""
)

#: Is in every status with details.
_TYPES = b"type.googleapis.com/"


def given_away(text: bytes, echoed: Iterable[bytes] = ()) -> bytes | None:
    """The first thing in a text that should not be there; None where there is none.

    Args:
        text: of an error, and its details as they are.
        echoed: what the caller has sent himself, and may see again.
    """
    for part in (_TYPES, *echoed):
        text = text.replace(part, b"")
    found = GIVEN_AWAY.search(text)
    return None if found is None else found[0]
