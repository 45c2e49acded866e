"""A server whose work is stuck or whose network fails says so, tells who waits, and recovers by itself."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from exalign_engine import Aligner
from exalign_service.rpc.lifecycle import Lifecycle
from exalign_service.serving.watchdog import PROBE_INTERVAL, Watchdog
from manual_clock import ManualClock
from service_fakes import GOOD_BOX, config, details_of, request, running, until
from test_service_lifecycle import NOT_SERVING, SERVING, get, health
from track_fakes import config as video
from track_fakes import frame, talk, talking

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
LIMIT = 10.0


class Work:
    """What is watched, and the network's failures, as a test sets them."""

    def __init__(self) -> None:
        self.age: float | None = None
        self.in_a_row = 0
        self.probes = 0
        self.probe_works = True
        self.ended: list[tuple[float, str]] = []
        self.stuck: dict[str, bool] = {}

    def oldest_running(self) -> float | None:
        return self.age

    async def probe(self) -> None:
        self.probes += 1
        if not self.probe_works:
            self.in_a_row += 1
            raise RuntimeError("still broken")
        self.in_a_row = 0

    def stuck_changed(self, where: str, stuck: bool) -> None:
        self.stuck[where] = stuck

    def end_overdue(self, age: float, error: Exception) -> None:
        self.ended.append((age, str(error)))


@contextmanager
def watched() -> Iterator[tuple[Work, Lifecycle, ManualClock]]:
    """A watchdog that runs by a clock of the test's."""
    work, lifecycle, clock = Work(), Lifecycle(), ManualClock()
    lifecycle.warm()
    dog = Watchdog({"stage": work}, LIMIT, work, 3, work.probe, lifecycle, work, work.end_overdue, clock)
    watching = asyncio.create_task(dog.run())
    yield work, lifecycle, clock
    watching.cancel()


async def test_work_that_runs_for_too_long_is_reported_until_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    with watched() as (work, lifecycle, clock):
        work.age = LIMIT - 0.1
        await clock.advance(1)
        assert (lifecycle.serving, lifecycle.state, work.ended) == (True, "serving", [])
        work.age = LIMIT
        await clock.advance(2)
        reason = "a stage has been running for longer than stuck_after = 10 s"
        assert (lifecycle.serving, lifecycle.state) == (False, f"not serving: {reason}")
        assert set(work.ended) == {(LIMIT, reason)}
        assert work.stuck == {"stage": True}
        work.age = None
        await clock.advance(1)
        assert (lifecycle.serving, lifecycle.state) == (True, "serving")
        assert work.stuck == {"stage": False}
    assert [r.getMessage() for r in caplog.records] == ["not serving", "recovered"]


async def test_a_network_that_fails_is_tried_and_reported_until_it_answers() -> None:
    with watched() as (work, lifecycle, clock):
        work.in_a_row, work.probe_works = 2, False
        await clock.advance(1)
        assert (work.probes, lifecycle.serving) == (0, True)
        work.in_a_row = 3
        await clock.advance(1)
        assert work.probes == 1
        assert lifecycle.state == "not serving: the network has failed 3 times in a row or more: RuntimeError"
        await clock.advance(PROBE_INTERVAL + 1)
        assert (work.probes, lifecycle.serving) == (2, False)
        work.probe_works = True
        await clock.advance(PROBE_INTERVAL + 2)
        assert (work.probes, lifecycle.serving) == (3, True)


async def test_crops_of_callers_alone_do_not_condemn_the_network() -> None:
    with watched() as (work, lifecycle, clock):
        changes: list[bool] = []
        lifecycle.on_trouble = lambda: changes.append(lifecycle.serving)
        work.in_a_row = 100
        await clock.advance(1)
        assert (work.probes, work.in_a_row, changes) == (1, 0, [])


async def test_a_watchdog_outlives_what_goes_wrong_while_it_looks(caplog: pytest.LogCaptureFixture) -> None:
    with watched() as (work, lifecycle, clock):
        work.age = "nonsense"  # type: ignore[assignment]
        await clock.advance(1)
        assert "the watchdog failed" in caplog.text
        work.age = LIMIT
        await clock.advance(1)
        assert not lifecycle.serving


def test_a_lifecycle_says_what_is_wrong_only_while_it_would_serve() -> None:
    it = Lifecycle()
    assert it.troubled("a", "one thing")
    assert not it.troubled("a", "the same")
    assert it.state == "starting"
    it.warm()
    it.troubled("b", "another")
    assert (it.state, it.serving) == ("not serving: one thing; another", False)
    assert it.recovered("a")
    assert not it.recovered("a")
    assert it.why_not == "another"
    it.drain()
    assert (it.state, it.why_not) == ("draining", "the server is shutting down")


async def test_a_stuck_batch_ends_who_waits_for_it_and_the_server_recovers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, config(stuck_after=0.2)) as live, talking(live) as it:
        (first,) = await it.results(frame(0, GOOD_BOX))
        assert await health(live.channel) == SERVING
        live.runtime.gate.clear()
        call = asyncio.ensure_future(live.stub.PredictLandmarks(request(GOOD_BOX)))
        await it.say(frame(1))
        code, details = await it.refused()
        assert (code, details.reason) == (UNAVAILABLE, "NOT_SERVING")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == UNAVAILABLE
        assert caught.value.details() == "a batch has been running for longer than stuck_after = 0.2 s"
        assert details_of(caught.value).retry_seconds is not None
        assert await health(live.channel) == NOT_SERVING
        fresh = talk(live)
        await fresh.say(video())
        assert (await fresh.refused())[0] == UNAVAILABLE  # no new session on a server in trouble
        reason = "not serving: a batch has been running for longer than stuck_after = 0.2 s\n"
        assert await get(live.server, "/readyz") == (503, reason)
        assert live.sample("exalign_stuck", where="batch") == 1
        assert live.sample("exalign_oldest_batch_seconds") > 0.2
        live.runtime.gate.set()
        await until(lambda: live.server.lifecycle.serving)
        assert await get(live.server, "/readyz") == (200, "serving\n")
        await until(lambda: live.sample("exalign_oldest_batch_seconds") == 0)
        assert live.sample("exalign_stuck", where="batch") == 0
        assert len((await live.stub.PredictLandmarks(request(GOOD_BOX))).faces) == 1
        async with talking(live, video(token=first.resume_token)) as again:
            await again.results(frame(1))
    assert [r.levelno for r in caplog.records if r.getMessage() == "not serving"] == [logging.ERROR]


async def test_a_stuck_stage_ends_who_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release, plain = threading.Event(), Aligner.crop

    def stuck(*arguments: object) -> object:
        release.wait(60)
        return plain(*arguments)  # type: ignore[arg-type]

    async with running(tmp_path, config(stuck_after=0.2, stage_threads=1)) as live:
        monkeypatch.setattr(Aligner, "crop", stuck)
        calls = [asyncio.ensure_future(live.stub.PredictLandmarks(request(GOOD_BOX))) for _ in range(2)]
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() == UNAVAILABLE
            assert caught.value.details() == "a stage has been running for longer than stuck_after = 0.2 s"
        assert live.sample("exalign_oldest_stage_seconds") > 0.2
        assert (await get(live.server, "/readyz"))[0] == 503
        monkeypatch.undo()
        release.set()
        await until(lambda: live.server.lifecycle.serving)
        assert len((await live.stub.PredictLandmarks(request(GOOD_BOX))).faces) == 1


async def test_a_network_that_raises_again_and_again_is_not_serving_until_it_answers(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_runtime_faults=3)) as live:
        live.runtime.error = RuntimeError("broken")
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await live.stub.PredictLandmarks(request(GOOD_BOX))
            assert caught.value.code() == grpc.StatusCode.INTERNAL
        await until(lambda: not live.server.lifecycle.serving)
        assert (await get(live.server, "/readyz"))[1].startswith("not serving: the network has failed 3 times in a row")
        assert live.sample("exalign_runtime_faults_total", kind="raised") >= 4  # one of its own, too
        live.runtime.error = None
        await until(lambda: live.server.lifecycle.serving)  # without any traffic
        assert await health(live.channel) == SERVING
