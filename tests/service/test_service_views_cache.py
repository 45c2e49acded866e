"""Posterior ids: what is kept, for how long, and what is told when it is gone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest

from exalign.v1 import evidence_pb2, geometry_pb2, service_pb2
from exalign_engine import LocatedFace
from exalign_engine.posterior.residual import ImageFeatures
from exalign_service.config.schema import LimitsConfig
from exalign_service.inference.posterior_cache import CachedFace, PosteriorCache
from exalign_service.rpc.call_context import Call
from exalign_service.rpc.errors import PosteriorNotFoundError
from service_fakes import GOOD_BOX, Running, config, details_of, request, running

Heatmaps, EstimatePose = service_pb2.PredictHeatmapsRequest, service_pb2.EstimatePoseRequest


#: More bytes than these tests need.
ROOM = 2**30


class Counts:
    def __init__(self) -> None:
        self.lookups: list[bool] = []
        self.count = self.evicted = 0

    def posterior_looked_up(self, hit: bool) -> None:
        self.lookups.append(hit)

    def posteriors_changed(self, count: int, evicted: int) -> None:
        self.count, self.evicted = count, self.evicted + evicted


def subject() -> CachedFace:
    box = np.array([0.0, 0.0, 9.0, 9.0])
    return CachedFace(LocatedFace(box, box, "face_box", False, None), np.ones(1, np.float32), 1.0)


def test_the_least_recently_used_goes_first() -> None:
    counts = Counts()
    cache = PosteriorCache(2, ROOM, counts, lambda: Call("one", 1.0, caller="a"))
    kept = [subject() for _ in range(3)]
    a, b = cache.keep(kept[0]), cache.keep(kept[1])
    assert cache.find(a) is kept[0]
    c = cache.keep(kept[2])
    assert (cache.find(a), cache.find(c)) == (kept[0], kept[2])
    with pytest.raises(PosteriorNotFoundError, match="send the image again"):
        cache.find(b)
    assert (len(cache), counts.count, counts.evicted) == (2, 2, 1)
    assert counts.lookups == [True, True, True, False]


def seen() -> CachedFace:
    """A face whose crop is smaller than what the network said about it."""
    return replace(subject(), probabilities=np.ones(100_000, np.float32), crop=np.zeros((112, 112, 3), np.uint8))


def whole(cache: PosteriorCache, *names: str) -> list[bool]:
    """Of which more than the crop is kept."""
    return [cache.find(name).probabilities is not None for name in names]


def test_what_was_not_used_for_longest_keeps_its_crop_alone() -> None:
    cache = PosteriorCache(1000, 4 * seen().size_bytes, Counts(), lambda: Call("one", 1.0, caller="a"))
    a, b = cache.keep(seen()), cache.keep(seen())
    assert whole(cache, b, a) == [True, True]
    c = cache.keep(seen())
    assert whole(cache, b, a, c) == [False, True, True]
    reduced = cache.find(b)
    assert reduced.size_bytes < 40_000
    cache.restore(b, seen())
    assert whole(cache, a, b, c) == [False, True, True]
    cache.restore("gone meanwhile", seen())
    assert len(cache) == 3


def test_twice_as_many_faces_as_in_64_mib_find_room_in_less_than_half_of_it() -> None:
    # Of the default bundle: K probabilities, two looks' embedding and map, and the crop.
    image = ImageFeatures(np.zeros(256, np.float32), np.zeros((64, 28, 28), np.float32))
    face = replace(seen(), probabilities=np.ones(143_378, np.float32), image=image)
    room = LimitsConfig().max_posterior_bytes
    before = 64 * 2**20 // (face.size_bytes - 112 * 112 * 3)
    cache = PosteriorCache(LimitsConfig().max_posteriors, room, Counts(), lambda: Call("one", 1.0, caller="a"))
    names = [cache.keep(face) for _ in range(2 * before)]
    kept = [cache.find(name) for name in names]  # none has gone
    assert sum(one.size_bytes for one in kept) <= room < 64 * 2**20 / 2
    assert sum(whole(cache, *names)) >= 7


def test_a_callers_bound_counts_what_is_kept_of_its_faces() -> None:
    cache = PosteriorCache(1000, 2**30, Counts(), lambda: Call("one", 1.0, caller="a"))
    cache.max_bytes_per_caller = 2 * seen().size_bytes
    names = [cache.keep(seen()) for _ in range(8)]
    assert whole(cache, *names) == [False] * 7 + [True]


def test_what_cannot_be_found_again_stays_whole() -> None:
    cache = PosteriorCache(1000, 3 * seen().size_bytes, Counts(), lambda: Call("one", 1.0, caller="a"))
    names = [cache.keep(replace(seen(), crop=None)) for _ in range(3)]
    assert whole(cache, *names) == [True] * 3
    small = replace(seen(), probabilities=np.ones(1, np.float32))
    assert small.reduced() is None
    with pytest.raises(ValueError, match="only the crop"):
        replace(small, probabilities=None).face(None)  # type: ignore[arg-type]


def test_ids_cannot_be_guessed_from_one_another() -> None:
    cache = PosteriorCache(1000, ROOM, Counts(), lambda: Call("one", 1.0, caller="a"))
    face = subject()
    names = [cache.keep(face) for _ in range(1000)]
    assert len(set(names)) == 1000
    assert all(len(name) == 24 for name in names)  # 144 random bits
    # No position of the text is the same in all of them.
    assert all(len({name[i] for name in names}) > 30 for i in range(24))


async def test_an_id_answers_what_the_image_answers(live: Running) -> None:
    asked = request(GOOD_BOX)
    asked.pose.SetInParent()
    (face,) = (await live.stub.PredictLandmarks(asked)).faces
    live.runtime.batches.clear()
    again = await live.stub.EstimatePose(EstimatePose(posterior_id=face.posterior_id, landmarks=asked.landmarks))
    assert live.runtime.batches == []
    assert list(again.faces) == [face]
    assert again.timing.decode_seconds == again.timing.infer_seconds == 0


async def test_an_id_that_is_not_known_is_not_found(live: Running) -> None:
    for call in (
        live.stub.PredictHeatmaps(Heatmaps(posterior_id="A" * 24)),
        live.stub.EstimatePose(EstimatePose(posterior_id="A" * 24)),
        live.stub.QueryConditional(
            service_pb2.QueryConditionalRequest(posterior_id="A" * 24, evidence=evidence_pb2.Evidence())
        ),
        live.stub.SuggestEvidence(service_pb2.SuggestEvidenceRequest(posterior_id="A" * 24)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        assert "send the image again" in str(caught.value.details())
        assert details_of(caught.value).reason == "POSTERIOR_NOT_FOUND"


async def test_the_cache_is_bounded_and_measured(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_posteriors=3)) as live:
        names = [(await live.stub.PredictLandmarks(request(GOOD_BOX))).faces[0].posterior_id for _ in range(5)]
        for name, known in zip(names, (False, False, True, True, True), strict=True):
            if known:
                await live.stub.EstimatePose(EstimatePose(posterior_id=name))
                continue
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await live.stub.EstimatePose(EstimatePose(posterior_id=name))
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        assert live.sample("exalign_posteriors") == 3
        assert live.sample("exalign_posteriors_evicted_total") == 2
        assert live.sample("exalign_posterior_lookups_total", result="hit") == 3
        assert live.sample("exalign_posterior_lookups_total", result="miss") == 2
        model = await live.stub.GetModel(service_pb2.GetModelRequest())
        assert model.limits.max_posteriors == 3


async def test_a_server_may_keep_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_posteriors=0)) as live:
        (face,) = (await live.stub.PredictLandmarks(request(GOOD_BOX))).faces
        assert face.posterior_id == ""
        assert live.sample("exalign_posteriors") == 0


async def test_an_id_cannot_be_given_a_box(live: Running) -> None:
    (face,) = (await live.stub.PredictLandmarks(request(GOOD_BOX))).faces
    box = geometry_pb2.Box(x0=1, y0=1, x1=9, y1=9)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.PredictHeatmaps(Heatmaps(posterior_id=face.posterior_id, boxes=[box]))
    assert list(details_of(caught.value).violations) == ["boxes"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.SuggestEvidence(service_pb2.SuggestEvidenceRequest(posterior_id=face.posterior_id, box=box))
    assert list(details_of(caught.value).violations) == ["box"]
