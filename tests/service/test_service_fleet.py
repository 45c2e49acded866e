"""Servers that share a store: a video goes on in any of them, bit for bit, whatever becomes of the one that had it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from exalign_service.config.schema import StoreConfig
from exalign_service.stores import opening
from exalign_service.stores.link import StoreAwayError
from exalign_service.track.resume_token import ResumeToken
from service_fakes import GOOD_BOX, PATIENCE, Running, running, until
from service_fakes import config as server_config
from store_fakes import FakeLink, FakeRedis
from test_service_track_resume import FRAMES, OPTIONS, Transcript, script_from, uncut
from track_fakes import config, frame, plain, talk

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


class StoreWire:
    """Between a server and the store: slow now and then, and cut where the server has died."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.cut = False

    async def __call__(self, what: str) -> None:
        for _ in range(self._rng.choice([0, 1, 1, 5, 40])):
            await asyncio.sleep(0)
        if self.cut:
            raise StoreAwayError("away", "by script")


@dataclass
class Fleet:
    """Servers and their store."""

    redis: FakeRedis
    servers: list[Running] = field(default_factory=list)
    lines: list[StoreWire] = field(default_factory=list)


@asynccontextmanager
async def fleet(
    folder: Path, monkeypatch: pytest.MonkeyPatch, count: int, seed: int = 0, **settings: Any
) -> AsyncIterator[Fleet]:
    """Some servers over one store, with keys that all of them have."""
    (folder / "keys").write_text("0f" * 32)
    made, rng = Fleet(FakeRedis()), random.Random(seed)

    def link(config: StoreConfig) -> FakeLink:
        made.lines.append(StoreWire(rng))
        return FakeLink(made.redis, made.lines[-1], made.lines[-1])

    monkeypatch.setattr(opening, "RedisLink", link)
    async with AsyncExitStack() as stack:
        for _ in range(count):
            wanted = server_config(resume_keys=folder / "keys", store="redis://nowhere", **settings)
            made.servers.append(await stack.enter_async_context(running(folder, wanted)))
        yield made
        for line in made.lines:
            line.cut = False


class Repeated(Transcript):
    """What comes twice is the same but for the clock, and for the stream that it comes from."""

    durable = -1

    def take(self, answer: Any) -> None:
        self.durable = max(self.durable, answer.durable_frame)
        before = self.results.get(answer.result.frame_index) if answer.HasField("result") else None
        if before is not None:
            assert plain([before]) == plain([answer.result])
            hashes = [ResumeToken.decode(r.resume_token).state_hash for r in (before, answer.result)]
            assert hashes[0] == hashes[1]
            return
        super().take(answer)


async def watch(made: Fleet, name: str, cuts: list[int], *, die: bool) -> Repeated:
    """Send the video; after so many messages the server dies, or the stream breaks, and the next server goes on."""
    transcript = Repeated()
    for turn, cut in enumerate([*cuts, -1]):
        index = turn % len(made.servers)
        made.lines[index].cut = False
        await until(lambda index=index: made.servers[index].sample("exalign_store_up") == 1)
        it = talk(made.servers[index])
        asked = config(name, transcript.token, **OPTIONS)
        if transcript.token:
            asked.resends_after = transcript.durable
        opened = await it.open(asked)

        rest = script_from(opened.next_frame)

        async def send(it: Any = it, rest: list[Any] = rest) -> None:
            for message in rest:
                await it.say(message)
            await it.call.done_writing()

        sending = asyncio.create_task(send())
        received = 0
        while (received != cut or not transcript.results) and (
            answer := await asyncio.wait_for(it.call.read(), PATIENCE)
        ) is not grpc.aio.EOF:
            transcript.take(answer)
            received += 1
        if transcript.closed:
            await sending
            return transcript
        made.lines[index].cut = die
        await it.cut()
        await asyncio.gather(sending, return_exceptions=True)
    raise AssertionError(f"the video never ended: {await it.call.code()} {await it.call.details()}")


@pytest.mark.parametrize("durability", ["before", "after"])
@pytest.mark.parametrize("die", [False, True], ids=["broken", "dead"])
async def test_a_video_goes_on_in_another_server_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, die: bool, durability: str
) -> None:
    async with fleet(tmp_path, monkeypatch, 3, durability=durability) as made:
        want = await uncut(made.servers[0])
        for cut in range(2, 22, 5):
            got = await watch(made, f"cut-{cut}", [cut, 3, 4], die=die)
            assert got.comparable() == want.comparable(), cut
            assert sorted(got.results) == FRAMES
        assert sum(s.sample("exalign_checkpoints_total", outcome="written") for s in made.servers) > 40


async def test_a_server_that_is_woken_after_a_takeover_is_refused_and_its_client_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fleet(tmp_path, monkeypatch, 2) as made:
        one, two = made.servers
        old, new = talk(one), talk(two)
        await old.open(config("mine"))
        (result,) = await old.results(frame(0, GOOD_BOX))
        await until(lambda: made.redis.sessions["exalign:mine"].session.number == 2)
        opened = await new.open(config("mine", result.resume_token, resends_after=-1))
        assert (opened.epoch, opened.next_frame) == (2, 1)
        await old.say(frame(1))
        code, details = await old.refused()
        assert (code, details.reason) == (PRECONDITION, "SESSION_TAKEN_OVER")
        assert one.sample("exalign_checkpoints_total", outcome="fenced") == 1
        assert (await new.hear("result")).frame_index == 0  # was never acknowledged
        assert [r.frame_index for r in await new.results(frame(1), frame(2))] == [1, 2]
        await new.close()


async def test_a_token_newer_than_the_store_is_taken_only_from_who_can_send_the_rest_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fleet(tmp_path, monkeypatch, 2) as made:
        one, two = made.servers
        it = talk(one)
        await it.open(config("mine"))
        await it.results(frame(0, GOOD_BOX))
        await until(lambda: made.redis.sessions["exalign:mine"].session.number == 2)
        made.lines[0].cut = True
        *_, newest = await it.results(frame(1), frame(2))
        assert two.sample("exalign_store_up") == 1
        assert one.sample("exalign_store_up") == 0
        for resends in ({}, {"resends_after": 1}):
            again = talk(two)
            await again.say(config("mine", newest.resume_token, **resends))
            code, details = await again.refused()
            assert (code, details.reason) == (PRECONDITION, "TOKEN_OTHER_STATE")
        again = talk(two)
        assert (await again.open(config("mine", newest.resume_token, resends_after=0))).next_frame == 1
        assert (await again.hear("result")).frame_index == 0
        assert plain(await again.results(frame(1), frame(2)))[-1] == plain([newest])[0]
        await again.close()


async def test_a_session_of_a_name_is_one_whichever_server_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fleet(tmp_path, monkeypatch, 2) as made:
        one, two = made.servers
        it = talk(one)
        await it.open(config("mine"))
        other = talk(two)
        await other.say(config("mine"))
        code, details = await other.refused()
        assert (code, details.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")
        await it.close()


async def test_without_the_store_a_session_that_is_not_here_is_asked_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fleet(tmp_path, monkeypatch, 2) as made:
        one, two = made.servers
        it = talk(one)
        await it.open(config("mine"))
        (result,) = await it.results(frame(0, GOOD_BOX))
        made.lines[1].cut = True
        other = talk(two)
        await other.say(config("mine", result.resume_token))
        code, details = await other.refused()
        assert (code, details.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        await it.close()


async def test_what_a_video_has_not_heard_of_its_end_it_hears_from_another_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fleet(tmp_path, monkeypatch, 2) as made:
        one, two = made.servers
        it = talk(one)
        await it.open(config("mine", path_frames=2))
        results = await it.results(frame(0, GOOD_BOX), frame(1))
        closed = await it.close()
        await until(lambda: made.redis.sessions["exalign:mine"].session.closed)
        again = talk(two)
        await again.open(config("mine", results[-1].resume_token, path_frames=2, resends_after=-1))
        assert await again.close() == closed
