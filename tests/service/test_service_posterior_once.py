"""A served face is computed once: its moments, its residual, and one visit to the threads before and after scoring."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from exalign.v1 import evidence_pb2, face_pb2, geometry_pb2, service_pb2, service_pb2_grpc
from exalign_engine import Aligner
from exalign_engine.network.outputs import Outputs
from exalign_engine.posterior import posterior
from exalign_engine.posterior.device_sums import COLUMNS, WIDTH
from exalign_engine.posterior.residual import Level, ResidualHead
from exalign_engine.refiner.refiner import NOISE, Refiner, Round
from exalign_service import Server
from exalign_service.inference.stage_pool import StagePool
from exalign_service.serving import model_service
from service_fakes import GOOD_BOX, SIDE, Corners, FakeDetector, FakeRuntime, K, config, encoded, request, tiny_bundle

T = TypeVar("T")

Conditional = service_pb2.QueryConditionalRequest

#: Channels of the map that the residual reads.
C = 1


class SeeingRuntime(FakeRuntime):
    """A network that also has the map ``local``, and sums where it is given some."""

    sums: NDArray[np.float32] | None = None

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        out, n = super().infer(crops), len(crops)
        local = crops.reshape(n, SIDE, SIDE, 3)[..., 0].astype(np.float32)[:, None] / 255
        sums = None if self.sums is None else np.tile(self.sums, (n, 1))
        return replace(out, local=local, sums=sums)


def residual() -> ResidualHead:
    """One level that moves every landmark a little, by what the map says."""
    rng, inputs = np.random.default_rng(3), 68 * C + 4 + 136
    hidden, out = rng.normal(0, 0.1, (5, inputs)), rng.normal(0, 0.02, (136, 5))
    level = Level(*(a.astype(np.float32) for a in (hidden, np.ones(5), out, np.zeros(136))))
    return ResidualHead((level,), 1.3)


def refiner(move: float) -> Refiner:
    """One round that moves every box to the right by a share of its side."""
    geometry = np.zeros((1, 3, 4), np.float32)
    geometry[0, 0, 3] = move
    return Refiner((NOISE,), (Round(geometry, np.zeros((3, 6), np.float32)),))


class VisitCounter(StagePool):
    """Threads that count how often they are entered."""

    visits = 0

    async def run(self, work: Callable[..., T], *args: object, fresh: bool = False) -> T:
        self.visits += 1
        return await super().run(work, *args, fresh=fresh)


class Served:
    """A server of a model with a residual; ``calls`` counts what is computed, from the first call on."""

    def __init__(self, server: Server, channel: grpc.aio.Channel, runtime: SeeingRuntime, stages: VisitCounter) -> None:
        self.server, self.runtime, self.stages = server, runtime, stages
        self.stub: service_pb2_grpc.FaceAlignmentServiceAsyncStub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        self.calls: Counter[str] = Counter()

    async def predict(self, box: Corners = GOOD_BOX) -> face_pb2.Face:
        """The face in a box."""
        return (await self.stub.PredictLandmarks(request(box))).faces[0]


@asynccontextmanager
async def serving(
    folder: Path, patch: pytest.MonkeyPatch, move: float = 0.0, **changes: object
) -> AsyncIterator[Served]:
    runtime, stages = SeeingRuntime(), VisitCounter(2)
    patch.setattr(model_service, "StagePool", lambda *args, **kwargs: stages)
    bundle = replace(tiny_bundle(folder), residual=residual(), refiner=refiner(move))
    aligner = Aligner(bundle, runtime, {"mtcnn": FakeDetector((GOOD_BOX, 0.9))})
    server = Server(config(**changes), aligner)
    await server.start()
    await server.warm()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            it = Served(server, channel, runtime, stages)
            for owner, name in (
                (posterior, "weighted_moments"),
                (posterior, "disc_mass"),
                (ResidualHead, "displacement"),
            ):
                patch.setattr(owner, name, _counted(getattr(owner, name), it.calls, name))
            runtime.batches.clear()
            stages.visits = 0
            yield it
    finally:
        await server.stop(0)


def _counted(work: Callable[..., Any], calls: Counter[str], name: str) -> Callable[..., Any]:
    def counted(*args: Any) -> Any:
        calls[name] += 1
        return work(*args)

    return counted


#: Moments once where the exemplars stand, from where the residual starts, and once where it has displaced them to.
ONCE = {"weighted_moments": 2, "displacement": 1, "disc_mass": 1}


async def test_a_served_face_computes_moments_and_residual_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch) as it:
        await it.predict()
        assert it.calls == ONCE
        assert it.stages.visits == 2
        assert it.runtime.batches == [1]


async def test_every_view_of_a_face_rests_on_the_same_moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path, monkeypatch) as it:
        asked = request(GOOD_BOX)
        asked.landmarks.groups.add(group=geometry_pb2.LANDMARK_GROUP_MOUTH)
        asked.heatmaps.landmarks.extend([30])
        asked.pose.SetInParent()
        await it.stub.PredictLandmarks(asked)
        assert it.calls == ONCE
        assert it.stages.visits == 2


async def test_a_first_look_that_is_not_the_last_computes_no_more_than_the_refiner_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch, move=0.1) as it:
        face = await it.predict()
        assert it.runtime.batches == [1, 1]
        assert it.calls == {"weighted_moments": 1 + 2, "displacement": 1 + 1, "disc_mass": 1}
        assert it.stages.visits == 3
        (want,) = it.server.aligner.align(encoded(), [GOOD_BOX])
        assert face.box.x0 == pytest.approx(13)
        assert np.allclose(face.landmarks.points, want.landmarks.ravel(), atol=1e-4)


async def test_a_kept_face_is_computed_in_one_visit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path, monkeypatch) as it:
        face = await it.predict()
        it.calls.clear()
        it.stages.visits = 0
        asked = service_pb2.EstimatePoseRequest(posterior_id=face.posterior_id, landmarks=face_pb2.LandmarkOptions())
        (again,) = (await it.stub.EstimatePose(asked)).faces
        assert again.landmarks == face.landmarks
        assert it.calls == ONCE
        assert it.stages.visits == 1


#: Half of it has room for one whole face, of 3 kB; the other for the crops of three, of 2 kB.
ONE_WHOLE = 11_000


async def test_a_face_of_which_only_the_crop_is_kept_answers_the_same_after_one_run_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, monkeypatch, max_posterior_bytes=ONE_WHOLE) as it:
        first, second = await it.predict(), await it.predict((5, 8, 33, 36))
        assert first.landmarks != second.landmarks
        it.runtime.batches.clear()
        for face, runs in ((second, []), (first, [1]), (first, [1]), (second, [1, 1])):
            asked = service_pb2.EstimatePoseRequest(
                posterior_id=face.posterior_id, landmarks=face_pb2.LandmarkOptions()
            )
            (again,) = (await it.stub.EstimatePose(asked)).faces
            assert again.landmarks == face.landmarks
            assert again.presence == face.presence
            assert it.runtime.batches == runs


async def test_a_click_does_not_depend_on_how_much_is_kept_of_the_face(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    click = evidence_pb2.Click(landmark=30, position=geometry_pb2.Point(x=25, y=25), sigma=1)
    async with serving(tmp_path, monkeypatch, max_posterior_bytes=ONE_WHOLE) as it:
        name = (await it.predict()).posterior_id
        asked = Conditional(posterior_id=name, evidence=evidence_pb2.Evidence(clicks=[click]), include_prior=True)
        right = await it.stub.QueryConditional(asked)
        await it.predict((5, 8, 33, 36))
        it.runtime.batches.clear()
        again = await it.stub.QueryConditional(asked)
        assert it.runtime.batches == [1]
        assert (again.face.landmarks, again.prior, again.surprise) == (
            right.face.landmarks,
            right.prior,
            right.surprise,
        )


@pytest.mark.parametrize("include_prior", [False, True])
async def test_the_prior_is_computed_only_where_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, include_prior: bool
) -> None:
    def evidence(landmark: int) -> evidence_pb2.Evidence:
        position = geometry_pb2.Point(x=25, y=25)
        return evidence_pb2.Evidence(clicks=[evidence_pb2.Click(landmark=landmark, position=position, sigma=1)])

    async with serving(tmp_path, monkeypatch) as it:
        name = (await it.predict()).posterior_id
        clicked = (await it.stub.QueryConditional(Conditional(posterior_id=name, evidence=evidence(30)))).face
        it.calls.clear()
        it.stages.visits = 0
        asked = Conditional(posterior_id=clicked.posterior_id, evidence=evidence(8), include_prior=include_prior)
        got = await it.stub.QueryConditional(asked)
        assert got.surprise > 0
        # A click reads the expected error of the network's own posterior: its moments and its residual, once.
        answered = 2 if include_prior else 1
        assert it.calls == {"weighted_moments": 2 + answered, "displacement": 1, "disc_mass": answered}
        assert it.stages.visits == 1
        assert got.HasField("prior") == include_prior
        if include_prior:
            assert got.prior.landmarks == clicked.landmarks


async def test_the_graphs_own_sums_reach_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path, monkeypatch) as it:
        right = np.reshape((await it.predict()).landmarks.points, (68, 2))
        # Sums that are obviously wrong: the landmarks on a line, and no share of the residual's displacement.
        x, y = np.linspace(0.5, 1, 68), np.linspace(0, 1, 68)
        parts = {name: np.zeros(width, np.float32) for name, width in COLUMNS.items()}
        parts["mean"][:] = np.concatenate([x, y])
        it.runtime.sums = np.concatenate(list(parts.values()))
        assert it.runtime.sums.shape == (WIDTH,)
        face = await it.predict()
        wrong = np.reshape(face.landmarks.points, (68, 2))
        assert np.allclose(wrong, np.stack([10 + x * 30, 10 + y * 30], axis=1), atol=1e-4)
        assert np.abs(wrong - right).max() > 3
        # Sums are not kept: behind the id, the host makes its own.
        asked = service_pb2.EstimatePoseRequest(posterior_id=face.posterior_id, landmarks=face_pb2.LandmarkOptions())
        again = np.reshape((await it.stub.EstimatePose(asked)).faces[0].landmarks.points, (68, 2))
        assert np.array_equal(again, right)


def test_the_model_of_these_tests_is_displaced(tmp_path: Path) -> None:
    bundle = replace(tiny_bundle(tmp_path), residual=residual())
    (face,) = Aligner(bundle, SeeingRuntime(), {}).align(encoded(), [GOOD_BOX])
    assert np.abs(face.posterior.displacement).max() > 1e-3
    assert len(face.posterior.probabilities) == K
