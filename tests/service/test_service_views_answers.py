"""Heatmaps, pose, conditional answers, suggestions and exemplars over a real socket, against the engine itself."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from exalign.v1 import evidence_pb2, face_pb2, geometry_pb2, heatmap_pb2, image_pb2, pose_pb2, service_pb2
from exalign_engine.evidence.evidence import Evidence, SoftClick
from exalign_engine.face.views import conditioned, suggestions
from service_fakes import GOOD_BOX, K, Running, details_of, encoded, request

Heatmaps, EstimatePose = service_pb2.PredictHeatmapsRequest, service_pb2.EstimatePoseRequest
Conditional, Suggest = service_pb2.QueryConditionalRequest, service_pb2.SuggestEvidenceRequest
IMAGE = image_pb2.Image(encoded=encoded())
BOX = geometry_pb2.Box(x0=GOOD_BOX[0], y0=GOOD_BOX[1], x1=GOOD_BOX[2], y1=GOOD_BOX[3])
CONDITIONED = evidence_pb2.EVIDENCE_OUTCOME_CONDITIONED
IMPOSSIBLE = evidence_pb2.EVIDENCE_OUTCOME_IMPOSSIBLE


def click(landmark: int, x: float, y: float, **trust: float) -> evidence_pb2.Click:
    return evidence_pb2.Click(landmark=landmark, position=geometry_pb2.Point(x=x, y=y), **trust)


def cells(heatmap: heatmap_pb2.Heatmap, width: int, height: int) -> np.ndarray[Any, Any]:
    """The masses of a heatmap, however they were sent."""
    which = heatmap.WhichOneof("cells")
    if which == "dense":
        return np.frombuffer(heatmap.dense.float32, "<f4").reshape(height, width).astype(float)
    if which == "quantized":
        return np.frombuffer(heatmap.quantized.uint8, np.uint8).reshape(height, width) * float(heatmap.quantized.scale)
    flat = np.zeros(width * height)
    flat[list(heatmap.sparse.indices)] = heatmap.sparse.masses
    return flat.reshape(height, width)


async def first_id(live: Running) -> str:
    """A posterior id of the face in `GOOD_BOX`."""
    return (await live.stub.PredictLandmarks(request(GOOD_BOX))).faces[0].posterior_id


@pytest.mark.parametrize("encoding", heatmap_pb2.HeatmapEncoding.values())
async def test_heatmaps_sum_to_one_within_what_they_state(live: Running, encoding: heatmap_pb2.HeatmapEncoding) -> None:
    options = heatmap_pb2.HeatmapOptions(landmarks=[30, 8], width=48, height=40, encoding=encoding)
    (face,) = (await live.stub.PredictHeatmaps(Heatmaps(image=IMAGE, boxes=[BOX], heatmaps=options))).faces
    maps = face.heatmaps
    assert (maps.width, maps.height, [h.landmark for h in maps.heatmaps]) == (48, 40, [30, 8])
    for heatmap in maps.heatmaps:
        total = cells(heatmap, 48, 40).sum() + heatmap.mass_outside
        assert abs(total - 1) <= heatmap.mass_cut + heatmap.mass_error
        assert 0 < heatmap.mass_error < 0.1
    assert not face.HasField("landmarks")
    assert face.posterior.entropy > 0


async def test_every_encoding_is_as_near_to_the_dense_one_as_it_states(live: Running) -> None:
    sent = {}
    name = await first_id(live)
    for encoding in heatmap_pb2.HeatmapEncoding.values():
        options = heatmap_pb2.HeatmapOptions(landmarks=[36], encoding=encoding, sparse_mass=0.9)
        answer = await live.stub.PredictHeatmaps(Heatmaps(posterior_id=name, heatmaps=options))
        sent[encoding] = answer.faces[0].heatmaps.heatmaps[0]
    dense = sent[heatmap_pb2.HEATMAP_ENCODING_FLOAT32]
    for encoding in (heatmap_pb2.HEATMAP_ENCODING_UINT8, heatmap_pb2.HEATMAP_ENCODING_SPARSE):
        difference = np.abs(cells(sent[encoding], 64, 64) - cells(dense, 64, 64)).sum()
        assert 0 < difference <= sent[encoding].mass_error - dense.mass_error + 1e-6
    assert len(sent[heatmap_pb2.HEATMAP_ENCODING_SPARSE].sparse.indices) < 64 * 64 / 4


async def test_heatmaps_cover_the_crop_unless_told_otherwise(live: Running) -> None:
    (face,) = (await live.stub.PredictHeatmaps(Heatmaps(image=IMAGE, boxes=[BOX]))).faces
    r = face.heatmaps.rectangle
    assert (r.x0, r.y0, r.x1, r.y1) == pytest.approx((5.5, 5.5, 44.5, 44.5))
    assert len(face.heatmaps.heatmaps) == 68
    far = geometry_pb2.Rectangle(x0=1000, y0=1000, x1=1010, y1=1010)
    options = heatmap_pb2.HeatmapOptions(landmarks=[0], rectangle=far, encoding=heatmap_pb2.HEATMAP_ENCODING_SPARSE)
    (face,) = (await live.stub.PredictHeatmaps(Heatmaps(image=IMAGE, boxes=[BOX], heatmaps=options))).faces
    (heatmap,) = face.heatmaps.heatmaps
    assert face.heatmaps.rectangle == far
    assert heatmap.mass_outside == pytest.approx(1, abs=0.01)
    assert heatmap.WhichOneof("cells") == "sparse"


async def test_a_heatmap_has_its_mass_where_the_landmark_is(live: Running) -> None:
    asked = request(GOOD_BOX)
    asked.heatmaps.landmarks.extend([30])
    (face,) = (await live.stub.PredictLandmarks(asked)).faces
    mass, r = cells(face.heatmaps.heatmaps[0], 64, 64), face.heatmaps.rectangle
    step = (r.x1 - r.x0) / 64
    x = (mass.sum(axis=0) / mass.sum()) @ (r.x0 + (np.arange(64) + 0.5) * step)
    y = (mass.sum(axis=1) / mass.sum()) @ (r.y0 + (np.arange(64) + 0.5) * step)
    assert (x, y) == pytest.approx(tuple(face.landmarks.points[60:62]), abs=0.1)


async def test_pose_as_asked_for(live: Running) -> None:
    options = pose_pb2.PoseOptions(interval_masses=[0.8])
    options.histogram.yaw_bins, options.histogram.roll_bins = 20, 10
    options.histogram.yaw_range.CopyFrom(geometry_pb2.Interval(lower=-5, upper=5))
    (face,) = (await live.stub.EstimatePose(EstimatePose(image=IMAGE, boxes=[BOX], pose=options))).faces
    pose = face.pose
    assert (pose.mean.yaw, pose.mean.pitch, pose.mean.roll) == pytest.approx((0, 0, 0), abs=1e-3)
    assert pose.covariance == pytest.approx([1, 0, 0, 1, 0, 1], abs=1e-3)
    (interval,) = pose.intervals
    assert (interval.yaw.lower, interval.yaw.upper) == pytest.approx((-1.2816, 1.2816), abs=0.15)
    assert len(pose.histogram.masses) == 200
    assert sum(pose.histogram.masses) + pose.histogram.mass_outside == pytest.approx(1, abs=1e-5)
    assert pose.histogram.yaw_range == options.histogram.yaw_range
    options.histogram.yaw_bins = 0
    (face,) = (await live.stub.EstimatePose(EstimatePose(image=IMAGE, boxes=[BOX], pose=options))).faces
    assert not face.pose.HasField("histogram")


async def test_one_call_carries_every_view(live: Running) -> None:
    views: dict[str, Any] = {
        "landmarks": face_pb2.LandmarkOptions(top_exemplars=2),
        "heatmaps": heatmap_pb2.HeatmapOptions(landmarks=[1]),
        "pose": pose_pb2.PoseOptions(),
    }
    predict = request(GOOD_BOX)
    for name, options in views.items():
        getattr(predict, name).CopyFrom(options)
    stub = live.stub
    faces = [
        (await stub.PredictLandmarks(predict)).faces[0],
        (await stub.PredictHeatmaps(Heatmaps(image=IMAGE, boxes=[BOX], **views))).faces[0],
        (await stub.EstimatePose(EstimatePose(image=IMAGE, boxes=[BOX], **views))).faces[0],
        (
            await stub.QueryConditional(Conditional(image=IMAGE, box=BOX, evidence=evidence_pb2.Evidence(), **views))
        ).face,
        (await stub.SuggestEvidence(Suggest(image=IMAGE, box=BOX, **views))).face,
    ]
    assert sum(live.runtime.batches) == 5
    for face in faces:
        assert len(face.posterior.top_exemplars) == 2
        face.posterior_id = ""
    assert all(face == faces[0] for face in faces)


async def test_a_click_is_answered_as_the_engine_answers(live: Running) -> None:
    evidence = evidence_pb2.Evidence(clicks=[click(8, 25, 42, sigma=0.5)])
    asked = Conditional(image=IMAGE, box=BOX, evidence=evidence, include_prior=True)
    got = await live.stub.QueryConditional(asked)
    (face,) = live.server.aligner.align(encoded(), [GOOD_BOX])
    want = conditioned(face, Evidence((SoftClick(8, 25, 42, 0.5),)))
    assert np.allclose(got.face.landmarks.points, want.face.landmarks.ravel(), atol=1e-4)
    assert (got.face.box.x0, got.face.box.y1) == pytest.approx((want.box[0], want.box[3]), abs=1e-4)
    assert got.surprise == pytest.approx(want.surprise)
    assert got.outcome == CONDITIONED
    assert np.allclose(got.prior.landmarks.points, face.landmarks.ravel(), atol=1e-4)
    assert len({got.face.posterior_id, got.prior.posterior_id, ""}) == 3
    assert got.evidence.clicks[0] == evidence.clicks[0]
    assert got.evidence.box_motion == evidence_pb2.BOX_MOTION_FREE


async def test_the_default_sigma_is_a_hundredth_of_the_diagonal_and_may_be_sent_back(live: Running) -> None:
    asked = Conditional(image=IMAGE, box=BOX, evidence=evidence_pb2.Evidence(clicks=[click(30, 25, 25)]))
    got = await live.stub.QueryConditional(asked)
    assert got.evidence.clicks[0].sigma == pytest.approx(0.01 * 30 * 2**0.5)
    again = await live.stub.QueryConditional(
        Conditional(posterior_id=got.face.posterior_id, evidence=got.evidence, include_prior=True)
    )
    assert again.surprise == 0
    assert again.prior.landmarks == again.face.landmarks == got.face.landmarks
    assert again.evidence == got.evidence


async def test_evidence_adds_up_in_any_order_and_in_any_number_of_calls(live: Running) -> None:
    (face,) = (await live.stub.PredictLandmarks(request(GOOD_BOX))).faces
    name, points = face.posterior_id, np.reshape(face.landmarks.points, (68, 2))
    first, second = click(8, *points[8] + 0.5, sigma=0.5), click(30, *points[30] - 0.5, sigma=0.5)

    async def ask(name: str, *clicks: evidence_pb2.Click) -> service_pb2.QueryConditionalResponse:
        return await live.stub.QueryConditional(
            Conditional(posterior_id=name, evidence=evidence_pb2.Evidence(clicks=clicks))
        )

    together = await ask(name, second, first)
    one = await ask(name, first)
    two = await ask(one.face.posterior_id, second)
    assert two.face.landmarks == together.face.landmarks
    assert two.evidence == together.evidence
    assert (two.outcome, together.outcome) == (CONDITIONED, CONDITIONED)
    assert together.surprise > one.surprise > 0
    assert one.surprise + two.surprise == pytest.approx(together.surprise, abs=1e-9)
    # The face that both come from holds nothing still.
    assert len((await ask(name)).evidence.clicks) == 0


async def test_regions_and_pose_ranges_come_back_as_they_were_sent(live: Running) -> None:
    corners = [geometry_pb2.Point(x=x, y=y) for x, y in ((0, 0), (60, 0), (60, 60), (0, 60))]
    regions = [
        geometry_pb2.Region(rectangle=geometry_pb2.Rectangle(x0=0, y0=0, x1=60, y1=60)),
        geometry_pb2.Region(circle=geometry_pb2.Circle(center=geometry_pb2.Point(x=25, y=25), radius=60)),
        geometry_pb2.Region(polygon=geometry_pb2.Polygon(vertices=corners)),
    ]
    evidence = evidence_pb2.Evidence(
        regions=[
            evidence_pb2.RegionConstraint(landmark=3, region=r, side=evidence_pb2.REGION_SIDE_INSIDE) for r in regions
        ],
        poses=[evidence_pb2.PoseRange(yaw=geometry_pb2.Interval(lower=-10, upper=10))],
        box_motion=evidence_pb2.BOX_MOTION_FIXED,
    )
    got = await live.stub.QueryConditional(Conditional(image=IMAGE, box=BOX, evidence=evidence))
    assert (got.outcome, got.surprise) == (CONDITIONED, 0)
    assert sorted(map(str, got.evidence.regions)) == sorted(map(str, evidence.regions))
    assert got.evidence.poses == evidence.poses
    assert got.evidence.box_motion == evidence_pb2.BOX_MOTION_FIXED
    outside = evidence_pb2.RegionConstraint(landmark=3, region=regions[1], side=evidence_pb2.REGION_SIDE_OUTSIDE)
    got = await live.stub.QueryConditional(
        Conditional(image=IMAGE, box=BOX, evidence=evidence_pb2.Evidence(regions=[outside]))
    )
    assert got.outcome == IMPOSSIBLE


async def test_impossible_evidence_is_flagged_and_still_answered(live: Running) -> None:
    poses = [evidence_pb2.PoseRange(roll=geometry_pb2.Interval(lower=90, upper=120))]
    got = await live.stub.QueryConditional(
        Conditional(image=IMAGE, box=BOX, evidence=evidence_pb2.Evidence(poses=poses))
    )
    assert got.outcome == IMPOSSIBLE
    assert not got.HasField("surprise")
    assert np.isfinite(got.face.landmarks.points).all()
    then = await live.stub.SuggestEvidence(Suggest(posterior_id=got.face.posterior_id))
    assert then.outcome == IMPOSSIBLE


async def test_suggestions_are_the_engines_in_pixels(live: Running) -> None:
    got = await live.stub.SuggestEvidence(Suggest(image=IMAGE, box=BOX))
    (face,) = live.server.aligner.align(encoded(), [GOOD_BOX])
    want = suggestions(face)
    assert [s.landmark for s in got.suggestions] == [s.landmark for s in want.ranked[:5]]
    assert got.suggestions[0].error_reduction == pytest.approx(want.ranked[0].error_reduction)
    assert got.expected_error == pytest.approx(want.expected_error)
    assert got.outcome == CONDITIONED
    assert not got.face.HasField("landmarks")


async def test_suggestions_leave_out_what_is_clicked(live: Running) -> None:
    evidence = evidence_pb2.Evidence(clicks=[click(8, 25, 42, sigma=1), click(30, 25, 25, radius=9)])
    asked = Suggest(image=IMAGE, box=BOX, evidence=evidence)
    asked.suggestion.max_suggestions = 68
    asked.suggestion.criterion = evidence_pb2.SUGGESTION_CRITERION_ENTROPY
    got = await live.stub.SuggestEvidence(asked)
    assert {s.landmark for s in got.suggestions} == set(range(68)) - {8, 30}
    drops = [s.entropy_reduction for s in got.suggestions]
    assert drops == sorted(drops, reverse=True)
    again = Suggest(posterior_id=got.face.posterior_id)
    again.suggestion.landmarks.extend([1, 8])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.SuggestEvidence(again)
    assert details_of(caught.value).violations == {"suggestion.landmarks[1]": "is 8, which is clicked already"}


async def test_the_one_face_is_the_best_detected(live: Running) -> None:
    live.detector.faces = [((10, 10, 40, 40), 0.9), ((20, 5, 60, 45), 0.8)]
    got = await live.stub.SuggestEvidence(Suggest(image=IMAGE))
    assert got.face.detector_score == pytest.approx(0.9)
    assert sum(live.runtime.batches) == 1
    live.detector.faces = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.QueryConditional(Conditional(image=IMAGE, evidence=evidence_pb2.Evidence()))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert details_of(caught.value).reason == "NO_FACE"


async def test_exemplars_are_told_in_the_order_asked_for(live: Running) -> None:
    got = await live.stub.GetExemplars(service_pb2.GetExemplarsRequest(class_ids=[3, 0], bundle_id="b" * 64))
    assert [e.class_id for e in got.exemplars] == [3, 0]
    exemplars = live.server.aligner.bundle.exemplars
    assert np.allclose(got.exemplars[0].points, exemplars.shapes[3].ravel())
    assert got.exemplars[0].mirror_class_id == 3
    assert got.exemplars[0].spread == pytest.approx(0.01)
    assert got.exemplars[0].HasField("yaw")


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ([], {"class_ids": "has 0 ids, must have 1 to 1000"}),
        ([0] * 1001, {"class_ids": "has 1001 ids, must have 1 to 1000"}),
        ([-1, 0, K], {"class_ids[0]": "is -1, must be 0 to 11", "class_ids[2]": "is 12, must be 0 to 11"}),
    ],
)
async def test_wrong_class_ids_are_named(live: Running, ids: list[int], says: dict[str, str]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.GetExemplars(service_pb2.GetExemplarsRequest(class_ids=ids))
    assert details_of(caught.value).violations == says


async def test_exemplars_of_another_bundle_are_not_told(live: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.GetExemplars(service_pb2.GetExemplarsRequest(class_ids=[0], bundle_id="c" * 64))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert details_of(caught.value).reason == "OTHER_BUNDLE"
