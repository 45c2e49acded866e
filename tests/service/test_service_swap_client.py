"""Our client, blocking and asyncio, and the command against a server whose bundles are swapped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from exalign_client import (
    AccessDeniedError,
    AsyncClient,
    Client,
    ModelChanged,
    NotFoundError,
    PreconditionError,
    TrackFrame,
    TrackResult,
    UnimplementedError,
)
from exalign_client.commands import cli
from service_fakes import GOOD_BOX, encoded, picture, running
from swap_fakes import BundleServer, bundles, serving_bundles
from token_fakes import BOTH, Tokens, secret

PICTURE = encoded(picture())


@pytest_asyncio.fixture
async def it(tmp_path: Path) -> AsyncIterator[BundleServer]:
    async with serving_bundles(bundles(tmp_path / "bundles")) as server:
        yield server


async def test_an_asyncio_video_moves_where_a_frame_allows_it(it: BundleServer) -> None:
    async with AsyncClient(it.server.address) as client:

        async def frames() -> AsyncIterator[TrackFrame]:
            yield TrackFrame(PICTURE, boxes=[GOOD_BOX])
            done = await client.swap_model("b1")
            assert (done.bundle_id, done.previous_bundle_id) == (it.id_of("b1"), it.id_of("b0"))
            yield TrackFrame(PICTURE)
            yield TrackFrame(PICTURE, may_change_model=True)
            yield TrackFrame(PICTURE)

        events = [event async for event in client.track(frames())]
        live = (await client.model()).live_bundles
    assert [e.bundle_id for e in events if isinstance(e, TrackResult)] == [
        it.id_of(b) for b in ("b0", "b0", "b1", "b1")
    ]
    assert events[2] == ModelChanged(2, it.id_of("b1"))
    assert [one.bundle_id for one in live if one.current] == [it.id_of("b1")]


async def test_a_blocking_video_moves_where_a_frame_allows_it(it: BundleServer) -> None:
    def track() -> list[object]:
        with Client(it.server.address) as client:

            def frames() -> Iterator[TrackFrame]:
                yield TrackFrame(PICTURE, boxes=[GOOD_BOX])
                client.swap_model("b1")
                yield TrackFrame(PICTURE, may_change_model=True)

            return list(client.track(frames()))

    first, changed, second = await asyncio.to_thread(track)
    assert isinstance(first, TrackResult)
    assert isinstance(second, TrackResult)
    assert (first.bundle_id, second.bundle_id) == (it.id_of("b0"), it.id_of("b1"))
    assert changed == ModelChanged(1, it.id_of("b1"))


async def test_what_cannot_be_swapped_is_an_error_of_its_kind(it: BundleServer) -> None:
    (it.directory / "b1" / "calibration.json").write_text("{}")
    async with AsyncClient(it.server.address) as client:
        with pytest.raises(PreconditionError) as caught:
            await client.swap_model("b1")
        assert caught.value.reason == "BUNDLE_REFUSED"
        with pytest.raises(NotFoundError):
            await client.swap_model("b9")


async def test_the_command_swaps(it: BundleServer, capsys: pytest.CaptureFixture[str]) -> None:
    def swap(*options: str) -> tuple[int, str]:
        code = cli.main(["swap", *options, "--server", it.server.address])
        return code, capsys.readouterr().out

    code, out = await asyncio.to_thread(swap, "b1")
    assert (code, out.split(", after")[0]) == (
        0,
        f"bundle {it.id_of('b1')[:12]} answers in the place of {it.id_of('b0')[:12]}",
    )
    assert await asyncio.to_thread(swap, "b1") == (0, f"bundle {it.id_of('b1')[:12]} answers already\n")
    code, out = await asyncio.to_thread(swap, "b2", "--json")
    assert (code, json.loads(out)["bundle_id"]) == (0, it.id_of("b2"))
    assert (await asyncio.to_thread(swap, "b9"))[0] == 1


async def test_only_who_has_the_scope_may_swap(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    user, operator = (secret(tokens.add(name, scopes)) for name, scopes in (("u", BOTH), ("o", frozenset(("admin",)))))
    async with serving_bundles(bundles(tmp_path / "bundles"), token_file=tokens.path) as it:
        for token in (None, user):
            async with AsyncClient(it.server.address, token=token) as client:
                with pytest.raises(AccessDeniedError):
                    await client.swap_model("b1")
        async with AsyncClient(it.server.address, token=operator) as client:
            assert (await client.swap_model("b1")).bundle_id == it.id_of("b1")


async def test_a_server_without_a_directory_has_no_such_call(tmp_path: Path) -> None:
    async with running(tmp_path) as live, AsyncClient(live.server.address) as client:
        with pytest.raises(UnimplementedError):
            await client.swap_model("b1")
