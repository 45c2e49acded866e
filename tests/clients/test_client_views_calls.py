"""Heatmaps, pose, evidence and exemplars through both clients: what is sent, what comes back, what is refused."""

from __future__ import annotations

import json
import math
from typing import Any, cast

import numpy as np
import pytest

from both_clients import Call
from exalign.v1 import evidence_pb2, service_pb2
from exalign_client import (
    Circle,
    Click,
    EvidenceOutcome,
    HeatmapOptions,
    Inside,
    InternalServerError,
    InvalidRequestError,
    LandmarkOptions,
    NotFoundError,
    Outside,
    Polygon,
    PoseOptions,
    PoseRange,
    Rectangle,
)
from exalign_client.landmarks import GROUPS, NAMES, group_of
from exalign_client.results.faces import face_from
from fake_server import BOX, FakeService, cells, face, heatmaps, points, pose

JPEG = b"\xff\xd8"


def _wrong(call: Call, service: FakeService, method: str, *arguments: Any, **options: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        call(method, service.address, *arguments, **options)
    assert service.requests == []
    return {violation.field: violation.description for violation in caught.value.violations}


@pytest.mark.parametrize("encoding", ["float32", "uint8", "sparse"])
def test_heatmaps_arrive_as_floats_whatever_the_encoding(service: FakeService, call: Call, encoding: Any) -> None:
    options = HeatmapOptions(["nose_tip", "eyes", 37], width=20, height=10, encoding=encoding)
    maps = call("heatmaps", service.address, JPEG, options=options)[0].heatmaps
    assert maps.landmarks == (30, *range(36, 48))
    assert (maps.masses.shape, maps.masses.dtype) == ((13, 10, 20), np.float32)
    expected = cells(30, 20, 10)
    bound = {"float32": 0.0, "uint8": expected.max() / 510 * 1.001, "sparse": 0.3 / 200 * 1.001}[encoding]
    assert np.abs(maps.of("nose_tip") - expected).max() <= bound
    np.testing.assert_array_equal(maps.of(30), maps.of("nose_tip"))
    np.testing.assert_array_equal(maps.rectangle, [25, 15, 95, 75])
    assert (maps.mass_outside.shape, maps.mass_error[3]) == ((13,), np.float32(0.002))
    with pytest.raises(KeyError):
        maps.of("jaw_0")


def test_pose_is_a_distribution(service: FakeService, call: Call) -> None:
    options = PoseOptions((0.5, 0.8), yaw_bins=6, roll_bins=4, yaw_range=(-60, 60))
    found = call("pose", service.address, JPEG, [BOX], options=options)[0].pose
    assert (found.yaw, found.pitch, found.roll) == (-12.5, 4.0, 7.0)
    np.testing.assert_array_equal(found.covariance, [[9, -1, 2], [-1, 16, -3], [2, -3, 25]])
    assert [interval.mass for interval in found.intervals] == [0.5, 0.8]
    assert found.intervals[0].roll == (-1.0, 15.0)
    assert found.histogram.masses.shape == (4, 6)
    assert (found.histogram.masses[0, 0], found.histogram.masses[3, 5]) == (0.5, np.float32(0.3))
    assert (found.histogram.yaw_range, found.histogram.mass_outside) == ((-60.0, 60.0), 0.2)


def test_no_bins_mean_no_histogram(service: FakeService, call: Call) -> None:
    found = call("pose", service.address, JPEG, options=PoseOptions(yaw_bins=0, roll_bins=0))[0].pose
    assert found.histogram is None


@pytest.mark.parametrize("method", ["predict", "heatmaps", "pose", "condition", "suggest"])
def test_one_call_answers_several_views_of_the_same_face(service: FakeService, call: Call, method: str) -> None:
    views = {"heatmaps": HeatmapOptions(width=3, height=2), "pose": PoseOptions()}
    if method in views:
        views["options"] = views.pop(method)
    answer = call(method, service.address, JPEG, **views)
    found = answer.face if method in ("condition", "suggest") else answer[0]
    assert found.heatmaps.masses.shape == (68, 2, 3)
    assert found.pose.yaw == -12.5
    assert found.landmarks.shape == (68, 2)
    assert len(service.requests) == 1


@pytest.mark.parametrize("method", ["heatmaps", "pose", "condition", "suggest"])
def test_a_posterior_id_replaces_the_picture(service: FakeService, call: Call, method: str) -> None:
    call(method, service.address, posterior_id="p1", landmarks=LandmarkOptions(top_exemplars=3, groups=["jaw"]))
    request = service.requests[0]
    assert (request.posterior_id, request.HasField("image")) == ("p1", False)
    assert request.landmarks.top_exemplars == 3
    with pytest.raises(NotFoundError, match="p7"):
        call(method, service.address, posterior_id="p7")


@pytest.mark.parametrize("method", ["heatmaps", "pose", "condition", "suggest"])
def test_picture_and_posterior_id_exclude_each_other(service: FakeService, call: Call, method: str) -> None:
    box: dict[str, Any] = {"boxes": [BOX]} if method in ("heatmaps", "pose") else {"box": BOX}
    wrong = _wrong(call, service, method, JPEG, posterior_id="p1", detector="mtcnn", **box)
    assert set(wrong) == {"image", "detector", *box}
    assert "give an image or a posterior_id" in _wrong(call, service, method)["image"]
    assert set(_wrong(call, service, method, posterior_id="")) == {"posterior_id"}


def test_evidence_travels_there_and_back(service: FakeService, call: Call) -> None:
    evidence = [
        Click("nose_tip", 10.1, 20),
        Click(8, 30, 40, radius=2),
        Click(0, 1, 2, sigma=1.5),
        Inside("jaw_3", Rectangle(1, 2, 3, 4)),
        Outside(4, Circle(5, 6, 7)),
        Inside(5, Polygon(((0, 0), (4, 0), (0, 4)))),
        PoseRange(yaw=(-30, 0), roll=(10, 10)),
    ]
    answer = call("condition", service.address, JPEG, evidence, box=BOX, include_prior=True)
    assert answer.evidence == (Click(30, 10.1, 20), *evidence[1:3], Inside(3, Rectangle(1, 2, 3, 4)), *evidence[4:])
    assert (answer.outcome, answer.surprise) == (EvidenceOutcome.CONDITIONED, 2.25)
    np.testing.assert_array_equal(answer.face.landmarks, points() + np.float32([3, 0]))
    np.testing.assert_array_equal(answer.prior.landmarks, points())
    assert service.requests[0].evidence.box_motion == evidence_pb2.BOX_MOTION_FREE
    sides = [item["side"] for item in answer.to_json()["evidence"] if "side" in item]
    assert sides == ["inside", "outside", "inside"]
    json.dumps(answer.to_json(), allow_nan=False)


def test_one_constraint_needs_no_list_and_the_box_may_stay(service: FakeService, call: Call) -> None:
    answer = call("condition", service.address, JPEG, Click(30, 1, 2), box_moves=False)
    assert (len(answer.evidence), answer.prior) == (1, None)
    assert service.requests[0].evidence.box_motion == evidence_pb2.BOX_MOTION_FIXED


def test_impossible_evidence_is_an_outcome_without_a_surprise(service: FakeService, call: Call) -> None:
    service.outcome = evidence_pb2.EVIDENCE_OUTCOME_IMPOSSIBLE
    answer = call("condition", service.address, JPEG, Click(30, 1, 2, radius=0.1))
    assert (answer.outcome, answer.surprise) == (EvidenceOutcome.IMPOSSIBLE, None)


def test_suggestions_are_ranked(service: FakeService, call: Call) -> None:
    answer = call(
        "suggest", service.address, JPEG, candidates=["nose_tip", "mouth"], max_suggestions=2, criterion="entropy"
    )
    assert [s.landmark for s in answer.suggestions] == [30, 48]
    assert [s.error_reduction for s in answer.suggestions] == [1.5, 0.75]
    assert (answer.expected_error, answer.face.entropy) == (4.5, 3.5)
    request = service.requests[0]
    assert request.suggestion.criterion == evidence_pb2.SUGGESTION_CRITERION_ENTROPY
    assert not request.HasField("evidence")
    call("suggest", service.address, JPEG, Click(30, 1, 2), click_sigma=2.0)
    assert service.requests[1].evidence.clicks[0].landmark == 30
    assert service.requests[1].suggestion.click_sigma == 2.0


def test_exemplars_have_shapes_in_the_box_frame(service: FakeService, call: Call) -> None:
    first, second = call("exemplars", service.address, [7, 3], bundle_id="ab" * 32)
    assert (first.class_id, second.source_id) == (7, "face_3")
    np.testing.assert_allclose(first.points, (points() - [30, 20]) / 60, atol=1e-6)
    assert (first.yaw, first.pitch, first.mirror_class_id) == (-10.0, None, None)
    assert service.requests[0].bundle_id == "ab" * 32


def test_a_range_too_narrow_for_its_bins_is_told_the_least_width(service: FakeService, call: Call) -> None:
    pose = PoseOptions(yaw_bins=90, yaw_range=(0, 5e-324), roll_range=(-1, 1))
    wrong = _wrong(call, service, "pose", JPEG, options=pose)
    assert wrong == {"options.yaw_range": "is 4.94066e-324 degrees wide, must be at least 0.09 for 90 bins"}


def test_every_wrong_view_option_is_named_at_once(service: FakeService, call: Call) -> None:
    wrong = _wrong(
        call,
        service,
        "heatmaps",
        b"",
        [(1, 2, 3)],
        options=HeatmapOptions(
            ["nostril", 68], (4, 0, 4, math.inf), width=0, height=257, encoding=cast(Any, "png"), sparse_mass=0
        ),
        pose=PoseOptions((0.5, 1.0), yaw_bins=181, roll_bins=-1, yaw_range=(5, 5), roll_range=(0, 181)),
        landmarks=LandmarkOptions(top_exemplars=-1, groups=["nostrils"]),
        max_faces=0,
    )
    assert set(wrong) == {
        "image",
        "boxes[0]",
        "options.landmarks[0]",
        "options.landmarks[1]",
        "options.rectangle.y1",
        "options.width",
        "options.height",
        "options.encoding",
        "options.sparse_mass",
        "pose.interval_masses[1]",
        "pose.yaw_bins",
        "pose.roll_bins",
        "pose.yaw_range",
        "pose.roll_range",
        "landmarks.top_exemplars",
        "landmarks.groups[0]",
        "max_faces",
    }
    assert wrong["options.height"] == "257 is not a whole number from 1 to 256"


def test_every_wrong_piece_of_evidence_is_named_at_once(service: FakeService, call: Call) -> None:
    evidence = [
        Click("nose", 1, 2),
        Click(30, math.nan, 2),
        Click(8, 1, 2, radius=1, sigma=1),
        Click(9, 1, 2, radius=0),
        Click(10, 1, 2),
        Click(10, 1, 3),
        Click(11, 1, 2),
        Click(11, 1, 2),
        Inside(-1, Circle(1, 2, -3)),
        Outside(3, Polygon(((0, 0), (1, 1)))),
        Inside(3, cast(Any, "left")),
        Inside(3, Rectangle(5, 0, 1, 1)),
        PoseRange(yaw=(3, 1), pitch=(-181, 0)),
        (30, 1, 2),
    ]
    assert set(_wrong(call, service, "condition", JPEG, evidence)) == {
        "evidence[0].landmark",
        "evidence[1].x",
        "evidence[2].sigma",
        "evidence[3].radius",
        "evidence[5]",
        "evidence[8].landmark",
        "evidence[8].area.radius",
        "evidence[9].area.vertices",
        "evidence[10].area",
        "evidence[11].area.x1",
        "evidence[12].yaw",
        "evidence[12].pitch",
        "evidence[13]",
    }


def test_wrong_suggestion_options_and_class_ids_are_named(service: FakeService, call: Call) -> None:
    options: dict[str, Any] = {"max_suggestions": 69, "criterion": "luck", "click_sigma": -1.0, "candidates": "nose"}
    assert set(_wrong(call, service, "suggest", JPEG, **options)) == set(options)
    assert set(_wrong(call, service, "exemplars", [0, -1, 1.5])) == {"class_ids[1]", "class_ids[2]"}
    assert set(_wrong(call, service, "exemplars", [])) == {"class_ids"}


def test_an_answer_whose_cells_do_not_fit_the_grid_is_the_servers_fault() -> None:
    damaged = face()
    damaged.heatmaps.CopyFrom(heatmaps(service_pb2.PredictHeatmapsRequest().heatmaps))
    damaged.heatmaps.heatmaps[2].dense.float32 = b"1234"
    with pytest.raises(InternalServerError, match=r"heatmaps\[2\] does not have 4096 cells"):
        face_from(damaged, "face")
    damaged.heatmaps.heatmaps[2].sparse.indices.append(4096)
    damaged.heatmaps.heatmaps[2].sparse.masses.append(0.5)
    with pytest.raises(InternalServerError, match="off the grid"):
        face_from(damaged, "face")
    turned = face()
    turned.pose.CopyFrom(pose(service_pb2.EstimatePoseRequest().pose))
    turned.pose.covariance.pop()
    with pytest.raises(InternalServerError, match="covariance must have 6 numbers"):
        face_from(turned, "face")


def test_names_and_groups_are_those_of_the_engine() -> None:
    engine = pytest.importorskip("exalign_engine.geometry.landmarks")
    assert engine.NAMES == NAMES
    assert engine.GROUPS == GROUPS
    assert all(n in engine.GROUPS[group_of(n)] for n in range(68))
