"""Another bundle in the place of the one that answers: who is answered by which, what is refused, when one goes."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from drawn_bundles import number_of
from exalign.open_inference import inference_pb2, inference_pb2_grpc
from exalign.v1 import evidence_pb2, service_pb2, track_pb2
from exalign_engine.bundle.bundle import MANIFEST
from exalign_service import server as server_module
from exalign_service.config.schema import ModelConfig, ServerConfig
from exalign_service.rpc.services import MODEL_ADMIN, services_of
from service_fakes import GOOD_BOX, config, details_of, until
from swap_fakes import BundleServer, bundles, serving_bundles
from track_fakes import Talk, frame
from track_fakes import config as track_config

NOT_FOUND, EXHAUSTED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.RESOURCE_EXHAUSTED
PRECONDITION, INVALID = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT


@pytest_asyncio.fixture
async def it(tmp_path: Path) -> AsyncIterator[BundleServer]:
    async with serving_bundles(bundles(tmp_path / "bundles")) as server:
        yield server


def video(it: BundleServer) -> Talk:
    return Talk(it.stub.TrackVideo())


def answered_by(result: track_pb2.FrameResult) -> int:
    (track,) = result.tracks
    return number_of(track.face)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), details_of(caught.value).reason


async def test_new_calls_are_answered_by_the_new_bundle_and_the_old_one_goes(it: BundleServer) -> None:
    before = await it.predict()
    assert (before.bundle_id, number_of(before.faces[0])) == (it.id_of("b0"), 0)
    done = await it.swap("b1")
    assert (done.bundle_id, done.previous_bundle_id) == (it.id_of("b1"), it.id_of("b0"))
    after = await it.predict()
    assert (after.bundle_id, number_of(after.faces[0])) == (it.id_of("b1"), 1)
    await it.only("b1")
    assert (await it.stub.GetModel(service_pb2.GetModelRequest())).bundle_id == it.id_of("b1")
    assert it.sample("exalign_swaps_total", result="used") == 1
    assert it.sample("exalign_bundle_sessions", bundle=it.id_of("b1")) == 0
    assert it.sample("exalign_bundle_sessions", bundle=it.id_of("b0")) is None
    assert [labels["bundle"] for labels in _labels(it, "exalign_build_info")] == [it.id_of("b1")]


def _labels(it: BundleServer, name: str) -> list[dict[str, str]]:
    return [s.labels for metric in it.server.metrics.registry.collect() for s in metric.samples if s.name == name]


async def test_the_open_inference_protocol_follows(it: BundleServer) -> None:
    stub: Any = inference_pb2_grpc.GRPCInferenceServiceStub(it.channel)
    await it.swap("b1")
    described = await stub.ModelMetadata(inference_pb2.ModelMetadataRequest(name="exalign"))
    assert list(described.versions) == [it.id_of("b1")]
    ready = inference_pb2.ModelReadyRequest(name="exalign", version=it.id_of("b1"))
    assert (await stub.ModelReady(ready)).ready
    ready.version = it.id_of("b0")
    assert (await refused(stub.ModelReady(ready)))[0] is NOT_FOUND


async def test_the_same_bundle_again_changes_nothing(it: BundleServer) -> None:
    done = await it.swap("current")
    assert done.bundle_id == done.previous_bundle_id == it.id_of("b0")
    assert it.sample("exalign_swaps_total", result="used") == 0


async def test_a_session_keeps_its_bundle_to_its_end_and_the_next_has_the_new_one(it: BundleServer) -> None:
    old = video(it)
    assert (await old.open()).bundle_id == it.id_of("b0")
    await old.results(frame(0, GOOD_BOX))
    await it.swap("b1")
    new = video(it)
    assert (await new.open()).bundle_id == it.id_of("b1")
    (first,) = await new.results(frame(0, GOOD_BOX))
    (second,) = await old.results(frame(1, GOOD_BOX))
    assert (answered_by(first), answered_by(second)) == (1, 0)
    current, kept = await it.live()
    assert (current.bundle_id, current.sessions, kept.bundle_id, kept.sessions) == (
        it.id_of("b1"),
        1,
        it.id_of("b0"),
        1,
    )
    assert it.sample("exalign_bundle_sessions", bundle=it.id_of("b0")) == 1
    await old.close()
    await new.close()
    await it.only("b1")


async def test_a_broken_session_is_resumed_on_its_own_bundle(it: BundleServer) -> None:
    old = video(it)
    await old.open(track_config("mine"))
    (result,) = await old.results(frame(0, GOOD_BOX))
    await old.cut()
    await it.swap("b1")
    again = video(it)
    opened = await again.open(track_config("mine", result.resume_token))
    assert (opened.bundle_id, opened.next_frame) == (it.id_of("b0"), 1)
    await again.hear("result")
    (result,) = await again.results(frame(1, GOOD_BOX))
    assert answered_by(result) == 0
    await again.close()
    await it.only("b1")


async def test_a_broken_session_that_is_never_resumed_lets_its_bundle_go_in_the_end(tmp_path: Path) -> None:
    async with serving_bundles(bundles(tmp_path / "bundles"), session_retention=0.2) as it:
        old = video(it)
        await old.open(track_config("mine"))
        (result,) = await old.results(frame(0, GOOD_BOX))
        await old.cut()
        await it.swap("b1")
        await it.only("b1")
        late = video(it)
        await late.say(track_config("mine", result.resume_token))
        code, details = await late.refused()
        assert (code, details.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOKEN_OTHER_BUNDLE")


async def test_a_question_by_id_is_answered_by_the_bundle_that_made_it_and_goes_with_it(it: BundleServer) -> None:
    old = video(it)
    await old.open()
    (face,) = (await it.predict()).faces
    await it.swap("b1")
    asked = service_pb2.QueryConditionalRequest(
        posterior_id=face.posterior_id, evidence=evidence_pb2.Evidence(), landmarks={}
    )
    answer = await it.stub.QueryConditional(asked)
    assert (answer.bundle_id, number_of(answer.face)) == (it.id_of("b0"), 0)
    exemplars = service_pb2.GetExemplarsRequest(class_ids=[0], bundle_id=it.id_of("b0"))
    assert (await it.stub.GetExemplars(exemplars)).bundle_id == it.id_of("b0")
    await old.close()
    await it.only("b1")
    assert await refused(it.stub.QueryConditional(asked)) == (NOT_FOUND, "POSTERIOR_NOT_FOUND")
    assert await refused(it.stub.GetExemplars(exemplars)) == (PRECONDITION, "OTHER_BUNDLE")
    assert it.sample("exalign_posteriors") == 0


def spoil_exemplars(bundle: Path) -> None:
    (bundle / "exemplars.npz").write_bytes(b"x")


def spoil_manifest(bundle: Path) -> None:
    (bundle / MANIFEST).write_text("{")


def take_network(bundle: Path) -> None:
    (bundle / "network.onnx").unlink()


@pytest.mark.parametrize("spoil", [spoil_exemplars, spoil_manifest, take_network])
async def test_a_bundle_that_is_wrong_is_refused_and_the_old_one_answers(it: BundleServer, spoil: Any) -> None:
    spoil(it.directory / "b1")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await it.swap("b1")
    assert (caught.value.code(), details_of(caught.value).reason) == (PRECONDITION, "BUNDLE_REFUSED")
    assert str(it.directory) not in str(caught.value.details())
    assert (await it.predict()).bundle_id == it.id_of("b0")
    await it.only("b0")
    assert it.sample("exalign_swaps_total", result="refused") == 1
    assert (await it.swap("b2")).bundle_id == it.id_of("b2")


async def test_a_bundle_that_fails_while_it_is_warmed_up_is_refused_and_freed(
    it: BundleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = server_module.load_model

    def load(settings: ServerConfig) -> server_module.LoadedModel:
        model = real(settings)
        monkeypatch.setattr(model.aligner, "warm_up", lambda: 1 / 0)
        return model

    monkeypatch.setattr(server_module, "load_model", load)
    closed = threading.Event()
    monkeypatch.setattr("exalign_engine.runtime.onnx_runtime.OnnxRuntime.close", lambda runtime: closed.set())
    assert await refused(it.swap("b1")) == (PRECONDITION, "BUNDLE_REFUSED")
    await until(closed.is_set)
    assert (await it.predict()).bundle_id == it.id_of("b0")


async def test_a_third_bundle_waits_for_room_and_one_that_lives_does_not(it: BundleServer) -> None:
    old = video(it)
    await old.open()
    await it.swap("b1")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await it.swap("b2")
    details = details_of(caught.value)
    assert (caught.value.code(), details.reason) == (EXHAUSTED, "BUNDLES_FULL")
    assert details.retry_seconds is not None
    assert it.sample("exalign_swaps_total", result="no_room") == 1
    new = video(it)
    await new.open()
    assert (await it.swap("b0")).bundle_id == it.id_of("b0")  # it lives: nothing is loaded
    assert {one.bundle_id: one.current for one in await it.live()} == {it.id_of("b0"): True, it.id_of("b1"): False}
    await new.close()
    await old.close()
    await it.only("b0")
    assert (await it.swap("b2")).bundle_id == it.id_of("b2")


class HeldLoading:
    """Bundles are loaded when it is allowed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started, self.allowed = threading.Event(), threading.Event()
        real = server_module.load_model

        def load(settings: ServerConfig) -> server_module.LoadedModel:
            self.started.set()
            self.allowed.wait()
            return real(settings)

        monkeypatch.setattr(server_module, "load_model", load)


async def test_a_swap_that_is_asked_for_twice_is_one_and_another_beside_it_is_refused(
    it: BundleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldLoading(monkeypatch)
    swaps = [asyncio.create_task(it.swap("b1")) for _ in range(2)]
    await until(held.started.is_set)
    assert await refused(it.swap("b2")) == (EXHAUSTED, "BUNDLES_FULL")
    swaps[0].cancel()
    assert (await it.predict()).bundle_id == it.id_of("b0")
    held.allowed.set()
    assert (await swaps[1]).bundle_id == it.id_of("b1")
    assert it.sample("exalign_swaps_total", result="used") == 1


async def test_a_server_that_ends_does_not_wait_for_a_swap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving_bundles(bundles(tmp_path / "bundles")) as it:
        held = HeldLoading(monkeypatch)
        swap = asyncio.create_task(it.swap("b1"))
        await until(held.started.is_set)
        await it.server.close_ports(0)
        assert it.server.warming_up
        assert await refused(swap) == (grpc.StatusCode.UNAVAILABLE, "NOT_SERVING")
        held.allowed.set()
        await until(lambda: not it.server.warming_up)
        assert it.sample("exalign_swaps_total", result="used") == 0


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "/etc", "b1/../b2", "b" * 101, "b1\n"])
async def test_a_name_that_might_lead_elsewhere_is_invalid(it: BundleServer, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await it.swap(name)
    assert (caught.value.code(), list(details_of(caught.value).violations)) == (INVALID, ["bundle"])


async def test_a_bundle_that_is_not_in_the_directory_is_not_found(it: BundleServer) -> None:
    assert await refused(it.swap("b9")) == (NOT_FOUND, "MODEL_NOT_FOUND")


async def test_what_is_gone_leaves_nothing_behind(it: BundleServer) -> None:
    """No cycle keeps a model: its memory is back without the collector."""
    gone = [weakref.ref(it.server.aligner)]
    old = video(it)
    await old.open()
    await old.results(frame(0, GOOD_BOX))
    gc.disable()
    try:
        for name in ("b1", "b2", "b0"):
            await it.predict()
            await old.close()
            await it.swap(name)
            await it.only(name)
            gone.append(weakref.ref(it.server.aligner))
            old = video(it)
            await old.open()
            await old.results(frame(0, GOOD_BOX))
    finally:
        gc.enable()
    assert [ref() is None for ref in gone] == [True, True, True, False]
    await old.close()


def test_the_admin_service_is_there_for_known_callers_or_this_machine_alone(tmp_path: Path) -> None:
    def has(model: ModelConfig, address: str = "127.0.0.1:0", **access: Any) -> bool:
        return MODEL_ADMIN in services_of(config(model=model, address=address, **access))

    some, none = ModelConfig(bundle_directory=tmp_path), ModelConfig()
    assert has(some)
    assert not has(none)
    assert not has(some, "0.0.0.0:0", insecure=True)
    assert has(some, "0.0.0.0:0", insecure=True, token_file=tmp_path / "tokens")
