"""A session's record as bytes: its head, its state, and each entry that may have to be sent again.

Nothing is compressed: docs/decisions/fleet.md has what that would save, and cost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from exalign_engine.tracking import StateError, StateReason, codec
from exalign_service.track.record import RetainedAnswer, SessionRecord
from exalign_service.track.resume_token import state_hash

T = TypeVar("T")

_MARK_BYTES = 4

#: (4 bytes) tell the form of a class from every other, also from that of another version of this software.
_MARKS: dict[type, bytes] = {
    kind: hashlib.sha256(codec.layout(kind).encode()).digest()[:_MARK_BYTES] for kind in (SessionRecord, RetainedAnswer)
}


#: What the version before wrote, where its form was another: by class and mark, what reads the rest. A test holds this
#: to records that were written then; see `exalign_engine.tracking.session_state.READERS`.
FORMER: dict[tuple[type, bytes], Callable[[bytes], Any]] = {}


def head_bytes(record: SessionRecord) -> bytes:
    """All of a record but its state, its entries and its epoch."""
    return _written(SessionRecord, replace(record, state=b"", state_hash=b"", retained=(), epoch=0))


def entry_bytes(entry: RetainedAnswer) -> bytes:
    """One entry."""
    return _written(RetainedAnswer, entry)


def record_of(head: bytes, state: bytes, entries: Sequence[bytes], epoch: int) -> SessionRecord:
    """Back from what was stored.

    Raises:
        StateError: it is damaged, or of another version of this software.
    """
    try:
        retained = tuple(_read(RetainedAnswer, data) for data in entries)
        record = _read(SessionRecord, head)
    except ValueError as e:
        raise StateError(StateReason.DAMAGED, f"cannot be read: {e}") from e
    return replace(record, state=state, state_hash=state_hash(state), retained=retained, epoch=epoch)


def _written(kind: type[T], value: T) -> bytes:
    return _MARKS[kind] + codec.encode(kind, value)


def _read(kind: type[T], data: bytes) -> T:
    mark, rest = data[:_MARK_BYTES], data[_MARK_BYTES:]
    if mark == _MARKS[kind]:
        return codec.decode(kind, rest, 0)
    if (kind, mark) in FORMER:
        found: T = FORMER[kind, mark](rest)
        return found
    raise StateError(StateReason.VERSION, "is of another version of this software")
