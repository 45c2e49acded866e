"""Sessions as versions of this software have kept them in a store, for the versions after them to read.

    python tests/service/former_records.py --write NAME

adds one in the form of this version to `FILE`, once its form has changed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from exalign_service.access.resume_keys import ResumeKeys
from exalign_service.stores.encoding import entry_bytes, head_bytes
from exalign_service.track.record import FrameCounts, SessionRecord
from exalign_service.track.resume_token import state_hash

FILE = Path(__file__).with_name("former_records.json")

#: Of the tokens: a file of keys.
KEYS = "0f" * 32

Records = dict[str, dict[str, Any]]


class Nobody:
    """See `exalign_service.access.watched_files.ReloadObserver`."""

    def file_reloaded(self, what: str, *, good: bool) -> None:
        """Nothing."""


def made() -> SessionRecord:
    """A session that has all that a record may hold. Its state is not one: that is the engine's business."""
    state = b"state after 4"
    first = SessionRecord(
        "video-1", bytes(range(16)), "ab" * 32, b"config", b"state", state_hash(b"state"), owner="o\n1"
    )
    for index in (2, 4):
        counts = FrameCounts(answered=index, skipped=1, with_problems=1, opened=2, lost=1, detected=3)
        changed = replace(first, frame=index, state=state, state_hash=state_hash(state), counts=counts)
        before = [b"changed"] if index == 2 else []
        first = first.answered(changed, [b"result %d" % index, b"revision"], before)
    late = first.revised(state, state_hash(state), [((3, 1), b"late")])
    boxes = ((1, (0.5, 1.0, 2.0, 3.25)), (2, (4.0, 5.0, 6.5, 7.0)))
    return replace(
        late,
        epoch=7,
        size=(480, 640),
        boxes=boxes,
        acked=1,
        acked_hash=b"h" * 16,
        first_of_bundle=2,
        recording="recording-1",
    )


def stated(record: SessionRecord) -> dict[str, Any]:
    """What is in a record, as JSON has it."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(record), default=lambda value: value.hex()))
    return found


def read_records() -> Records:
    """The file."""
    found: Records = json.loads(FILE.read_text("utf-8"))
    return found


def bytes_of(fields: dict[str, str]) -> dict[bytes, bytes]:
    """The fields of a hash of Redis's."""
    return {name.encode(): bytes.fromhex(value) for name, value in fields.items()}


def main() -> int:
    """Entry point."""
    if len(sys.argv) != 3 or sys.argv[1] != "--write":
        print(__doc__, file=sys.stderr)
        return 2
    records, record = read_records() if FILE.exists() else {}, made()
    if sys.argv[2] in records:
        print(f"{sys.argv[2]} is there already: it stays as it was written", file=sys.stderr)
        return 1
    fields = {b"epoch": b"7", b"owner": b"12345678", b"number": b"9", b"secret": record.secret, b"closed": b"0"}
    fields |= {b"head": head_bytes(record), b"state": record.state}
    fields |= {b"r%d" % (place + 1): entry_bytes(entry) for place, entry in enumerate(record.retained)}
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder, "keys")
        keys.write_text(KEYS)
        token = record.token(ResumeKeys(keys, Nobody()))
    records[sys.argv[2]] = {
        "fields": {name.decode(): value.hex() for name, value in fields.items()},
        "token": token.hex(),
        "holds": stated(record),
    }
    FILE.write_text(json.dumps(records, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
