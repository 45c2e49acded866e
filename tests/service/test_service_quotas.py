"""Quotas: what one caller may use in a second, and what it may keep."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from exalign.v1 import service_pb2
from exalign_service.rpc.errors import QuotaExceededError
from exalign_service.rpc.quotas import BURST, Quotas
from service_fakes import GOOD_BOX, another_caller, config, details_of, request, running
from token_fakes import Tokens, refusal
from track_fakes import Talk, frame, talk
from track_fakes import config as track_config

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


class Counter:
    def __init__(self) -> None:
        self.exceeded: list[str] = []

    def quota_exceeded(self, quota: str) -> None:
        self.exceeded.append(quota)


class Quota:
    """Quotas, whose clock is moved by hand."""

    def __init__(self, **rates: float) -> None:
        self.now, self.counter = 0.0, Counter()
        self.quotas = Quotas(rates, self.counter, lambda: self.now)

    def wait(self, caller: str = "a") -> float:
        """Seconds until a caller may call again; 0: it has called."""
        try:
            self.quotas.request(caller)
        except QuotaExceededError as e:
            return e.retry_after
        return 0.0


def test_a_caller_has_a_burst_then_its_rate_and_others_have_their_own() -> None:
    it = Quota(requests=2.0)
    assert [it.wait() for _ in range(round(2 * BURST))] == [0.0] * 20
    assert it.wait() == pytest.approx(0.5)
    assert it.wait("b") == 0.0
    it.now += 0.5
    assert it.wait() == 0.0
    assert it.wait() == pytest.approx(0.5)  # what was refused has cost nothing
    it.now += 1000.0
    assert [it.wait() for _ in range(21)] == [*[0.0] * 20, pytest.approx(0.5)]
    assert it.counter.exceeded == ["requests"] * 3


def test_thread_time_is_owed_and_calls_wait_until_it_is_paid() -> None:
    it = Quota(cpu_seconds=0.5)
    it.quotas.spent("a", 7.0)
    assert it.wait() == pytest.approx(4.0)
    assert it.wait("b") == 0.0
    it.now += 4.0
    assert it.wait() == 0.0
    assert it.counter.exceeded == ["cpu_seconds"]


def test_a_rate_below_one_in_ten_seconds_allows_one() -> None:
    it = Quota(requests=0.01)
    assert (it.wait(), it.wait()) == (0.0, pytest.approx(100.0))


def test_callers_whose_buckets_are_full_are_forgotten() -> None:
    it = Quota(requests=1.0)
    for number in range(2000):
        it.now += 1.0
        assert it.wait(f"caller {number}") == 0.0
    assert len(it.quotas._callers) <= 1025


async def test_calls_above_the_quota_are_refused_with_the_time_to_wait(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    alice, bob = tokens.add("alice"), tokens.add("bob")
    settings = config(token_file=tokens.path, quota_requests=0.01)
    async with running(tmp_path, settings) as live, another_caller(live) as elsewhere:
        assert (await live.stub.PredictLandmarks(request(GOOD_BOX), **alice)).faces
        error = await refusal(elsewhere.stub.PredictLandmarks(request(GOOD_BOX), **alice))
        details = details_of(error)
        assert (error.code(), details.reason) == (EXHAUSTED, "QUOTA_EXCEEDED")
        assert details.retry_seconds == pytest.approx(100.0, rel=0.5)
        assert (await live.stub.PredictLandmarks(request(GOOD_BOX), **bob)).faces
        assert live.sample("exalign_quota_exceeded_total", quota="requests") == 1
        assert live.sample("exalign_limit", setting="quota_requests") == 0.01
        for _ in range(3):
            await health_pb2_grpc.HealthStub(live.channel).Check(health_pb2.HealthCheckRequest())


async def test_frames_above_the_quota_end_the_stream_which_can_be_resumed(tmp_path: Path) -> None:
    async with running(tmp_path, config(quota_frames=0.1)) as live:
        it = talk(live)
        await it.open(track_config("mine"))
        (first,) = await it.results(frame(0, GOOD_BOX))
        await it.say(frame(1))
        code, details = await it.refused()
        assert (code, details.reason) == (EXHAUSTED, "QUOTA_EXCEEDED")
        assert details.retry_seconds
        again = talk(live)
        assert (await again.open(track_config("mine", first.resume_token))).next_frame == 1
        await again.cut()


async def test_thread_time_of_calls_is_counted_for_their_caller(tmp_path: Path) -> None:
    async with running(tmp_path, config(quota_cpu_seconds=0.001)) as live, another_caller(live) as other:

        async def call_on() -> None:
            """Until there is nothing left of ten milliseconds."""
            for _ in range(1000):
                await live.stub.PredictLandmarks(request(GOOD_BOX))

        error = await refusal(call_on())
        assert (error.code(), details_of(error).reason) == (EXHAUSTED, "QUOTA_EXCEEDED")
        assert live.sample("exalign_quota_exceeded_total", quota="cpu_seconds") == 1
        assert (await other.stub.PredictLandmarks(request(GOOD_BOX))).faces


async def test_sessions_of_one_caller_are_bounded_by_its_quota(tmp_path: Path) -> None:
    async with running(tmp_path, config(quota_sessions=1)) as live, another_caller(live) as other:
        first = talk(live)
        await first.open()
        second = talk(live)
        await second.say(track_config())
        code, details = await second.refused()
        assert (code, details.reason) == (EXHAUSTED, "CALLER_SESSIONS_FULL")
        assert details.retry_seconds
        third: Talk = talk(other)
        await third.open()
        for one in (first, third):
            await one.cut()


async def test_posteriors_of_one_caller_are_bounded_by_its_quota(tmp_path: Path) -> None:
    async with running(tmp_path, config(quota_posterior_bytes=4000)) as live, another_caller(live) as other:
        names = [(await live.stub.PredictLandmarks(request(GOOD_BOX))).faces[0].posterior_id for _ in range(3)]
        theirs = (await other.stub.PredictLandmarks(request(GOOD_BOX))).faces[0].posterior_id
        for name in (*names[1:], theirs):
            assert await live.stub.EstimatePose(service_pb2.EstimatePoseRequest(posterior_id=name))
        oldest = await refusal(live.stub.EstimatePose(service_pb2.EstimatePoseRequest(posterior_id=names[0])))
        assert oldest.code() is grpc.StatusCode.NOT_FOUND
