"""A stream that breaks anywhere: no frame is lost, none is repeated, all come in order. Both clients alike."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import exalign_client.transport.retry
from exalign_client import (
    Click,
    InternalServerError,
    InvalidRequestError,
    PastEvidence,
    PreconditionError,
    ServerBusyError,
    SessionLostError,
    SuggestionOptions,
    TrackResult,
    UnavailableError,
)
from fake_server import FakeService, abort, retry_info, serving
from fake_track import Plan
from track_both import Track, digests, pictures, track_async, track_sync

FRAMES = 5
BREAKS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL)
UNCUT = [("result", n, n + 1) for n in range(FRAMES)]


def uncut(lag: int, frames: int = FRAMES) -> list[tuple[Any, ...]]:
    """What a stream that never breaks yields."""
    events: list[tuple[Any, ...]] = []
    for n in range(frames):
        events.append(("result", n, n + 1))
        if lag and n >= lag:
            events.append(("revision", n - lag, n, 1001 + n))
    rest = range(max(frames - lag, 0), frames)
    return events + [("revision", n, frames - 1, 1000 + frames) for n in rest]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exalign_client.transport.retry, "FIRST_PAUSE", 0.002)


@pytest.fixture(params=[track_sync, track_async], ids=["sync", "async"])
def track(request: pytest.FixtureRequest) -> Track:
    chosen: Track = request.param
    return chosen


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
@pytest.mark.parametrize("loses_acks", [False, True], ids=["acks", "acks lost"])
def test_a_cut_at_any_point_changes_nothing(track: Track, lag: int, code: grpc.StatusCode, loses_acks: bool) -> None:
    with serving(FakeService()) as service:
        for point in range(2 + 2 * FRAMES + (FRAMES if lag else 0)):
            service.tracking.plans = [Plan(breaks_at=point, code=code, loses_acks=loses_acks)]
            events, closed = track(service.address, pictures(FRAMES), smoothing_lag=lag)
            assert digests(events) == uncut(lag), point
            assert closed is not None
            assert closed.summary.frames_answered == FRAMES
        # Where nothing had been answered there was nothing to resume; all others were.
        assert {len(s.frames) for s in service.tracking.all_sessions} <= {0, 1, FRAMES}


def with_late_evidence() -> list[Any]:
    """Five pictures; after the third and the last, evidence about earlier ones."""
    given: list[Any] = list(pictures(FRAMES))
    given.append(PastEvidence(3, Click("nose_tip", 3, 2)))
    given[3:3] = [PastEvidence(1, Click(8, 3, 2)), PastEvidence(1, Click(36, 1, 1))]
    return given


LATE = [(1, (8,), 2), (1, (36,), 2), (3, (30,), 4)]


@pytest.mark.parametrize("code", BREAKS, ids=lambda code: code.name)
@pytest.mark.parametrize("loses_acks", [False, True], ids=["acks", "acks lost"])
def test_late_evidence_survives_a_cut_at_any_point(track: Track, code: grpc.StatusCode, loses_acks: bool) -> None:
    """Every piece is taken in at its place, and no revision is left out; the last may come twice."""
    with serving(FakeService()) as service:
        uncut_events, _ = track(service.address, with_late_evidence(), smoothing_lag=2)
        expected = digests(uncut_events)
        assert [e[1:3] for e in expected if e[0] == "revision" and e[-1] > 2000] == [(1, 2), (1, 2), (3, 4)]
        for point in range(2 + 2 * FRAMES + FRAMES + 2 * len(LATE)):
            service.tracking.plans = [Plan(breaks_at=point, code=code, loses_acks=loses_acks)]
            events, closed = track(service.address, with_late_evidence(), smoothing_lag=2)
            assert closed is not None, point
            found = digests(events)
            assert list(dict.fromkeys(found)) == expected, point
            assert [e for e in found if e[0] == "result"] == UNCUT
            assert service.tracking.all_sessions[-1].late == LATE


@pytest.mark.parametrize(
    ("options", "about", "expected"),
    [
        ({"smoothing_lag": 2}, 5, r"evidence about frame 5: must be about one of the last 3 frames given: 2, 3, 4"),
        ({"smoothing_lag": 2}, 1, "last 3 frames given: 2, 3, 4"),
        ({"smoothing_lag": 2}, -1, "last 3 frames given"),
        ({"smoothing_lag": 2}, "x", "'x'"),
        ({}, 4, "needs a smoothing_lag ≥ 1"),
        ({"smoothing_lag": 2, "live": True}, 4, "a live video takes evidence with its frames only"),
    ],
)
def test_late_evidence_that_cannot_be_used_is_refused_here(
    track: Track, options: dict[str, Any], about: Any, expected: str
) -> None:
    with serving(FakeService()) as service, pytest.raises(InvalidRequestError, match=expected):
        track(service.address, [*pictures(FRAMES), PastEvidence(about, Click(8, 3, 2))], **options)
    assert not any(s.late for s in service.tracking.all_sessions)


def test_late_evidence_without_any_is_refused(track: Track) -> None:
    with serving(FakeService()) as service, pytest.raises(InvalidRequestError, match="holds no click"):
        track(service.address, [*pictures(2), PastEvidence(1, ())], smoothing_lag=1)


plans = st.lists(
    st.builds(
        Plan,
        breaks_at=st.integers(0, 14),
        code=st.sampled_from(BREAKS),
        loses_acks=st.booleans(),
        repeats=st.booleans(),
    ),
    max_size=3,
)


@pytest.mark.parametrize("track", [track_sync, track_async], ids=["sync", "async"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans=plans, lag=st.integers(0, 3), window=st.integers(1, 4), frames=st.integers(0, 7))
def test_any_number_of_cuts_changes_nothing(
    track: Track, plans: list[Plan], lag: int, window: int, frames: int
) -> None:
    with serving(FakeService()) as service:
        service.tracking.plans = list(plans)
        events, closed = track(service.address, pictures(frames), smoothing_lag=lag, window=window)
        assert digests(events) == uncut(lag, frames)
        assert closed is not None
        assert all(
            session.most_kept <= window + 1 or any(p.loses_acks for p in plans)
            for session in service.tracking.all_sessions
        )


def test_a_stream_that_the_server_ends_is_resumed_on_a_new_one(service: FakeService, track: Track) -> None:
    service.tracking.cancel_wait = 0.5
    service.tracking.plans = [Plan(go_away_after=2), Plan(go_away_after=1)]
    events, closed = track(service.address, pictures(FRAMES), window=2)
    assert digests(events) == UNCUT
    assert closed is not None
    assert len(service.tracking.configs) >= 2
    assert len(service.tracking.all_sessions) == 1


def test_repeated_results_are_yielded_once(service: FakeService, track: Track) -> None:
    service.tracking.plans = [Plan(repeats=True)]
    assert digests(track(service.address, pictures(FRAMES))[0]) == UNCUT


def test_a_session_is_named_to_the_proxy_and_resumed_under_that_name(service: FakeService, track: Track) -> None:
    service.tracking.plans = [Plan(breaks_at=6)]
    track(service.address, pictures(FRAMES), session_id="cam-7")
    assert [m["x-session-id"] for m in service.tracking.metadata] == ["cam-7", "cam-7"]
    first, second = service.tracking.configs
    assert (first.resume_token, bool(second.resume_token)) == (b"", True)


def test_a_session_that_cannot_be_resumed_yet_is_opened_under_another_name(service: FakeService, track: Track) -> None:
    service.tracking.plans = [Plan(breaks_at=1)]  # the server keeps a session for which we have no token
    events, _ = track(service.address, pictures(FRAMES), session_id="cam-7")
    assert [config.session_id for config in service.tracking.configs] == ["cam-7", "cam-7.2"]
    assert digests(events) == UNCUT


def test_a_run_whose_name_is_still_taken_by_the_one_before_goes_on_under_another(
    service: FakeService, track: Track
) -> None:
    exists = error_details_pb2.ErrorInfo(reason="SESSION_EXISTS")
    refused = Plan(refuses=abort(grpc.StatusCode.ALREADY_EXISTS, "can be resumed with its token", exists))
    service.tracking.plans = [refused]
    events, _ = track(service.address, pictures(FRAMES), session_id="x" * 64)
    first, second = [config.session_id for config in service.tracking.configs]
    assert first == "x" * 64
    assert (len(second), second[:56]) == (64, "x" * 55 + ".")
    assert digests(events) == UNCUT
    # Twice is no chance: the caller is told.
    service.tracking.plans = [refused, refused]
    with pytest.raises(PreconditionError, match="can be resumed with its token"):
        track(service.address, pictures(FRAMES), session_id="cam-7")


def test_a_lost_session_is_begun_again_with_the_frames_that_are_left(service: FakeService, track: Track) -> None:
    service.tracking.plans = [Plan(breaks_at=6, forgets=True)]
    events, closed = track(service.address, pictures(FRAMES))
    results = [event for event in events if isinstance(event, TrackResult)]
    assert [result.frame_index for result in results] == list(range(FRAMES))
    sessions = [result.session for result in results]
    assert sessions == sorted(sessions)
    assert set(sessions) == {1, 2}
    assert closed is not None
    assert closed.summary.frames_answered == sessions.count(2)


def test_a_token_that_is_too_old_is_no_end_either(service: FakeService, track: Track) -> None:
    too_old = error_details_pb2.ErrorInfo(reason="TOKEN_TOO_OLD")
    refused = Plan(refuses=abort(grpc.StatusCode.FAILED_PRECONDITION, "too old", too_old))
    service.tracking.plans = [Plan(breaks_at=6), refused]
    events, _ = track(service.address, pictures(FRAMES))
    assert [event.frame_index for event in events] == list(range(FRAMES))


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"smoothing_lag": 2}, "revisions of the last 2 frames up to "),
        ({"path_frames": 8}, "the path and suggestions for the frames up to "),
        ({"suggestion": SuggestionOptions()}, "the path and suggestions for the frames up to "),
    ],
)
def test_what_would_be_missing_is_an_error_that_names_it(
    service: FakeService, track: Track, options: dict[str, Any], missing: str
) -> None:
    service.tracking.plans = [Plan(breaks_at=6, forgets=True)]
    with pytest.raises(SessionLostError, match=missing) as caught:
        track(service.address, pictures(FRAMES), window=1, **options)
    assert "given and not answered: frame" in str(caught.value)
    assert caught.value.unanswered
    assert "\n" not in str(caught.value)


def test_only_counts_are_missing_where_the_last_message_was_lost(service: FakeService, track: Track) -> None:
    last = 2 + 2 * FRAMES
    service.tracking.plans = [Plan(breaks_at=last - 1, forgets=True)]
    events, closed = track(service.address, pictures(FRAMES), window=FRAMES)
    assert [event.frame_index for event in events] == list(range(FRAMES))
    assert closed is None


def test_another_refusal_is_not_mistaken_for_a_lost_session(service: FakeService, track: Track) -> None:
    service.tracking.plans = [Plan(refuses=abort(grpc.StatusCode.NOT_FOUND, "no such service here"))]
    with pytest.raises(Exception, match="no such service here"):
        track(service.address, pictures(1))
    assert len(service.tracking.configs) == 1


def test_a_fault_that_comes_again_is_given_up_with_what_is_missing(service: FakeService, track: Track) -> None:
    service.tracking.plans = [Plan(breaks_at=4, code=grpc.StatusCode.INTERNAL)]
    service.tracking.plans += [Plan(breaks_at=1, code=grpc.StatusCode.INTERNAL)] * 9
    with pytest.raises(SessionLostError, match=r"could not be made again.*frames? 1") as caught:
        track(service.address, pictures(FRAMES))
    assert isinstance(caught.value.__cause__, InternalServerError)
    assert len(service.tracking.configs) == 4


def test_a_server_that_stays_away_is_given_up_after_the_timeout(service: FakeService, track: Track) -> None:
    service.tracking.plans = [Plan(breaks_at=4)] + [Plan(breaks_at=0)] * 999
    with pytest.raises(SessionLostError, match="could not be made again"):
        track(service.address, pictures(FRAMES), timeout=0.2)


def test_a_server_that_was_never_there_is_not_waited_for(service: FakeService, track: Track) -> None:
    service.tracking.plans = [Plan(refuses=abort(grpc.StatusCode.UNAVAILABLE, "starting"))] * 9
    with pytest.raises(UnavailableError, match="starting"):
        track(service.address, pictures(1))
    assert len(service.tracking.configs) == 4


def test_a_full_server_is_tried_again_after_the_pause_that_it_names(service: FakeService, track: Track) -> None:
    full = abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "128 sessions are open", retry_info(0.01))
    service.tracking.plans = [Plan(refuses=full)] * 6
    assert digests(track(service.address, pictures(FRAMES))[0]) == UNCUT
    service.tracking.plans = [Plan(refuses=abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "quota"))]
    with pytest.raises(ServerBusyError, match="quota"):
        track(service.address, pictures(1))


def test_a_silent_server_is_left_for_a_new_stream(service: FakeService, track: Track) -> None:
    service.tracking.idle_timeout = 0.15
    service.tracking.plans = [Plan(silent=True)]
    assert digests(track(service.address, pictures(FRAMES), timeout=5.0)[0]) == UNCUT
    assert len(service.tracking.configs) >= 2
