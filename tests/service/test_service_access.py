"""Tokens of the server's own: who may call what, what the refused hear, what is counted and logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from exalign.v1 import service_pb2
from exalign_service.access import gate
from exalign_service.access.holder import REASONS
from exalign_service.access.scopes import ADMIN, is_known, needed
from exalign_service.access.start_checks import check_access
from exalign_service.access.static_tokens import StaticTokens, new_token, read_tokens
from exalign_service.cli import main
from exalign_service.config.access import AccessConfig
from exalign_service.config.start_checks import StartError
from exalign_service.observability.metrics import DENIALS
from exalign_service.rpc.services import MODEL_ADMIN, SERVICES
from service_fakes import GOOD_BOX, config, details_of, request, running
from token_fakes import BOTH, PREDICT, Tokens, bearer, refusal, secret
from track_fakes import Talk, frame

UNAUTHENTICATED, PERMISSION_DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path)


async def test_a_call_needs_a_good_token_and_the_refused_hear_one_thing(
    tmp_path: Path, tokens: Tokens, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_LINES", 1e9)
    alice, ended = tokens.add("alice"), tokens.add("bob", expires=1.0)
    good = secret(alice)
    stranger = new_token("mallory", BOTH)[0]
    forged = good[:-1] + ("A" if good[-1] != "A" else "B")
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("missing", {}),
        ("malformed", {"metadata": (("authorization", f"Basic {good}"),)}),
        ("malformed", {"metadata": (("authorization", good),)}),
        ("malformed", {"metadata": (("authorization", f"Bearer {good}"), ("authorization", f"Bearer {good}"))}),
        ("malformed", bearer(f"{good}x")),
        ("unknown", bearer("x.y.z")),
        ("unknown", bearer(stranger)),
        ("forged", bearer(forged)),
        ("expired", ended),
    ]
    async with running(tmp_path, config(token_file=tokens.path)) as live:
        assert (await live.stub.PredictLandmarks(request(GOOD_BOX), **alice)).faces
        caplog.clear()
        answers = []
        for reason, metadata in wrong:
            before = live.sample("exalign_access_denied_total", reason=reason)
            error = await refusal(live.stub.PredictLandmarks(request(GOOD_BOX), **metadata))
            assert live.sample("exalign_access_denied_total", reason=reason) == before + 1, reason
            answers.append((error.code(), error.details(), details_of(error)))
        one = answers[0]
        assert answers == [one] * len(wrong)
        assert (one[0], one[2].reason) == (UNAUTHENTICATED, "UNAUTHENTICATED")
        lines = [r.fields for r in caplog.records if r.getMessage() == "access"]  # type: ignore[attr-defined]
        assert [line["reason"] for line in lines] == [reason for reason, _ in wrong]
        for line in lines:
            assert line["method"] == "exalign.v1.FaceAlignmentService/PredictLandmarks"
            assert line["decision"] == "denied"
            assert line["peer"].startswith("ipv4:127.0.0.1:")
        written = "".join(str(vars(record)) for record in caplog.records)
        assert not any(part in written for part in (good, stranger, forged, secret(ended)))


async def test_refused_calls_are_counted_as_calls_of_their_method(tmp_path: Path, tokens: Tokens) -> None:
    labels = {"grpc_service": "exalign.v1.FaceAlignmentService", "grpc_method": "PredictLandmarks"}
    async with running(tmp_path, config(token_file=tokens.path)) as live:
        await refusal(live.stub.PredictLandmarks(request(GOOD_BOX)))
        code = {"grpc_type": "unary", "grpc_code": "Unauthenticated"}
        assert live.sample("grpc_server_handled_total", **labels, **code) == 1
        assert live.sample("grpc_server_msg_received_total", grpc_type="unary", **labels) == 0
        assert not live.runtime.batches


async def test_a_token_allows_what_its_scopes_say(
    tmp_path: Path, tokens: Tokens, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_LINES", 1e9)
    predicts, tracks = tokens.add("predicts", PREDICT), tokens.add("tracks", frozenset(("track",)))
    async with running(tmp_path, config(token_file=tokens.path)) as live:
        error = await refusal(live.stub.PredictLandmarks(request(GOOD_BOX), **tracks))
        assert (error.code(), details_of(error).reason) == (PERMISSION_DENIED, "PERMISSION_DENIED")
        video = Talk(live.stub.TrackVideo(**predicts))  # type: ignore[arg-type]
        assert (await video.refused())[0] is PERMISSION_DENIED
        assert live.sample("exalign_access_denied_total", reason="scope") == 2
        assert "token:predicts" in [getattr(r, "fields", {}).get("caller") for r in caplog.records]
        allowed = Talk(live.stub.TrackVideo(**tracks))  # type: ignore[arg-type]
        await allowed.open()
        await allowed.results(frame(0, GOOD_BOX))
        await allowed.close()
        for metadata in (predicts, tracks):
            assert (await live.stub.GetModel(service_pb2.GetModelRequest(), **metadata)).bundle_id
        assert (await refusal(live.stub.GetModel(service_pb2.GetModelRequest()))).code() is UNAUTHENTICATED


async def test_health_is_for_everybody_and_reflection_for_callers(tmp_path: Path, tokens: Tokens) -> None:
    alice = tokens.add("alice", PREDICT)
    async with running(tmp_path, config(token_file=tokens.path)) as live:
        health = health_pb2_grpc.HealthStub(live.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        ask = [reflection_pb2.ServerReflectionRequest(list_services="")]
        stub = reflection_pb2_grpc.ServerReflectionStub(live.channel)
        listed = [answer async for answer in stub.ServerReflectionInfo(iter(ask), **alice)]
        assert len(listed) == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [answer async for answer in stub.ServerReflectionInfo(iter(ask))]
        assert caught.value.code() is UNAUTHENTICATED
        infer = live.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        assert (await refusal(infer(b""))).code() is UNAUTHENTICATED
        assert await live.channel.unary_unary("/inference.GRPCInferenceService/ServerReady")(b"")
        unknown = live.channel.unary_unary("/exalign.v1.FaceAlignmentService/Nothing")
        assert (await refusal(unknown(b""))).code() is grpc.StatusCode.UNIMPLEMENTED


def test_every_method_has_its_place_in_the_table_of_scopes() -> None:
    methods = [
        f"{service.full_name}/{method.name}" for service in (*SERVICES, MODEL_ADMIN) for method in service.methods
    ]
    assert [name for name in methods if not is_known(name)] == []
    assert needed("exalign.v1.FaceAlignmentService/SomethingNew") == ADMIN


async def test_a_changed_file_holds_for_the_next_call(
    tmp_path: Path, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_LOOK", 0.0)
    alice = tokens.add("alice")
    async with running(tmp_path, config(token_file=tokens.path)) as live:

        async def code(metadata: dict[str, Any]) -> grpc.StatusCode:
            call = live.stub.GetModel(service_pb2.GetModelRequest(), **metadata)
            return await call.code()  # type: ignore[no-any-return]

        bob = tokens.add("bob")
        assert [await code(who) for who in (alice, bob)] == [grpc.StatusCode.OK] * 2
        del tokens.lines["alice"]
        tokens.write()
        assert [await code(who) for who in (alice, bob)] == [UNAUTHENTICATED, grpc.StatusCode.OK]
        tokens.path.write_text("something else\n")
        assert await code(bob) is grpc.StatusCode.OK
        assert live.sample("exalign_reloads_total", what="tokens", result="refused") == 1
        assert live.sample("exalign_reloads_total", what="tokens", result="used") == 2


@pytest.mark.parametrize(
    "line",
    [
        "alice predict",
        "{id} alice predict,everything never {salt} {hash}",
        "{id} alice predict soon {salt} {hash}",
        "{id} a\tb predict never {salt} {hash}",
        "{id} alice predict never {salt} {hash}\n{id} bob predict never {salt} {hash}",
    ],
)
def test_a_line_that_is_none_is_named_by_its_number_alone(tmp_path: Path, line: str) -> None:
    text = line.format(id="0" * 16, salt="a" * 32, hash="b" * 64)
    path = tmp_path / "tokens"
    path.write_text(f"# tokens\n{text}\n")
    with pytest.raises(StartError, match=r"token_file is .*, line [23]: ") as caught:
        check_access(AccessConfig(token_file=path))
    assert "b" * 64 not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_writes_a_line_that_the_server_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "token"
    assert main(["token", "alice", "--scopes", "predict", "--expires", "2999-01-01", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    (tmp_path / "tokens").write_text(printed.out)
    token = out.read_text().strip()
    assert out.stat().st_mode & 0o077 == 0
    assert token not in printed.out + printed.err
    found: StaticTokens = read_tokens(tmp_path / "tokens")
    holder = found.holder(token)
    assert (holder.name, holder.scopes) == ("token:alice", PREDICT)
    assert main(["token", "alice", "--out", str(out)]) == 1  # no token is written over another
    for wrong in (["a b"], ["a", "--scopes", "all"], ["a", "--expires", "soon"]):
        with pytest.raises(SystemExit, match="2"):
            main(["token", *wrong])


def test_every_reason_has_its_label_from_the_start() -> None:
    assert (*REASONS, "resume_token") == DENIALS
