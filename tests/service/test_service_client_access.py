"""Our client against a real server that asks who it is: certificates, tokens that change, and the command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from access_fakes import Authority
from exalign_client import (
    AccessDeniedError,
    AsyncClient,
    Client,
    InvalidRequestError,
    Tls,
    TrackResult,
    UnavailableError,
)
from exalign_client.commands import cli
from exalign_service.access import gate
from service_fakes import GOOD_BOX, config, encoded, picture, running
from token_fakes import PREDICT, Tokens, secret

FRAMES = [encoded(picture(seed=i)) for i in range(3)]

Ask = Callable[..., Awaitable[tuple[int, int]]]


async def ask_sync(address: str, **options: Any) -> tuple[int, int]:
    """Faces of a picture, and results of a video."""

    def ask() -> tuple[int, int]:
        with Client(address, timeout=20, **options) as client:
            faces = client.predict(FRAMES[0], [GOOD_BOX])
            return len(faces), sum(isinstance(event, TrackResult) for event in client.track(FRAMES))

    return await asyncio.to_thread(ask)


async def ask_async(address: str, **options: Any) -> tuple[int, int]:
    async with AsyncClient(address, timeout=20, **options) as client:
        faces = await client.predict(FRAMES[0], [GOOD_BOX])
        return len(faces), len([event async for event in client.track(FRAMES) if isinstance(event, TrackResult)])


both = pytest.mark.parametrize("ask", [ask_sync, ask_async])


@both
async def test_a_client_with_certificate_and_token_is_answered(tmp_path: Path, ask: Ask) -> None:
    authority, callers, tokens = Authority(), Authority("callers"), Tokens(tmp_path)
    cert, key = authority.issue().write(tmp_path)
    own = callers.issue("alice", uri="spiffe://example/alice").write(tmp_path, "own")
    ca = authority.write(tmp_path)
    token = secret(tokens.add("alice"))
    settings = config(
        tls_cert=cert, tls_key=key, tls_client_ca=callers.write(tmp_path, "callers"), token_file=tokens.path
    )
    async with running(tmp_path, settings, credentials=authority.trusted()) as live:
        tls = Tls(ca, *own)
        assert await ask(live.server.address, tls=tls, token=token) == (1, 3)
        with pytest.raises(AccessDeniedError, match="needs a token that is good here"):
            await ask(live.server.address, tls=tls)
        for lacking in (Tls(ca), False, True):
            with pytest.raises(UnavailableError):
                await ask(live.server.address, tls=lacking, token=token)


@both
async def test_a_token_is_asked_for_at_each_call(tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_LOOK", 0.0)
    tokens, asked = Tokens(tmp_path), list[str]()

    def newest() -> str:
        """Another one each time; those before are struck out."""
        tokens.lines.clear()
        asked.append(secret(tokens.add(f"alice{len(asked)}")))
        return asked[-1]

    async with running(tmp_path, config(token_file=tokens.path)) as live:
        assert await ask(live.server.address, token=newest) == (1, 3)
        assert len(asked) >= 2


async def test_a_token_may_be_fetched_by_a_coroutine(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    token = secret(tokens.add("alice"))

    async def fetch() -> str:
        await asyncio.sleep(0)
        return token

    async with running(tmp_path, config(token_file=tokens.path)) as live:
        assert await ask_async(live.server.address, token=fetch) == (1, 3)
        assert await ask_async(live.server.address, token=lambda: fetch()) == (1, 3)


@pytest.mark.parametrize("make", [Client, AsyncClient])
async def test_a_token_is_not_sent_where_strangers_can_read_it(make: Any) -> None:
    with pytest.raises(InvalidRequestError, match="token: is not sent to another machine without TLS"):
        make("192.0.2.1:50051", token="secret")
    with pytest.raises(InvalidRequestError, match="both of cert and key"):
        make("192.0.2.1:50051", tls=Tls(cert="mine.crt"))
    for address, tls in (("192.0.2.1:50051", True), ("localhost:50051", False), ("unix:/tmp/x", False)):
        client = make(address, tls=tls, token="secret")
        await client.close() if make is AsyncClient else client.close()


@pytest.mark.parametrize("token", ["", "two words", "é", "a\nb"])
def test_a_token_that_is_none_is_not_shown(token: str) -> None:
    with Client("localhost:1", token=token) as client, pytest.raises(InvalidRequestError) as caught:
        client.predict(FRAMES[0])
    assert str(caught.value) == "token: must be a text of printable ASCII without blanks"


async def test_the_command_has_certificate_and_token_from_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority, tokens = Authority(), Tokens(tmp_path)
    cert, key = authority.issue().write(tmp_path)
    photo, file = tmp_path / "photo.png", tmp_path / "token"
    photo.write_bytes(FRAMES[0])
    file.write_text(secret(tokens.add("alice", PREDICT)) + "\n")
    settings = config(tls_cert=cert, tls_key=key, token_file=tokens.path)
    async with running(tmp_path, settings, credentials=authority.trusted()) as live:
        server = ["--server", live.server.address, "--tls-ca", str(authority.write(tmp_path))]
        box = ["--box", ",".join(map(str, GOOD_BOX))]

        def command(*arguments: str) -> int:
            return cli.main(["predict", str(photo), "--json", *box, *arguments])

        assert await asyncio.to_thread(command, *server, "--token-file", str(file)) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[0])
        assert await asyncio.to_thread(command, *server) == 1
        assert "needs a token" in capsys.readouterr().err
        assert await asyncio.to_thread(command, *server, "--token-file", str(tmp_path / "absent")) == 1
