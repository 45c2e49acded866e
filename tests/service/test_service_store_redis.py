"""The scripts in Redis answer as the fake does with which all else is tested; and what else Redis may say."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import redis.asyncio as admin

import outside_programs
from exalign_service.config.stores import StoreConfig
from exalign_service.stores.link import RedisLink, StoreAwayError, StoreLink
from exalign_service.stores.script import ALL, FIRST, MORE, Reply, Write
from exalign_service.track.store import FencedError
from store_fakes import FakeLink, FakeRedis

SECRET = b"s" * 16

needs_redis = pytest.mark.skipif(outside_programs.program("redis-server") is None, reason="redis-server is not here")


def some_write(rng: random.Random, key: str = "x:a") -> Write:
    entries = rng.sample(range(1, 6), 2)
    return Write(
        key=key,
        epoch=rng.randint(1, 3),
        owner=rng.choice([b"p", b"q\xff"]),
        number=rng.randint(1, 6),
        base=rng.randint(0, 5),
        kind=rng.choice([FIRST, ALL, MORE, MORE, MORE]),
        secret=rng.choice([SECRET, SECRET, SECRET, b"\x00" * 16]),
        closed=rng.random() < 0.1,
        ttl=60.0,
        head=rng.randbytes(3),
        state=rng.randbytes(5),
        gone=tuple(entries[:1]),
        added=((entries[1], rng.randbytes(4)),),
    )


@needs_redis
async def test_redis_and_the_fake_answer_alike(tmp_path: Path) -> None:
    """What is proven with the fake is true of the scripts."""
    rng = random.Random(23)
    seen = set[object]()
    with outside_programs.redis(tmp_path) as url:
        link: StoreLink = RedisLink(StoreConfig(store=url, store_prefix="x"))
        for history in range(60):
            key = f"x:{history}"
            fake: StoreLink = FakeLink(FakeRedis())
            for _ in range(12):
                if rng.random() < 0.2:
                    owner, secret = rng.choice([b"p", b"q\xff"]), rng.choice([SECRET, SECRET, b"\x00" * 16])
                    epoch = rng.choice([None, None, 1, 2, 3])
                    answers = [await claimed(one, key, secret, owner, epoch) for one in (link, fake)]
                    seen.add(answers[0] if answers[0] == "fenced" else answers[0] is None)
                else:
                    writes = [some_write(rng, key) for _ in range(rng.randint(1, 3))]
                    answers = [await one.write(writes) for one in (link, fake)]
                    seen.update(answers[0])
                assert answers[0] == answers[1]
                assert await link.read(key) == await fake.read(key)
                kept = await link.kept_for(key)
                assert (kept is None) == (await fake.kept_for(key) is None)
                assert kept is None or 50 < kept <= 60
            assert await link.touch([key, "x:none"], 60.0) == await fake.touch([key, "x:none"], 60.0)
        await link.close()
    assert seen == {True, False, "fenced", *Reply} - {Reply.REFUSED}


async def claimed(link: StoreLink, key: str, secret: bytes, owner: bytes, epoch: int | None) -> object:
    try:
        return await link.claim(key, secret, owner, 60.0, epoch)
    except FencedError:
        return "fenced"


@needs_redis
async def test_redis_that_is_full_or_gone_is_away_and_says_why(tmp_path: Path) -> None:
    write = some_write(random.Random(1))
    with outside_programs.redis(tmp_path, "--maxmemory-policy", "noeviction") as url:
        link = RedisLink(StoreConfig(store=url, store_timeout=5.0))
        assert await link.write([replace(write, kind=ALL)]) == [Reply.WRITTEN]
        there = await link.read("x:a")
        await admin.Redis.from_url(url).config_set("maxmemory", "100kb")
        with pytest.raises(StoreAwayError) as full:
            await link.write([replace(write, kind=ALL, number=9, head=b"other")])
        assert full.value.reason == "full"
        assert await link.read("x:a") == there
        assert await link.claim("x:a", write.secret, b"z", 60.0, None) is not None
    with pytest.raises(StoreAwayError) as away:
        await link.ping()
    assert away.value.reason == "away"
    await link.close()


@needs_redis
async def test_one_key_that_is_none_of_ours_is_no_fault_of_the_store(tmp_path: Path) -> None:
    good, bad = replace(some_write(random.Random(1)), kind=ALL), some_write(random.Random(1), "x:b")
    with outside_programs.redis(tmp_path) as url:
        link = RedisLink(StoreConfig(store=url, store_timeout=5.0))
        await admin.Redis.from_url(url).set("x:b", "a text")
        assert await link.write([bad, good]) == [Reply.REFUSED, Reply.WRITTEN]
        with pytest.raises(StoreAwayError) as refused:
            await link.write([bad])
        assert refused.value.reason == "refused"
        await link.close()


@needs_redis
async def test_a_password_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("quiet\n")
    with outside_programs.redis(tmp_path, "--requirepass", "quiet") as url:
        link = RedisLink(StoreConfig(store=url, store_password=tmp_path / "password"))
        await link.ping()
        await link.close()
        link = RedisLink(StoreConfig(store=url))
        with pytest.raises(StoreAwayError) as refused:
            await link.ping()
        assert "quiet" not in str(refused.value)
        await link.close()
