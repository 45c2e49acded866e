"""What the refused are told holds no path, no trace and no secret, whatever is wrong."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from error_scan import given_away
from exalign.v1 import service_pb2
from exalign_service.access.static_tokens import new_token
from exalign_service.track.resume_token import ResumeToken
from service_fakes import GOOD_BOX, Running, config, encoded, metadata_of, request, running
from token_fakes import BOTH, Tokens, bearer, secret
from track_fakes import Talk, frame
from track_fakes import config as track_config

FACES = "/exalign.v1.FaceAlignmentService"


def unary(live: Running, method: str, data: bytes, metadata: dict[str, Any]) -> Any:
    """A call with bytes as they are."""
    return live.channel.unary_unary(f"{FACES}/{method}")(data, **metadata)


async def unary_refusals(live: Running, alice: dict[str, Any], weak: dict[str, Any]) -> AsyncIterator[Any]:
    """Calls, each wrong in its own way."""
    good = request(GOOD_BOX).SerializeToString()
    for metadata in ({}, bearer("x"), bearer("a.b.c"), bearer(new_token("eve", BOTH)[0]), bearer(secret(alice)[:-2])):
        yield unary(live, "PredictLandmarks", good, metadata)
    yield unary(live, "PredictLandmarks", good, weak)
    yield unary(live, "Nothing", good, alice)
    yield unary(live, "../../etc/passwd", good, alice)
    yield unary(live, "PredictLandmarks", b"\xff" * 30, alice)
    yield unary(live, "PredictLandmarks", bytes(30_000), alice)
    for data in (b"", b"no picture", encoded()[:50]):
        yield live.stub.PredictLandmarks(request(GOOD_BOX, data=data), **alice)
    wrong = request((9, 9, 1, 1))
    wrong.boxes[0].detector = "/etc/passwd"
    yield live.stub.PredictLandmarks(wrong, **alice)
    yield live.stub.EstimatePose(service_pb2.EstimatePoseRequest(posterior_id="A" * 24), **alice)
    yield live.stub.GetExemplars(service_pb2.GetExemplarsRequest(class_ids=[10**6]), **alice)
    live.runtime.error = RuntimeError("cannot open /srv/models/secret.onnx at 0x7fffdeadbeef")
    yield live.stub.PredictLandmarks(request(GOOD_BOX), **alice)
    live.runtime.error = None


async def stream_refusals(live: Running, alice: dict[str, Any], bob: dict[str, Any]) -> AsyncIterator[Talk]:
    """Videos, each refused in its own way."""

    def video(metadata: dict[str, Any]) -> Talk:
        return Talk(live.stub.TrackVideo(**metadata))  # type: ignore[arg-type]

    hers = video(alice)
    await hers.open(track_config("mine"))
    token = (await hers.results(frame(0, GOOD_BOX)))[0].resume_token
    forged = dataclasses.replace(ResumeToken.decode(token), frame=7).encode()
    for who, asked in (
        ({}, track_config()),
        (alice, track_config("mine")),
        (alice, track_config("a/b", b"no token")),
        (alice, track_config("mine", token, smoothing_lag=3)),
        (alice, track_config("mine", forged)),
        (bob, track_config("mine", token)),
    ):
        it = video(who)
        if who:  # of a stranger nothing is read: what he says may find the stream at its end
            await it.say(asked)
        yield it
    early = video(alice)
    await early.say(frame(0))
    yield early
    await hers.cut()


def said(error: grpc.aio.AioRpcError) -> bytes:
    """All that comes with a status: its text, and its details as they are."""
    return str(error.details()).encode() + b"\n" + metadata_of(error).get("grpc-status-details-bin", b"")


async def test_no_error_text_gives_anything_away(tmp_path: Path) -> None:
    tokens, keys, key = Tokens(tmp_path), tmp_path / "keys", secrets.token_hex(32)
    keys.write_text(key)
    alice, bob, weak = tokens.add("alice"), tokens.add("bob"), tokens.add("weak", frozenset(("track",)))
    settings = config(token_file=tokens.path, resume_keys=keys, max_message_bytes=20_000, max_encoded_bytes=20_000)
    texts: list[tuple[grpc.StatusCode, bytes]] = []

    async def refused(call: Any) -> None:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            texts.append((error.code(), said(error)))
        else:
            raise AssertionError(f"answered, after {texts[-1:]}")

    async with running(tmp_path, settings) as live:
        async for call in unary_refusals(live, alice, weak):
            await refused(call)
        async for video in stream_refusals(live, alice, bob):
            await refused(video.rest())
    assert {code.name for code, _ in texts} >= {
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "UNIMPLEMENTED",
        "INVALID_ARGUMENT",
        "RESOURCE_EXHAUSTED",
        "NOT_FOUND",
        "FAILED_PRECONDITION",
        "ALREADY_EXISTS",
        "INTERNAL",
    }
    hidden = [str(tmp_path), key, *map(secret, (alice, bob)), *tokens.lines.values()]
    assert given_away(b"cannot open /srv/models/secret.onnx")
    for code, text in texts:
        found = given_away(text, (b"/etc/passwd", b"../..", FACES.encode()))  # their own words
        assert found is None, (code, found, text)
        assert not any(part.encode() in text for part in hidden), code
