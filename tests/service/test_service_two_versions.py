"""Two versions of the software over one store: the newer goes on with what the one before has kept, or says why not.

A version whose constants or arithmetic differ is made by a reader that says so (`session_state.READERS`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import grpc
import pytest

from exalign.v1 import track_pb2
from exalign_engine.tracking import StateError, StateReason, codec
from exalign_engine.tracking.session_state import READERS, VERSION
from exalign_service.access.resume_keys import ResumeKeys
from exalign_service.stores import encoding
from exalign_service.stores.encoding import record_of
from exalign_service.stores.script import StoredSession
from exalign_service.track.record import RetainedAnswer, SessionRecord
from exalign_service.track.resume_token import ResumeToken, state_hash
from former_records import KEYS, Nobody, bytes_of, made, read_records, stated
from service_fakes import GOOD_BOX, until
from test_service_fleet import PRECONDITION, fleet
from test_service_shared_store import answered, record
from track_fakes import Talk, click, config, frame, plain, talk

RECORDS = read_records()


@contextmanager
def other_settings() -> Iterator[None]:
    """What was kept before this block is of a version with other settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(READERS, VERSION, replace(READERS[VERSION], exact=False))
        yield


async def test_a_session_of_other_settings_moves_at_the_frame_that_allows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fleet(tmp_path, monkeypatch, 2) as both:
        one, two = both.servers
        it = talk(one)
        opened = await it.open(config("mine", detection={"max_faces": 2}, smoothing_lag=2))
        left, right = (5.0, 5.0, 25.0, 25.0), (35.0, 10.0, 60.0, 35.0)
        *_, newest = await it.results(frame(0, left, right), frame(1))
        await until(lambda: both.redis.sessions["exalign:mine"].session.number == 3)
        asked = config("mine", newest.resume_token, detection={"max_faces": 2}, smoothing_lag=2, resends_after=-1)
        again = talk(two)
        with other_settings():
            assert (await again.open(asked)).next_frame == 2
        # Its results of before come again as they were.
        assert plain([await again.hear("result") for _ in range(2)])[-1] == plain([newest])[0]
        await again.say(frame(2, may_change_model=True))
        assert (await again.hear("revision")).frame_index == 0
        changed = await again.hear("model_changed")
        assert (changed.bundle_id, changed.frame_index) == (opened.bundle_id, 2)
        moved = await again.hear("result")
        assert [t.track_id for t in moved.tracks] == [t.track_id for t in newest.tracks] == [1, 2]
        for before, after in zip(newest.tracks, moved.tracks, strict=True):
            assert abs(before.face.box.x0 - after.face.box.x0) < 4
        # From then on it is a session like others: no event, and resumed bit for bit.
        (more,) = await again.results(frame(3, may_change_model=True))
        await until(lambda: both.redis.sessions["exalign:mine"].session.number == 5)
        await again.cut()
        third = talk(one)
        asked.resume_token = more.resume_token
        await third.open(asked)
        kinds = []
        for _ in range(6):
            kinds.append((await third.call.read()).WhichOneof("message"))
        assert kinds == ["result", "result", "revision", "model_changed", "result", "result"]
        await third.close()


@pytest.mark.parametrize("said", ["frame", "evidence", "end"])
async def test_it_does_nothing_before_it_was_allowed_to_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    async with fleet(tmp_path, monkeypatch, 2) as both:
        it, again = (Talk(server.stub.TrackVideo()) for server in both.servers)
        await it.open(config("mine", smoothing_lag=2))
        (result,) = await it.results(frame(0, GOOD_BOX))
        await until(lambda: both.redis.sessions["exalign:mine"].session.number == 2)
        with other_settings():
            await again.open(config("mine", result.resume_token, smoothing_lag=2, resends_after=-1))
        if said == "frame":
            await again.say(frame(1))
        elif said == "evidence":
            await again.say(track_pb2.PastEvidence(frame_index=0, evidence=[click()]))
        else:
            await again.call.done_writing()
        code, details = await again.refused()
        assert (code, details.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STATE_OTHER_SETTINGS")


async def test_it_is_refused_where_its_client_has_answers_that_the_store_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be given again, otherwise than before, and dropped: nobody would see the move."""
    async with fleet(tmp_path, monkeypatch, 2) as both:
        one, two = both.servers
        it = talk(one)
        await it.open(config("mine"))
        await it.results(frame(0, GOOD_BOX))
        await until(lambda: both.redis.sessions["exalign:mine"].session.number == 2)
        both.lines[0].cut = True
        (newest,) = await it.results(frame(1))
        again = talk(two)
        with other_settings():
            await again.say(config("mine", newest.resume_token, resends_after=0))
            code, details = await again.refused()
        assert (code, details.reason) == (PRECONDITION, "STATE_OTHER_SETTINGS")


# What a server keeps beside the engine's state, and what it gives to its clients.


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_was_written_then_is_read_now(name: str) -> None:
    """Where this fails because `SessionRecord` or `RetainedAnswer` has changed: what was before is for `FORMER`."""
    entry = RECORDS[name]
    stored = StoredSession.of_fields(bytes_of(entry["fields"]))
    assert stored is not None
    entries = [data for _, data in stored.entries]
    assert stated(record_of(stored.head, stored.state, entries, stored.epoch)) == entry["holds"]


@pytest.mark.parametrize("name", RECORDS)
def test_a_token_that_was_given_then_is_taken_now(name: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEYS)
    keys, entry = ResumeKeys(tmp_path / "keys", Nobody()), RECORDS[name]
    token = ResumeToken.decode(bytes.fromhex(entry["token"]))
    holds = entry["holds"]
    assert token.is_signed(keys, holds["owner"])
    assert (token.session, token.frame, token.epoch) == (holds["name"], holds["frame"], holds["epoch"])
    assert token.secret.hex() == holds["secret"]
    assert token.state_hash == state_hash(bytes.fromhex(holds["state"]))


def test_every_form_of_a_record_that_is_read_has_one_that_was_written_so() -> None:
    written = {bytes_of(entry["fields"])[b"head"][:4] for entry in RECORDS.values()}
    remedy = "python tests/service/former_records.py --write NAME, and a reader of the form before in encoding.FORMER"
    assert encoding.head_bytes(made())[:4] in written, remedy
    assert {mark for kind, mark in encoding.FORMER if kind is SessionRecord} <= written


@dataclass(frozen=True)
class FormerAnswer:
    """A made-up form of `RetainedAnswer`: it had no ``about``."""

    frame: int
    messages: tuple[bytes, ...]
    state_hash: bytes | None


def test_a_form_with_a_reader_is_read_and_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one = answered(record(), 1)
    (kept,) = one.retained
    values = {field.name: getattr(kept, field.name) for field in fields(FormerAnswer)}
    data = b"OLD1" + codec.encode(FormerAnswer, FormerAnswer(**values))
    with pytest.raises(StateError) as caught:
        record_of(encoding.head_bytes(one), one.state, [data], 1)
    assert caught.value.reason is StateReason.VERSION

    def of_former(rest: bytes) -> RetainedAnswer:
        before = codec.decode(FormerAnswer, rest, 0)
        return RetainedAnswer(before.frame, before.messages, before.state_hash)

    monkeypatch.setitem(encoding.FORMER, (RetainedAnswer, b"OLD1"), of_former)
    assert record_of(encoding.head_bytes(one), one.state, [data], 1) == one
