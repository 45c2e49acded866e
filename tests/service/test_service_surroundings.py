"""What goes wrong around a server is seen and shown, and costs no call: docs/decisions/faults.md has the table."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from exalign_engine.bundle.bundle import MANIFEST
from exalign_service.access.holder import BadTokenError
from exalign_service.access.static_tokens import StaticTokens, new_token
from exalign_service.observability.logs import LineHandler
from exalign_service.serving.surroundings import LOOK, Surroundings
from manual_clock import ManualClock
from service_fakes import GOOD_BOX, Running, another_caller, config, request, running, until
from token_fakes import BOTH
from track_fakes import config as track_config
from track_fakes import frame, talking

DAY = 86_400.0


@dataclass
class Shown:
    """See `SurroundingsObserver`."""

    certificate_ends: float = math.inf
    jumps: list[float] = field(default_factory=list)
    expired: bool = False
    missing: bool = False
    tables: int = 0
    tasks: int = 0
    lines: int = 0

    def tasks_counted(self, tasks: int) -> None:
        self.tasks = tasks

    def clock_jumped(self, seconds: float) -> None:
        self.jumps.append(seconds)

    def certificate_expired(self, expired: bool) -> None:
        self.expired = expired

    def bundle_missing(self, missing: bool) -> None:
        self.missing = missing

    def not_written(self, tables: int, lines: int) -> None:
        self.tables, self.lines = tables, self.lines + lines


class Place:
    """A folder with a manifest, a clock that is moved by hand, and who looks."""

    def __init__(self, folder: Path) -> None:
        self.manifest, self.clock, self.seen = folder / MANIFEST, ManualClock(), Shown()
        self.manifest.write_text("")
        self.ahead = 0.0
        self.looks = Surroundings(lambda: folder, self.seen, self.clock, lambda: self.clock.now() + self.ahead)

    async def look(self) -> Shown:
        await self.clock.advance(LOOK)
        await self.looks.look()
        return self.seen


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_a_clock_that_jumps_is_counted_and_one_that_is_set_slowly_is_not(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        place.ahead += 0.5  # a thousand times as fast as clocks are set
        assert (await place.look()).jumps == []
    for jump in (3600.0, -7200.0):
        place.ahead += jump
        assert (await place.look()).jumps[-1] == pytest.approx(jump)
        assert len((await place.look()).jumps) == (1 if jump > 0 else 2)
    assert [line.levelname for line in caplog.records if line.message == "the clock has jumped"] == ["WARNING"] * 2


async def test_the_tasks_of_the_loop_are_counted(place: Place) -> None:
    before = (await place.look()).tasks
    more = [asyncio.create_task(asyncio.sleep(60)) for _ in range(3)]
    assert (await place.look()).tasks == before + 3
    for task in more:
        task.cancel()
    await asyncio.gather(*more, return_exceptions=True)
    assert (await place.look()).tasks == before


async def test_a_certificate_that_ends_in_use_is_said_once_and_shown_until_another_is_there(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.seen.certificate_ends = place.clock.now() + 2.5 * LOOK
    found = [(await place.look()).expired for _ in range(4)]
    assert found == [False, False, True, True]
    assert sum("certificate has expired" in line.message for line in caplog.records) == 1
    place.seen.certificate_ends = place.clock.now() + DAY
    assert not (await place.look()).expired


async def test_a_bundle_that_vanishes_is_said_once_and_shown_until_it_is_back(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    assert not (await place.look()).missing
    place.manifest.unlink()
    assert [(await place.look()).missing for _ in range(2)] == [True, True]
    assert sum("the bundle is gone" in line.message for line in caplog.records) == 1
    place.manifest.write_text("")
    assert not (await place.look()).missing


class FullDisk(io.StringIO):
    """A file on it."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_lines_that_a_full_disk_does_not_take_are_counted_and_raise_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (await place.look()).lines
    handler = LineHandler(FullDisk())
    for _ in range(3):
        handler.handle(logging.makeLogRecord({"msg": "nobody will read this"}))
    assert (await place.look()).lines == before + 3
    assert capsys.readouterr() == ("", "")


async def ask(live: Running) -> grpc.StatusCode:
    """How a call ends."""
    try:
        await live.stub.PredictLandmarks(request(GOOD_BOX))
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def shows(live: Running, name: str, wanted: float = 1.0, **labels: str) -> None:
    """Wait until a metric has a value."""
    await until(lambda: live.sample(name, **labels) == wanted, 120.0)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time of day of this process, seconds from the true one."""
    true, ahead = time.time, 0.0

    def jump(seconds: float) -> None:
        nonlocal ahead
        ahead = seconds

    monkeypatch.setattr(time, "time", lambda: true() + ahead)
    return jump


async def test_calls_and_videos_go_on_when_the_bundle_has_gone(tmp_path: Path) -> None:
    async with running(tmp_path) as live, talking(live) as it:
        await it.results(frame(0, GOOD_BOX))
        await shows(live, "exalign_bundle_missing", 0.0)
        (tmp_path / MANIFEST).rename(tmp_path / "elsewhere")
        await shows(live, "exalign_bundle_missing")
        assert await ask(live) is grpc.StatusCode.OK
        await it.results(frame(1))
        assert live.server.lifecycle.serving


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_calls_videos_and_broken_sessions_outlast_a_jump_of_the_clock(
    tmp_path: Path, wall: Callable[[float], None], jump: float
) -> None:
    async with running(tmp_path, config(session_idle_timeout=600.0, session_retention=600.0)) as live:
        async with talking(live) as it:
            (first,) = await it.results(frame(0, GOOD_BOX))
            wall(jump)
            await shows(live, "exalign_clock_jumps_total", direction="forward" if jump > 0 else "backward")
            assert await ask(live) is grpc.StatusCode.OK
            (second,) = await it.results(frame(1))
        async with talking(live, track_config(token=second.resume_token)) as it:
            await it.hear("result")
            await it.hear("result")
            await it.results(frame(2))
        assert first.resume_token != second.resume_token
        assert live.server.lifecycle.serving


def test_a_token_follows_the_clock_both_ways() -> None:
    token, line = new_token("alice", BOTH, expires=1000.0)
    now = 0.0
    tokens = StaticTokens({line.token_id: line}, clock=lambda: now)
    for moment, good in ((500.0, True), (500.0 + DAY, False), (500.0, True), (500.0 - DAY, True)):
        now = moment
        if good:
            assert tokens.holder(token).name == "token:alice"
        else:
            with pytest.raises(BadTokenError, match="expired"):
                tokens.holder(token)


async def test_calls_go_on_when_the_certificate_has_ended_in_use(tmp_path: Path, wall: Callable[[float], None]) -> None:
    access = pytest.importorskip("access_fakes")
    authority = access.Authority()
    cert, key = authority.issue().write(tmp_path)
    trusted = authority.trusted()
    async with running(tmp_path, config(tls_cert=cert, tls_key=key), credentials=trusted) as live:
        assert await ask(live) is grpc.StatusCode.OK
        wall(DAY)  # the certificate holds for an hour
        await shows(live, "exalign_certificate_expired")
        assert await ask(live) is grpc.StatusCode.OK
        assert live.server.lifecycle.serving
        authority.issue(ends=timedelta(days=3)).write(tmp_path)
        async with another_caller(live, trusted) as fresh:
            assert await ask(fresh) is grpc.StatusCode.OK
        await shows(live, "exalign_certificate_expired", 0.0)


async def test_new_callers_refuse_a_certificate_that_has_ended(tmp_path: Path, wall: Callable[[float], None]) -> None:
    access = pytest.importorskip("access_fakes")
    authority = access.Authority()
    cert, key = authority.issue(ends=timedelta(hours=-1)).write(tmp_path)
    wall(-DAY)  # or the server would not start with it
    async with running(tmp_path, config(tls_cert=cert, tls_key=key), credentials=authority.trusted()) as live:
        assert await ask(live) is grpc.StatusCode.UNAVAILABLE
        wall(0.0)
        await shows(live, "exalign_certificate_expired")
