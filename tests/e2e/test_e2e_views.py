"""Heatmaps, pose, clicks, suggestions and exemplars of a photograph, through the real server."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from exalign.v1 import evidence_pb2, face_pb2, geometry_pb2, heatmap_pb2, image_pb2, pose_pb2, service_pb2
from exalign.v1.service_pb2_grpc import FaceAlignmentServiceStub
from exalign_client.transport.local_server import local_server
from exalign_engine.geometry.landmarks import NOSE_TIP

CHIN = 8
SECONDS = 120


@pytest.fixture(scope="module")
def face(stub: FaceAlignmentServiceStub, astronaut: bytes) -> face_pb2.Face:
    """The astronaut's face, kept by the server."""
    request = service_pb2.PredictLandmarksRequest(image=image_pb2.Image(encoded=astronaut))
    (found,) = stub.PredictLandmarks(request, timeout=SECONDS).faces
    return found


def heatmaps(stub: FaceAlignmentServiceStub, name: str, **options: Any) -> heatmap_pb2.Heatmaps:
    asked = heatmap_pb2.HeatmapOptions(**options)
    request = service_pb2.PredictHeatmapsRequest(posterior_id=name, heatmaps=asked)
    return stub.PredictHeatmaps(request, timeout=SECONDS).faces[0].heatmaps


def dense(heatmap: heatmap_pb2.Heatmap) -> np.ndarray[Any, Any]:
    return np.frombuffer(heatmap.dense.float32, "<f4").reshape(64, 64).astype(float)


def points(face: face_pb2.Face) -> np.ndarray[Any, Any]:
    return np.reshape(face.landmarks.points, (68, 2))


def click(landmark: int, x: float, y: float, **trust: float) -> evidence_pb2.Evidence:
    one = evidence_pb2.Click(landmark=landmark, position=geometry_pb2.Point(x=x, y=y), **trust)
    return evidence_pb2.Evidence(clicks=[one])


def condition(
    stub: FaceAlignmentServiceStub, name: str, evidence: evidence_pb2.Evidence, **more: Any
) -> service_pb2.QueryConditionalResponse:
    request = service_pb2.QueryConditionalRequest(posterior_id=name, evidence=evidence, **more)
    return stub.QueryConditional(request, timeout=SECONDS)


def test_every_heatmap_sums_to_one(stub: FaceAlignmentServiceStub, face: face_pb2.Face) -> None:
    maps = heatmaps(stub, face.posterior_id).heatmaps
    assert [m.landmark for m in maps] == list(range(68))
    for heatmap in maps:
        total = dense(heatmap).sum() + heatmap.mass_outside
        assert abs(total - 1) <= heatmap.mass_cut + heatmap.mass_error


def test_the_encodings_agree_within_the_stated_error(stub: FaceAlignmentServiceStub, face: face_pb2.Face) -> None:
    landmarks = [0, NOSE_TIP, 36]
    exact = heatmaps(stub, face.posterior_id, landmarks=landmarks).heatmaps
    kinds = heatmap_pb2.HEATMAP_ENCODING_SPARSE, heatmap_pb2.HEATMAP_ENCODING_UINT8
    sparse, quantized = (
        heatmaps(stub, face.posterior_id, landmarks=landmarks, encoding=kind).heatmaps for kind in kinds
    )
    for a, b, c in zip(exact, sparse, quantized, strict=True):
        rebuilt = np.zeros(64 * 64)
        rebuilt[list(b.sparse.indices)] = b.sparse.masses
        assert len(b.sparse.indices) < 64 * 64
        assert np.abs(rebuilt - dense(a).ravel()).sum() <= b.mass_error - a.mass_error + 1e-6
        bytes_ = np.frombuffer(c.quantized.uint8, np.uint8) * float(c.quantized.scale)
        assert np.abs(bytes_ - dense(a).ravel()).sum() <= c.mass_error - a.mass_error + 1e-6


def test_the_pose_of_a_nearly_frontal_face(stub: FaceAlignmentServiceStub, face: face_pb2.Face) -> None:
    request = service_pb2.EstimatePoseRequest(posterior_id=face.posterior_id)
    (answer,) = stub.EstimatePose(request, timeout=SECONDS).faces
    pose = answer.pose
    assert abs(pose.mean.yaw) < 30
    assert abs(pose.mean.pitch) < 30
    assert abs(pose.mean.roll) < 15
    half, ninety = pose.intervals
    assert (half.mass, ninety.mass) == pytest.approx((0.5, 0.9))
    for angle in ("yaw", "pitch", "roll"):
        inner, outer = getattr(half, angle), getattr(ninety, angle)
        assert outer.lower < inner.lower < inner.upper < outer.upper
    assert sum(pose.histogram.masses) + pose.histogram.mass_outside == pytest.approx(1, abs=1e-4)
    xx, xy, xz, yy, yz, zz = pose.covariance
    assert (np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) > 0).all()


def test_a_click_moves_its_landmark_and_tightens_the_face(stub: FaceAlignmentServiceStub, face: face_pb2.Face) -> None:
    x, y = points(face)[CHIN] + (4, 3)
    wanted = {"landmarks": face_pb2.LandmarkOptions(), "heatmaps": heatmap_pb2.HeatmapOptions(landmarks=[CHIN])}
    evidence = click(CHIN, x, y, sigma=0.5)
    # A box that may move takes some of the click up by itself, and what it may be off by is spread as well.
    evidence.box_motion = evidence_pb2.BOX_MOTION_FIXED
    got = condition(stub, face.posterior_id, evidence, include_prior=True, **wanted)
    assert got.outcome == evidence_pb2.EVIDENCE_OUTCOME_CONDITIONED
    assert got.surprise > 0
    assert points(got.face)[CHIN] == pytest.approx((x, y), abs=1e-3)
    maps, r = got.face.heatmaps, got.face.heatmaps.rectangle
    row, column = np.unravel_index(dense(maps.heatmaps[0]).argmax(), (64, 64))
    step = (r.x1 - r.x0) / 64
    assert r.x0 + (column + 0.5) * step == pytest.approx(x, abs=step)
    assert r.y0 + (row + 0.5) * step == pytest.approx(y, abs=step)

    def spread(of: face_pb2.Face) -> float:
        return float(np.reshape(of.landmarks.covariances, (68, 3))[:, [0, 2]].sum())

    assert got.prior.landmarks == face.landmarks
    assert spread(got.face) < spread(got.prior)


def test_a_click_may_move_the_box(stub: FaceAlignmentServiceStub, face: face_pb2.Face) -> None:
    x, y = points(face)[CHIN] + (4, 3)
    got = condition(stub, face.posterior_id, click(CHIN, x, y, sigma=0.5))
    assert got.evidence.box_motion == evidence_pb2.BOX_MOTION_FREE
    assert points(got.face)[CHIN] == pytest.approx((x, y), abs=1e-3)
    assert got.face.box.x0 > face.box.x0
    assert got.face.box.y1 > face.box.y1
    assert got.face.source_box == face.source_box


def test_a_hard_click_rules_out_and_leaves_the_marginal(stub: FaceAlignmentServiceStub, face: face_pb2.Face) -> None:
    x, y = points(face)[CHIN] + (3, 2)
    evidence = click(CHIN, x, y, radius=4)
    evidence.box_motion = evidence_pb2.BOX_MOTION_FIXED
    got = condition(stub, face.posterior_id, evidence)
    assert got.outcome == evidence_pb2.EVIDENCE_OUTCOME_CONDITIONED
    assert np.linalg.norm(points(got.face)[CHIN] - (x, y)) <= 4
    assert points(got.face)[CHIN] != pytest.approx((x, y), abs=1e-3)
    assert got.face.box == face.box


def test_evidence_may_be_added_call_by_call(stub: FaceAlignmentServiceStub, face: face_pb2.Face) -> None:
    at = points(face)
    chin, nose = click(CHIN, *at[CHIN] + (2, 2), sigma=1), click(NOSE_TIP, *at[NOSE_TIP] + (1, 0), sigma=1)
    one = condition(stub, face.posterior_id, chin)
    two = condition(stub, one.face.posterior_id, nose)
    both = evidence_pb2.Evidence(clicks=[*nose.clicks, *chin.clicks])
    together = condition(stub, face.posterior_id, both)
    assert two.face.landmarks == together.face.landmarks
    assert len(two.evidence.clicks) == 2
    assert len({face.posterior_id, one.face.posterior_id, two.face.posterior_id}) == 3
    repeated = condition(stub, two.face.posterior_id, chin)
    assert (repeated.face.landmarks, repeated.surprise) == (two.face.landmarks, 0)


def test_impossible_evidence_is_flagged(stub: FaceAlignmentServiceStub, face: face_pb2.Face) -> None:
    upside_down = evidence_pb2.PoseRange(roll=geometry_pb2.Interval(lower=170, upper=180))
    got = condition(stub, face.posterior_id, evidence_pb2.Evidence(poses=[upside_down]))
    assert got.outcome == evidence_pb2.EVIDENCE_OUTCOME_IMPOSSIBLE
    assert not got.HasField("surprise")
    assert np.isfinite(got.face.landmarks.points).all()


def test_suggestions_are_ranked_and_leave_out_what_is_known(
    stub: FaceAlignmentServiceStub, face: face_pb2.Face
) -> None:
    request = service_pb2.SuggestEvidenceRequest(posterior_id=face.posterior_id)
    first = stub.SuggestEvidence(request, timeout=SECONDS)
    drops = [s.error_reduction for s in first.suggestions]
    assert len(drops) == 5
    assert drops == sorted(drops, reverse=True)
    assert 0 < drops[0] < first.expected_error
    best = first.suggestions[0].landmark
    request.evidence.CopyFrom(click(best, *points(face)[best]))
    request.landmarks.SetInParent()
    then = stub.SuggestEvidence(request, timeout=SECONDS)
    assert best not in {s.landmark for s in then.suggestions}
    # One click at one place may raise the expected error; only on average does it fall.
    variances = np.reshape(then.face.landmarks.covariances, (68, 3))[:, [0, 2]]
    assert then.expected_error == pytest.approx(np.sqrt(variances.sum() / 68), rel=1e-4)


def test_one_call_for_every_view(stub: FaceAlignmentServiceStub, astronaut: bytes) -> None:
    request = service_pb2.PredictLandmarksRequest(
        image=image_pb2.Image(encoded=astronaut),
        heatmaps=heatmap_pb2.HeatmapOptions(encoding=heatmap_pb2.HEATMAP_ENCODING_UINT8),
        pose=pose_pb2.PoseOptions(),
    )
    (face,) = stub.PredictLandmarks(request, timeout=SECONDS).faces
    assert len(face.landmarks.points) == 136
    assert len(face.heatmaps.heatmaps) == 68
    assert len(face.pose.histogram.masses) == 36 * 36


def test_the_shapes_behind_class_ids(stub: FaceAlignmentServiceStub, face: face_pb2.Face) -> None:
    ids = [e.class_id for e in face.posterior.top_exemplars]
    answer = stub.GetExemplars(service_pb2.GetExemplarsRequest(class_ids=ids), timeout=SECONDS)
    assert [e.class_id for e in answer.exemplars] == ids
    assert ids[0] == face.landmarks.map_class_id
    best, box = np.reshape(answer.exemplars[0].points, (68, 2)), face.box
    centre, side = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2), max(box.x1 - box.x0, box.y1 - box.y0)
    placed = centre + (best - 0.5) * side
    # The answer has the exemplar displaced by what the picture shows, not another shape.
    moved = np.linalg.norm(np.reshape(face.landmarks.map_points, (68, 2)) - placed, axis=1) / side
    assert 0 < moved.mean() < 0.05


def test_ids_are_unguessable_and_the_cache_is_bounded(astronaut: bytes) -> None:
    with (
        local_server(tcp=True, arguments=["--max-posteriors", "2"]) as small,
        grpc.insecure_channel(small.address) as channel,
    ):
        stub = FaceAlignmentServiceStub(channel)
        request = service_pb2.PredictLandmarksRequest(image=image_pb2.Image(encoded=astronaut))
        names = [stub.PredictLandmarks(request, timeout=SECONDS).faces[0].posterior_id for _ in range(3)]
        assert len(set(names)) == 3
        assert all(len(name) >= 22 for name in names)
        for name in names[1:]:
            stub.EstimatePose(service_pb2.EstimatePoseRequest(posterior_id=name), timeout=SECONDS)
        with pytest.raises(grpc.RpcError) as caught:
            stub.EstimatePose(service_pb2.EstimatePoseRequest(posterior_id=names[0]), timeout=SECONDS)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        assert "send the image again" in caught.value.details()
