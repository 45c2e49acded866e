"""What a caller makes is its own: posteriors, sessions, and its share of the server on all its connections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from exalign.v1 import service_pb2
from service_fakes import GOOD_BOX, Running, another_caller, config, details_of, request, running
from token_fakes import Tokens, refusal
from track_fakes import Talk, frame
from track_fakes import config as track_config


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path)


async def test_another_callers_posterior_is_as_unknown_as_one_that_never_was(tmp_path: Path, tokens: Tokens) -> None:
    alice, bob = tokens.add("alice"), tokens.add("bob")
    async with running(tmp_path, config(token_file=tokens.path)) as live, another_caller(live) as elsewhere:
        known = (await live.stub.PredictLandmarks(request(GOOD_BOX), **alice)).faces[0].posterior_id

        async def refused(name: str) -> tuple[Any, ...]:
            error = await refusal(live.stub.EstimatePose(service_pb2.EstimatePoseRequest(posterior_id=name), **bob))
            return error.code(), error.details(), details_of(error)

        assert await refused(known) == await refused("A" * 24)
        assert live.sample("exalign_posterior_lookups_total", result="miss") == 2
        hers = service_pb2.EstimatePoseRequest(posterior_id=known)
        assert (await elsewhere.stub.EstimatePose(hers, **alice)).faces


async def test_another_callers_session_is_as_unknown_as_one_that_never_was(tmp_path: Path, tokens: Tokens) -> None:
    alice, bob = tokens.add("alice"), tokens.add("bob")

    def video(live: Running, metadata: dict[str, Any]) -> Talk:
        return Talk(live.stub.TrackVideo(**metadata))  # type: ignore[arg-type]

    async with running(tmp_path, config(token_file=tokens.path)) as live:
        hers = video(live, alice)
        await hers.open(track_config("mine"))
        token = (await hers.results(frame(0, GOOD_BOX)))[0].resume_token
        # Her name is free for him, live or broken, and her token worth nothing.
        for _ in range(2):
            his = video(live, bob)
            assert (await his.open(track_config("mine"))).epoch == 1
            await his.close()
            thief = video(live, bob)
            await thief.say(track_config("mine", token))
            code, details = await thief.refused()
            assert (code, details.reason) == (grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
            await hers.cut()
        again = video(live, alice)
        assert (await again.open(track_config("mine", token))).epoch == 2
        await again.close()
        late = video(live, alice)
        await late.say(track_config("mine", token))
        assert await late.refused() == (code, details)  # what was hers and is gone


async def test_a_caller_is_one_on_all_its_connections(tmp_path: Path, tokens: Tokens) -> None:
    alice, bob = tokens.add("alice"), tokens.add("bob")
    settings = config(token_file=tokens.path, max_sessions=2)
    async with running(tmp_path, settings) as live, another_caller(live) as elsewhere:
        first = Talk(live.stub.TrackVideo(**alice))  # type: ignore[arg-type]
        await first.open()
        second = Talk(elsewhere.stub.TrackVideo(**alice))  # type: ignore[arg-type]
        await second.say(track_config())
        assert (await second.refused())[1].reason == "CALLER_SESSIONS_FULL"
        other = Talk(elsewhere.stub.TrackVideo(**bob))  # type: ignore[arg-type]
        await other.open()
        for one in (first, other):
            await one.cut()
