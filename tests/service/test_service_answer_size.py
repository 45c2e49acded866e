"""What would be larger than its caller takes is refused before it is computed, by field and limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from exalign.v1 import evidence_pb2, face_pb2, geometry_pb2, heatmap_pb2, image_pb2, pose_pb2, service_pb2, track_pb2
from exalign_service.requests.answer_size import answer_size
from exalign_service.requests.picture import LandmarkGroup, LandmarkOptions
from exalign_service.requests.views import HeatmapOptions, PoseOptions, ViewOptions
from service_fakes import GOOD_BOX, Running, config, details_of, encoded, request, running
from track_fakes import talk

#: One 256 × 256 map of floats has 262,144 bytes: two fit, three do not.
BOUND = 700_000

LARGE = heatmap_pb2.HeatmapOptions(landmarks=[30], width=256, height=256)
BYTES = heatmap_pb2.HeatmapOptions(landmarks=[30], width=256, height=256, encoding="HEATMAP_ENCODING_UINT8")


def heatmaps(options: heatmap_pb2.HeatmapOptions, boxes: int) -> service_pb2.PredictHeatmapsRequest:
    x0, y0, x1, y1 = GOOD_BOX
    return service_pb2.PredictHeatmapsRequest(
        image=image_pb2.Image(encoded=encoded()),
        boxes=[geometry_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1)] * boxes,
        heatmaps=options,
    )


async def refused(call: Any) -> dict[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    return details_of(caught.value).violations


async def test_as_many_faces_as_fit_are_answered_and_no_more(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_answer_bytes=BOUND)) as live:
        assert (await live.stub.PredictHeatmaps(heatmaps(LARGE, 2))).ByteSize() <= BOUND
        live.runtime.batches.clear()
        violations = await refused(live.stub.PredictHeatmaps(heatmaps(LARGE, 3)))
        (text,) = violations.values()
        assert set(violations) == {"heatmaps"}
        assert text.startswith("is too much for one answer: 3 faces × 265,")
        assert text.endswith(" bytes, at most max_answer_bytes = 700,000; 2 would fit")
        assert not live.runtime.batches  # nothing was computed
        assert (await live.stub.PredictHeatmaps(heatmaps(BYTES, 8))).ByteSize() <= BOUND
        assert set(await refused(live.stub.PredictHeatmaps(heatmaps(BYTES, 11)))) == {"heatmaps"}


async def test_faces_that_are_detected_are_counted_before_they_are_scored(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_answer_bytes=BOUND)) as live:
        live.detector.faces = [((5.0 + i, 5.0, 35.0 + i, 35.0), 0.9) for i in range(3)]
        assert set(await refused(live.stub.PredictHeatmaps(heatmaps(LARGE, 0)))) == {"heatmaps"}
        assert not live.runtime.batches
        asked = heatmaps(LARGE, 0)
        asked.detection.max_faces = 2
        assert len((await live.stub.PredictHeatmaps(asked)).faces) == 2


async def test_the_largest_part_is_named(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_answer_bytes=BOUND)) as live:
        many = request(*[GOOD_BOX] * 8)
        many.pose.CopyFrom(pose_pb2.PoseOptions(histogram=pose_pb2.PoseHistogramOptions(yaw_bins=180, roll_bins=180)))
        assert set(await refused(live.stub.PredictLandmarks(many))) == {"pose.histogram"}
        everything = geometry_pb2.LandmarkSelection(landmarks={"indices": range(68)})
        asked = request(*[GOOD_BOX] * 64)
        asked.landmarks.CopyFrom(face_pb2.LandmarkOptions(groups=[everything] * 16))
        await live.stub.PredictLandmarks(asked)
    async with running(tmp_path, config(max_answer_bytes=65_536)) as live:
        assert set(await refused(live.stub.PredictLandmarks(asked))) == {"boxes"}


async def test_both_faces_of_a_conditioned_answer_count(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_answer_bytes=400_000)) as live:
        x0, y0, x1, y1 = GOOD_BOX
        asked = service_pb2.QueryConditionalRequest(
            image=image_pb2.Image(encoded=encoded()),
            box=geometry_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1),
            evidence=evidence_pb2.Evidence(),
            heatmaps=LARGE,
        )
        await live.stub.QueryConditional(asked)
        asked.include_prior = True
        assert set(await refused(live.stub.QueryConditional(asked))) == {"heatmaps"}


async def test_a_sparse_answer_is_measured_when_it_is_there(tmp_path: Path) -> None:
    sparse = heatmap_pb2.HeatmapOptions(width=64, height=64, encoding="HEATMAP_ENCODING_SPARSE", sparse_mass=1.0)
    async with running(tmp_path, config(max_answer_bytes=2**31 - 1)) as live:
        faces = (await live.stub.PredictHeatmaps(heatmaps(sparse, 16))).faces
        size = sum(face.ByteSize() for face in faces)
    async with running(tmp_path, config(max_answer_bytes=size - 1)) as live:
        violations = await refused(live.stub.PredictHeatmaps(heatmaps(sparse, 16)))
        assert violations["heatmaps"].startswith("are too much for one answer: ")


async def test_a_video_is_refused_at_its_config(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_answer_bytes=BOUND)) as live:
        it = talk(live)
        await it.say(track_pb2.TrackConfig(heatmaps=LARGE, detection={"max_faces": 3}))
        code, details = await it.refused()
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert set(details.violations) == {"config.heatmaps"}


async def test_every_frame_that_late_evidence_revises_counts(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_answer_bytes=BOUND)) as live:
        for lag, fits in ((1, True), (2, False)):
            it = talk(live)
            await it.say(track_pb2.TrackConfig(heatmaps=LARGE, smoothing_lag=lag))
            if fits:
                await it.hear("opened")
                await it.cut()
                continue
            _, details = await it.refused()
            (text,) = details.violations.values()
            assert text.startswith("is too much for one answer: 1 face × 3 frames × 265,")
            assert text.endswith("not one would fit")


ONE_BOX: dict[str, Any] = {"box": geometry_pb2.Box(x0=10, y0=10, x1=40, y1=40)}
BOXES: dict[str, Any] = {"boxes": [ONE_BOX["box"]]}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("PredictLandmarks", BOXES),
        ("PredictHeatmaps", BOXES),
        ("EstimatePose", BOXES),
        ("QueryConditional", {**ONE_BOX, "evidence": evidence_pb2.Evidence()}),
        ("SuggestEvidence", ONE_BOX),
    ],
)
async def test_every_method_refuses_what_is_too_large_before_it_is_computed(
    tmp_path: Path, name: str, fields: dict[str, Any]
) -> None:
    async with running(tmp_path, config(max_answer_bytes=200_000)) as live:
        asked = getattr(service_pb2, f"{name}Request")(image=image_pb2.Image(encoded=encoded()), **fields)
        asked.heatmaps.CopyFrom(LARGE)
        assert set(await refused(getattr(live.stub, name)(asked))) == {"heatmaps"}
        assert not live.runtime.batches
        asked.heatmaps.CopyFrom(BYTES)
        assert (await getattr(live.stub, name)(asked)).ByteSize() <= 200_000


async def test_what_is_counted_is_never_less_than_what_is_sent(live: Running) -> None:
    everything = geometry_pb2.LandmarkSelection(landmarks={"indices": range(68)})
    asked = request(GOOD_BOX)
    asked.landmarks.CopyFrom(face_pb2.LandmarkOptions(groups=[everything] * 3, top_exemplars=12))
    asked.heatmaps.CopyFrom(heatmap_pb2.HeatmapOptions(landmarks=[0, 30], width=40, height=50))
    masses = [0.1 * i for i in range(1, 9)]
    asked.pose.CopyFrom(pose_pb2.PoseOptions(interval_masses=masses))
    sent = (await live.stub.PredictLandmarks(asked)).faces[0].ByteSize()
    group = LandmarkGroup(tuple(range(68)), everything)
    views = ViewOptions(
        LandmarkOptions(12, (group,) * 3), HeatmapOptions((0, 30), None, 40, 50), PoseOptions(tuple(masses))
    )
    assert sent <= answer_size(views, 0).face <= sent + 4000
