"""What one caller may have of what all share: sessions and posteriors."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exalign.v1 import service_pb2
from exalign_engine import LocatedFace
from exalign_engine.evidence.evidence import Evidence, Polygon, RegionConstraint
from exalign_service.inference.posterior_cache import CachedFace, PosteriorCache
from exalign_service.rpc.call_context import Call
from exalign_service.rpc.caller_shares import CallerShares
from exalign_service.rpc.errors import PosteriorNotFoundError
from exalign_service.track.unacked_budget import UnackedBudget
from service_fakes import GOOD_BOX, Running, another_caller, config, request, running, until
from track_fakes import config as track_config
from track_fakes import frame, sessions, talk, talking

K = 1000


class Nobody:
    """Counts nothing."""

    def posterior_looked_up(self, hit: bool) -> None:
        """See `CacheObserver`."""

    def posteriors_changed(self, count: int, evicted: int) -> None:
        """See `CacheObserver`."""


class Callers:
    """A cache, and who speaks to it."""

    def __init__(self, capacity: int, max_bytes: int = 2**30) -> None:
        self.now = ""
        self.cache = PosteriorCache(capacity, max_bytes, Nobody(), lambda: Call("one", 1.0, caller=self.now))

    def keep(self, caller: str, face: CachedFace | None = None) -> str:
        self.now = caller
        return self.cache.keep(subject() if face is None else face)

    def knows(self, name: str) -> bool:
        try:
            self.cache.find(name)
        except PosteriorNotFoundError:
            return False
        return True


def subject(evidence: Evidence | None = None) -> CachedFace:
    box = np.array([0.0, 0.0, 9.0, 9.0])
    located = LocatedFace(box, box, "face_box", False, None)
    return CachedFace(located, np.ones(K, np.float32), 1.0, evidence=evidence or Evidence())


def test_a_caller_within_its_share_loses_nothing_to_one_that_floods() -> None:
    callers = Callers(8)
    polite = [callers.keep("polite") for _ in range(4)]
    flood = [callers.keep("greedy") for _ in range(1000)]
    assert [callers.knows(name) for name in polite] == [True] * 4
    assert [callers.knows(name) for name in flood[-5:]] == [False, True, True, True, True]


def test_a_lone_caller_has_all_the_room_and_gives_it_up_to_the_next() -> None:
    callers = Callers(8)
    alone = [callers.keep("first") for _ in range(8)]
    assert all(map(callers.knows, alone))
    assert callers.knows(alone[0])  # now the most recently used
    later = [callers.keep("second") for _ in range(4)]
    assert [callers.knows(name) for name in alone] == [True, False, False, False, False, True, True, True]
    assert all(map(callers.knows, later))


def test_an_id_is_good_for_whoever_has_it_and_counts_for_who_made_it() -> None:
    callers = Callers(4)
    lent = callers.keep("maker")
    others = [callers.keep("user") for _ in range(2)]
    callers.now = "user"
    assert callers.knows(lent)
    made = [callers.keep("maker") for _ in range(3)]
    assert [callers.knows(name) for name in (*others, lent, *made)] == [True, True, False, False, True, True]


def test_posteriors_are_bounded_in_bytes() -> None:
    one = subject().size_bytes
    callers = Callers(1000, 3 * one)
    names = [callers.keep("a") for _ in range(5)]
    assert [callers.knows(name) for name in names] == [False, False, True, True, True]
    assert Callers(1000, one - 1).keep("a") == ""
    # What entries share is counted for each: the bound holds whatever they share.
    face = subject()
    shared = [callers.keep("b", face) for _ in range(3)]
    assert sum(map(callers.knows, names + shared)) == 3


def test_an_entry_is_at_least_as_large_as_its_arrays_and_grows_with_its_evidence() -> None:
    assert subject().size_bytes > 4 * K
    polygon = Polygon(tuple((float(i), float(i * i)) for i in range(64)))
    regions = tuple(RegionConstraint(n, polygon, True) for n in range(4))
    assert subject(Evidence(regions=regions)).size_bytes > subject().size_bytes + 4 * 64 * 100


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), min_size=1, max_size=60))
def test_no_caller_within_an_equal_share_is_ever_the_first_to_go(kept: list[tuple[int, int]]) -> None:
    shares, callers = CallerShares(), dict[str, int]()
    for key, (caller, size) in enumerate(kept):
        shares.add(str(key), str(caller), size)
        callers[str(key)] = caller
    while len(shares):
        for by_size in (False, True):
            gone = callers[shares.first_to_go(by_size=by_size)]
            mine = [size for key, (caller, size) in enumerate(kept) if caller == gone and str(key) in shares]
            whole = shares.size if by_size else len(shares)
            others = {callers[key] for key in callers if key in shares}
            assert (sum(mine) if by_size else len(mine)) * len(others) >= whole
        shares.remove(shares.first_to_go(by_size=True))
    assert shares.size == 0


async def test_one_caller_may_have_its_share_of_the_sessions_and_another_the_rest(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_sessions=4)) as live:
        assert (await live.stub.GetModel(service_pb2.GetModelRequest())).limits.max_sessions_per_caller == 2
        async with talking(live, track_config("a")) as first, talking(live), another_caller(live) as other:
            late = talk(live)
            await late.say(track_config())
            code, details = await late.refused()
            assert (code, details.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CALLER_SESSIONS_FULL")
            assert details.retry_seconds
            text = "has 2 sessions open, its share of 4 (max_sessions × caller_share)"
            assert text in str(await late.call.details())
            # Going on with one of its own takes no further place.
            (result,) = await first.results(frame(0, GOOD_BOX))
            again = talk(live)
            assert (await again.open(track_config("a", result.resume_token))).epoch == 2
            async with talking(other), talking(other):
                assert sessions(live)["active"] == 4
                # Nor does it get more by taking over what is another connection's.
                over = talk(other)
                await over.say(track_config("a", result.resume_token))
                assert (await over.refused())[1].reason == "CALLER_SESSIONS_FULL"
                assert await again.hear("result") == result
            await again.close()


async def test_a_session_that_is_resumed_from_a_new_connection_is_the_new_ones(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_sessions=2)) as live, another_caller(live) as other:
        it = talk(live)
        await it.open(track_config("a"))
        (result,) = await it.results(frame(0, GOOD_BOX))
        moved = talk(other)
        await moved.open(track_config("a", result.resume_token))
        await until(lambda: sessions(live) == {"active": 1})
        async with talking(live):  # its share is free again
            assert sessions(live) == {"active": 2}
        await moved.cut()


async def test_one_caller_does_not_push_out_anothers_posteriors(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_posteriors=4)) as live, another_caller(live) as other:

        async def seen(by: Running) -> str:
            return (await by.stub.PredictLandmarks(request(GOOD_BOX))).faces[0].posterior_id

        mine = [await seen(live) for _ in range(2)]
        for _ in range(10):
            await seen(other)
        for name in mine:
            await live.stub.EstimatePose(service_pb2.EstimatePoseRequest(posterior_id=name))
            await other.stub.EstimatePose(service_pb2.EstimatePoseRequest(posterior_id=name))
        assert live.sample("exalign_posteriors") == 4


async def test_a_state_that_is_not_kept_is_counted(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_detached_bytes=2)) as live:
        it = talk(live)
        await it.open(track_config("a"))
        assert live.sample("exalign_sessions_dropped_total", reason="too_large") == 0
        await it.cut()
        await until(lambda: live.sample("exalign_sessions_dropped_total", reason="too_large") == 1)
        assert live.sample("exalign_sessions_dropped_total", reason="no_room") == 0
        assert sessions(live) == {}


@pytest.mark.parametrize("share", [0.5, 1.0])
async def test_the_largest_state_that_is_kept_is_told(tmp_path: Path, share: float) -> None:
    async with running(tmp_path, config(max_detached_bytes=1000, caller_share=share)) as live:
        limits = (await live.stub.GetModel(service_pb2.GetModelRequest())).limits
        assert limits.max_resumable_bytes == 1000 * share


def test_the_streams_of_a_caller_have_one_budget_for_what_is_not_acknowledged() -> None:
    budget, news = UnackedBudget(100), list[str]()
    a, b, other = (
        budget.share(caller, lambda name=name: news.append(name))  # type: ignore[misc]
        for name, caller in (("a", "one"), ("b", "one"), ("other", "two"))
    )
    for share in (a, b, other):
        share.join()
    a.hold(90)
    assert not a.full(1000)  # nobody else keeps anything
    assert (b.full(10), b.full(11), other.full(1000)) == (False, True, False)
    b.hold(5)
    assert (a.full(5), a.full(6)) == (False, True)
    assert news == []
    a.hold(40)
    assert news == ["b"]
    assert not b.full(55)
    b.leave()
    assert (news, a.full(1000)) == (["b", "a"], False)
    for share in (a, other):
        share.leave()
    assert budget.streams == {}
