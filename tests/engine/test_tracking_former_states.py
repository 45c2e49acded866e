"""States of the version before are read: servers of two versions run side by side while one replaces the other."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import numpy as np
import pytest

from exalign_engine.hmm.chain import Chain, ChainSettings
from exalign_engine.tracking import SessionOptions, StateError, StateReason, TrackingSession, codec, session_state
from exalign_engine.tracking.session_state import (
    MAGIC,
    READERS,
    VERSION,
    Envelope,
    SessionState,
    StateReader,
    layout_name,
    settings_name,
)
from exalign_engine.tracking.track import Track
from former_states import bytes_of, read_states, sessions, stated, toy
from tracking_toy import MIDDLE, Toy, fingerprint

STATES = read_states()
ENTRIES = [(version, name) for version, entries in STATES.items() for name in entries]


@pytest.fixture(scope="module")
def model() -> Toy:
    return toy()


def test_every_version_that_is_read_has_states_that_it_wrote() -> None:
    remedy = "python tests/engine/former_states.py --write, and a reader of the version before in session_state.READERS"
    assert {str(version) for version in READERS} <= set(STATES), remedy
    assert max(READERS) == VERSION


@pytest.mark.parametrize(("version", "name"), ENTRIES, ids=[f"{v}: {n}" for v, n in ENTRIES])
def test_a_state_that_was_written_then_is_read_now_and_goes_on(model: Toy, version: str, name: str) -> None:
    """Where this fails because a class of the state has changed: it is another version; see `READERS`."""
    entry = STATES[version][name]
    session = TrackingSession.decode(bytes_of(entry), model.aligner, model.chain, other_settings=True)
    assert stated(session) == entry["holds"]
    answer = model.play(session, session.next_frame, boxes=[(0, MIDDLE)])
    assert answer.tracks
    session.close()


@pytest.mark.parametrize("name", STATES[str(VERSION)])
def test_this_versions_states_keep_their_bytes(model: Toy, name: str) -> None:
    data = bytes_of(STATES[str(VERSION)][name])
    session = TrackingSession.decode(data, model.aligner, model.chain, other_settings=True)
    again = TrackingSession.decode(session.encode(), model.aligner, model.chain)
    assert again.state.options == session.state.options
    # All but the envelope, which names settings that may have changed since.
    inner = codec.encode(SessionState, again.state)
    assert inner == codec.encode(SessionState, session.state)
    assert len(session.encode()) == len(data)


@dataclass(frozen=True)
class FormerState:
    """A made-up version: it had no ``recent``, and its fields in another order."""

    tracks: tuple[Track, ...]
    options: SessionOptions
    next_id: int
    last_frame: int
    size: tuple[int, int] | None


def of_former(data: bytes, count: int) -> SessionState:
    former = codec.decode(FormerState, data, count)
    recent = (former.last_frame,) if former.last_frame >= 0 else ()
    return SessionState(former.options, former.size, former.last_frame, former.next_id, recent, former.tracks)


def former(session: TrackingSession, model: Toy, version: int) -> bytes:
    """A session as the made-up version encoded it."""
    state = session.state
    body = codec.encode(
        FormerState, FormerState(state.tracks, state.options, state.next_id, state.last_frame, state.size)
    )
    settings = settings_name(model.aligner, model.chain)
    envelope = codec.encode(Envelope, Envelope(model.aligner.bundle.id, settings, layout_name(FormerState), body))
    return struct.pack("<8sH32s", MAGIC, version, hashlib.sha256(envelope).digest()) + envelope


def test_a_version_with_a_reader_goes_on_bit_for_bit(model: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    session = dict(sessions(model))["filter"]
    data = former(session, model, 3)
    with pytest.raises(StateError, match="version is 3") as caught:
        TrackingSession.decode(data, model.aligner, model.chain)
    assert caught.value.reason is StateReason.VERSION
    monkeypatch.setitem(READERS, 3, StateReader(layout_name(FormerState), of_former))
    here = TrackingSession.decode(data, model.aligner, model.chain, session.options)
    assert here.encode() == session.encode()
    first, second = (model.play(one, 5, model.scores(9)).tracks for one in (session, here))
    assert fingerprint(first) == fingerprint(second)


def test_a_version_whose_sessions_go_on_otherwise_is_read_only_to_be_moved(
    model: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = dict(sessions(model))["filter"]
    data = former(session, model, 3)
    monkeypatch.setitem(READERS, 3, StateReader(layout_name(FormerState), of_former, exact=False))
    with pytest.raises(StateError) as caught:
        TrackingSession.decode(data, model.aligner, model.chain)
    assert caught.value.reason is StateReason.OTHER_SETTINGS
    read = TrackingSession.decode(data, model.aligner, model.chain, other_settings=True)
    moved = read.moved_to(model.aligner, model.chain)
    (track,) = model.play(moved, 5, model.scores(9)).tracks
    assert track.track_id == 1


def test_a_reader_is_not_given_the_bytes_of_another_layout(model: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    data = former(dict(sessions(model))["new"], model, 3)
    monkeypatch.setitem(READERS, 3, READERS[VERSION])
    with pytest.raises(StateError, match="another layout than version 3") as caught:
        TrackingSession.decode(data, model.aligner, model.chain, other_settings=True)
    assert caught.value.reason is StateReason.VERSION


def test_a_state_of_other_settings_is_read_where_it_is_moved(model: Toy) -> None:
    session = dict(sessions(model))["filter"]
    shapes = model.aligner.bundle.exemplars.shapes.astype(np.float32)
    other = Chain(shapes, model.aligner.bundle.manifest.tau, ChainSettings(members=25, restart=0.5))
    for read_state in (TrackingSession.decode, session_state.decode):
        with pytest.raises(StateError) as caught:
            read_state(session.encode(), model.aligner, other)
        assert caught.value.reason is StateReason.OTHER_SETTINGS
    read = TrackingSession.decode(session.encode(), model.aligner, other, session.options, other_settings=True)
    assert stated(read) == stated(session)
    with pytest.raises(StateError) as caught:
        TrackingSession.decode(session.encode(), model.aligner, other, SessionOptions(), other_settings=True)
    assert caught.value.reason is StateReason.OTHER_OPTIONS
