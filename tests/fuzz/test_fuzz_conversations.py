"""The model of TrackVideo says what track.proto says; and a conversation with a real server is judged by it."""

from __future__ import annotations

from random import Random

import pytest

import call_grammar
import frame_grammar
from call_grammar import Writer
from conversations import FAR, WARM, Progress
from protocol_model import EXISTS, GONE, Ending, GivenToken, Session, Sessions


def answered(frames: int, lag: int = 0) -> Session:
    """A session after so many frames."""
    session = Session("name", "alice", b"config", lag=lag, live=False, most_faces=1, bundle="a")
    for index in range(frames):
        session.answer(index, b"result %d" % index, b"token %d" % index)
    session.tracked = True
    return session


def test_a_frame_from_the_past_is_sent_again_until_it_is_acknowledged() -> None:
    session = answered(5)
    session.acknowledge(2)
    assert [session.resend(i) and session.resend(i).reason for i in range(7)] == [  # type: ignore[union-attr]
        "RESULT_NOT_KEPT",
        "RESULT_NOT_KEPT",
        "RESULT_NOT_KEPT",
        None,
        None,
        "FRAME_OUT_OF_ORDER",
        "FRAME_OUT_OF_ORDER",
    ]
    assert (session.acked, sorted(session.retained)) == (2, [3, 4])
    session.acknowledge(9)
    assert (session.acked, session.retained) == (4, {})


def test_late_evidence_is_taken_within_the_lag_alone() -> None:
    session = answered(6, lag=2)
    assert [session.late_evidence(i) for i in (3, 4, 5)] == [None] * 3
    assert session.late_evidence(2) == Ending.not_now("FRAME_TOO_OLD")
    assert session.late_evidence(6) == Ending.invalid("past_evidence.frame_index")
    assert answered(6).late_evidence(5) == Ending.not_now("FRAME_TOO_OLD")


def test_a_token_fits_its_owner_its_name_its_config_and_what_is_not_acknowledged() -> None:
    sessions, session = Sessions(), answered(4)
    sessions.open(session)
    first, last = session.tokens[0], session.tokens[-1]
    assert sessions.opening("alice", "name") == EXISTS
    assert sessions.opening("bob", "name") is None
    assert sessions.resuming(last, "alice", "", b"config") == [None]
    assert sessions.resuming(last, "bob", "", b"config") == [GONE]
    assert sessions.resuming(last, "alice", "other", b"config") == [Ending.not_now("TOKEN_OTHER_SESSION")]
    assert sessions.resuming(last, "alice", "name", b"other") == [Ending.not_now("CONFIG_DIFFERS")]
    session.acknowledge(1)
    assert sessions.resuming(first, "alice", "", b"config") == [Ending.not_now("TOKEN_TOO_OLD")]
    session.move("b", 4)
    assert sessions.resuming(last, "alice", "", b"config") == [None]
    beyond = GivenToken(b"", session, 4, "a")
    assert sessions.resuming(beyond, "alice", "", b"config") == [Ending.not_now("TOKEN_OTHER_BUNDLE")]
    session.closed = True
    assert GONE in sessions.resuming(last, "alice", "", b"config")
    assert sessions.opening("alice", "name") is None


def test_the_same_seed_writes_the_same_messages_and_without_a_share_nothing_is_wrong() -> None:
    def written(seed: int) -> list[object]:
        random = Random(seed)
        config = frame_grammar.config(random)
        frame = frame_grammar.frame(random, 3, call_grammar.SIZE, 2, tracked=True)
        return [config.message.SerializeToString(deterministic=True), config.wrong, frame.message, frame.wrong]

    assert all(written(seed) == written(seed) for seed in range(20))
    for seed in range(50):
        w = Writer(Random(seed), 0.0)
        call_grammar.views(w)
        call_grammar.evidence(w)
        call_grammar.image(w)
        call_grammar.box(w, "box", seen=True)
        assert w.wrong == set()


def test_memory_is_judged_by_what_a_warm_server_has_held() -> None:
    def held(server: int, conversations: int, megabytes: float) -> dict[str, int]:
        return {"server": server, "conversations": conversations, "resident_bytes": round(megabytes * 1e6)}

    cold = [held(1, 100 * i, 400 + i) for i in range(WARM // 100)]
    assert Progress(held=cold).growth is None
    near = [held(1, WARM, 500), held(1, WARM + FAR - 1, 501), held(2, WARM + 2 * FAR, 600)]
    assert Progress(held=cold + near).growth is None
    wandering = [held(2, WARM + i * FAR, 400 + (i % 2)) for i in range(8)]
    growing = [held(2, WARM + i * FAR, 400 + (i % 2) + 5 * i) for i in range(8)]
    assert abs(Progress(held=cold + wandering).growth or 0.0) < 1e6
    assert (Progress(held=cold + growing).growth or 0.0) == pytest.approx(20e6, rel=0.2)
