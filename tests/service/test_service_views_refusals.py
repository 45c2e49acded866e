"""Wrong requests for views and evidence: every wrong field is named at once, and the server goes on."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from exalign.v1 import evidence_pb2, geometry_pb2, heatmap_pb2, image_pb2, pose_pb2, service_pb2
from service_fakes import GOOD_BOX, Running, details_of, encoded, request

Evidence, Click, Point = evidence_pb2.Evidence, evidence_pb2.Click, geometry_pb2.Point
Interval, Region, Circle = geometry_pb2.Interval, geometry_pb2.Region, geometry_pb2.Circle
Rectangle, Polygon = geometry_pb2.Rectangle, geometry_pb2.Polygon
Constraint, PoseRange = evidence_pb2.RegionConstraint, evidence_pb2.PoseRange
NAN, INF = math.nan, math.inf

IMAGE = image_pb2.Image(encoded=encoded())
BOX = geometry_pb2.Box(x0=GOOD_BOX[0], y0=GOOD_BOX[1], x1=GOOD_BOX[2], y1=GOOD_BOX[3])


async def violations(call: Any, bad: Message) -> dict[str, str]:
    """What is wrong with a request according to the server."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(bad)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, caught.value.details()
    return details_of(caught.value).violations


def with_views(heatmaps: heatmap_pb2.HeatmapOptions, pose: pose_pb2.PoseOptions) -> list[tuple[str, Message]]:
    """The same views asked of every method that has them."""
    views: dict[str, Any] = {"heatmaps": heatmaps, "pose": pose}
    return [
        ("PredictLandmarks", service_pb2.PredictLandmarksRequest(image=IMAGE, boxes=[BOX], **views)),
        ("PredictHeatmaps", service_pb2.PredictHeatmapsRequest(image=IMAGE, boxes=[BOX], **views)),
        ("EstimatePose", service_pb2.EstimatePoseRequest(image=IMAGE, boxes=[BOX], **views)),
        ("QueryConditional", service_pb2.QueryConditionalRequest(image=IMAGE, box=BOX, evidence=Evidence(), **views)),
        ("SuggestEvidence", service_pb2.SuggestEvidenceRequest(image=IMAGE, box=BOX, **views)),
    ]


HISTOGRAM = pose_pb2.PoseHistogramOptions
WRONG_VIEWS: list[tuple[heatmap_pb2.HeatmapOptions, pose_pb2.PoseOptions, set[str]]] = [
    (
        heatmap_pb2.HeatmapOptions(landmarks=[0, 68, 0, -1], width=0, height=257, encoding=9),  # type: ignore[arg-type]
        pose_pb2.PoseOptions(interval_masses=[0.5, 1, NAN]),
        {
            "heatmaps.landmarks[1]",
            "heatmaps.landmarks[2]",
            "heatmaps.landmarks[3]",
            "heatmaps.width",
            "heatmaps.height",
            "heatmaps.encoding",
            "pose.interval_masses[1]",
            "pose.interval_masses[2]",
        },
    ),
    (
        heatmap_pb2.HeatmapOptions(
            rectangle=Rectangle(x0=5, y0=0, x1=5, y1=9),
            encoding=heatmap_pb2.HEATMAP_ENCODING_SPARSE,
            sparse_mass=0,
        ),
        pose_pb2.PoseOptions(
            interval_masses=[0.5] * 9,
            histogram=HISTOGRAM(
                yaw_bins=181,
                roll_bins=-1,
                yaw_range=Interval(lower=-181, upper=NAN),
                roll_range=Interval(lower=10, upper=10),
            ),
        ),
        {
            "heatmaps.rectangle.x1",
            "heatmaps.sparse_mass",
            "pose.interval_masses",
            "pose.histogram.yaw_bins",
            "pose.histogram.roll_bins",
            "pose.histogram.yaw_range.lower",
            "pose.histogram.yaw_range.upper",
            "pose.histogram.roll_range",
        },
    ),
    (
        heatmap_pb2.HeatmapOptions(rectangle=Rectangle(x0=NAN, y0=-INF, x1=1, y1=1)),
        pose_pb2.PoseOptions(histogram=HISTOGRAM(yaw_range=Interval(lower=20, upper=10))),
        {"heatmaps.rectangle.x0", "heatmaps.rectangle.y0", "pose.histogram.yaw_range.lower"},
    ),
    (
        heatmap_pb2.HeatmapOptions(),
        pose_pb2.PoseOptions(
            histogram=HISTOGRAM(
                yaw_bins=1, yaw_range=Interval(lower=0, upper=5e-324), roll_range=Interval(lower=9, upper=9.01)
            )
        ),
        {"pose.histogram.yaw_range", "pose.histogram.roll_range"},
    ),
    (
        heatmap_pb2.HeatmapOptions(rectangle=Rectangle(x0=-2e6, y0=0, x1=1, y1=1)),
        pose_pb2.PoseOptions(),
        {"heatmaps.rectangle.x0"},
    ),
]


@pytest.mark.parametrize("method", range(5))
@pytest.mark.parametrize(("heatmaps", "pose", "fields"), WRONG_VIEWS)
async def test_wrong_views_are_named_by_every_method(
    live: Running, heatmaps: heatmap_pb2.HeatmapOptions, pose: pose_pb2.PoseOptions, fields: set[str], method: int
) -> None:
    name, bad = with_views(heatmaps, pose)[method]
    assert set(await violations(getattr(live.stub, name), bad)) == fields


async def test_a_range_too_narrow_for_its_bins_is_told_the_least_width(live: Running) -> None:
    options = pose_pb2.PoseOptions(
        histogram=HISTOGRAM(yaw_bins=90, roll_bins=90, roll_range=Interval(lower=-1e-6, upper=1e-6))
    )
    bad = service_pb2.EstimatePoseRequest(image=IMAGE, boxes=[BOX], pose=options)
    text = "is 2e-06 degrees wide, must be at least 0.09 for 90 bins"
    assert await violations(live.stub.EstimatePose, bad) == {"pose.histogram.roll_range": text}


def click(landmark: int = 0, x: float = 1, y: float = 1, **trust: float) -> evidence_pb2.Click:
    return Click(landmark=landmark, position=Point(x=x, y=y), **trust)


def inside(**shape: Any) -> evidence_pb2.RegionConstraint:
    return Constraint(landmark=0, region=Region(**shape))


WRONG_EVIDENCE: list[tuple[evidence_pb2.Evidence, set[str]]] = [
    (Evidence(clicks=[Click()]), {"clicks[0].landmark", "clicks[0].position"}),
    (Evidence(clicks=[click(68), click(-1)]), {"clicks[0].landmark", "clicks[1].landmark"}),
    (Evidence(clicks=[click(x=NAN, y=INF)]), {"clicks[0].position.x", "clicks[0].position.y"}),
    (Evidence(clicks=[click(x=2e6)]), {"clicks[0].position.x"}),
    (
        Evidence(clicks=[click(0, radius=0), click(1, sigma=-1), click(2, radius=NAN), click(3, sigma=INF)]),
        {"clicks[0].radius", "clicks[1].sigma", "clicks[2].radius", "clicks[3].sigma"},
    ),
    (Evidence(clicks=[click(5), click(5), click(5, x=2)]), {"clicks[2].landmark"}),
    (Evidence(clicks=[click(5, sigma=1), click(5, radius=1)]), {"clicks[1].landmark"}),
    (Evidence(clicks=[click(5)] * 69), {"clicks"}),
    (Evidence(regions=[Constraint()]), {"regions[0].landmark", "regions[0].region"}),
    (
        Evidence(regions=[Constraint(landmark=70, region=Region(circle=Circle(radius=1)), side=7)]),  # type: ignore[arg-type]
        {"regions[0].landmark", "regions[0].side", "regions[0].region.circle.center"},
    ),
    (Evidence(regions=[inside(circle=Circle(center=Point(), radius=0))]), {"regions[0].region.circle.radius"}),
    (Evidence(regions=[inside(rectangle=Rectangle(x1=1))]), {"regions[0].region.rectangle.y1"}),
    (Evidence(regions=[inside(rectangle=Rectangle(x1=NAN))]), {"regions[0].region.rectangle.x1"}),
    (Evidence(regions=[inside(polygon=Polygon(vertices=[Point()] * 2))]), {"regions[0].region.polygon.vertices"}),
    (Evidence(regions=[inside(polygon=Polygon(vertices=[Point()] * 65))]), {"regions[0].region.polygon.vertices"}),
    (
        Evidence(regions=[inside(polygon=Polygon(vertices=[Point(), Point(x=NAN), Point(y=3e6)]))]),
        {"regions[0].region.polygon.vertices[1].x", "regions[0].region.polygon.vertices[2].y"},
    ),
    (
        Evidence(regions=[inside(circle=Circle(center=Point(x=i), radius=1)) for i in range(69)]),
        {"regions"},
    ),
    (
        Evidence(poses=[PoseRange(yaw=Interval(lower=5, upper=1), roll=Interval(lower=-200, upper=NAN))]),
        {"poses[0].yaw.lower", "poses[0].roll.lower", "poses[0].roll.upper"},
    ),
    (Evidence(poses=[PoseRange(pitch=Interval(lower=i, upper=20)) for i in range(9)]), {"poses"}),
    (Evidence(box_motion=5), {"box_motion"}),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("evidence", "fields"), WRONG_EVIDENCE)
async def test_wrong_evidence_is_named(live: Running, evidence: evidence_pb2.Evidence, fields: set[str]) -> None:
    wanted = {f"evidence.{field}" for field in fields}
    bad = service_pb2.QueryConditionalRequest(image=IMAGE, box=BOX, evidence=evidence)
    assert set(await violations(live.stub.QueryConditional, bad)) == wanted
    suggest = service_pb2.SuggestEvidenceRequest(image=IMAGE, box=BOX, evidence=evidence)
    assert set(await violations(live.stub.SuggestEvidence, suggest)) == wanted


async def test_evidence_must_agree_with_what_the_face_holds(live: Running) -> None:
    boxes = [inside(rectangle=Rectangle(x0=-9, y0=-9, x1=100 + i, y1=100)) for i in range(60)]
    held = Evidence(clicks=[click(5, 11, 30)], regions=boxes, poses=[PoseRange()])
    first = await live.stub.QueryConditional(service_pb2.QueryConditionalRequest(image=IMAGE, box=BOX, evidence=held))
    more = Evidence(clicks=[click(6, 12, 31), click(5, 12, 30)], regions=boxes[:8])
    more.regions.extend(inside(rectangle=Rectangle(x0=-8, y0=-9, x1=100 + i, y1=100)) for i in range(9))
    bad = service_pb2.QueryConditionalRequest(posterior_id=first.face.posterior_id, evidence=more)
    assert set(await violations(live.stub.QueryConditional, bad)) == {
        "evidence.clicks[1].landmark",
        "evidence.regions",
    }


async def test_wrong_suggestion_options_are_named(live: Running) -> None:
    options = evidence_pb2.SuggestionOptions(
        landmarks=[68, 1, 1],
        max_suggestions=0,
        criterion=8,  # type: ignore[arg-type]
        click_sigma=NAN,
    )
    bad = service_pb2.SuggestEvidenceRequest(image=IMAGE, box=BOX, suggestion=options)
    assert set(await violations(live.stub.SuggestEvidence, bad)) == {
        "suggestion.landmarks[0]",
        "suggestion.landmarks[2]",
        "suggestion.max_suggestions",
        "suggestion.criterion",
        "suggestion.click_sigma",
    }


async def test_a_request_needs_a_source(live: Running) -> None:
    stub = live.stub
    assert set(await violations(stub.PredictHeatmaps, service_pb2.PredictHeatmapsRequest())) == {"source"}
    assert set(await violations(stub.EstimatePose, service_pb2.EstimatePoseRequest(posterior_id=""))) == {
        "posterior_id"
    }
    assert set(await violations(stub.QueryConditional, service_pb2.QueryConditionalRequest())) == {
        "source",
        "evidence",
    }
    bad = service_pb2.SuggestEvidenceRequest(box=BOX)
    assert set(await violations(stub.SuggestEvidence, bad)) == {"source", "box"}


async def test_faults_of_the_picture_and_of_the_rest_are_told_together(live: Running) -> None:
    bad = service_pb2.QueryConditionalRequest(
        image=image_pb2.Image(encoded=b"text"),
        box=geometry_pb2.Box(x0=9, x1=1, y1=9, detector="haar"),
        evidence=Evidence(clicks=[click(99)]),
        landmarks={"top_exemplars": 101},
    )
    assert set(await violations(live.stub.QueryConditional, bad)) == {
        "image.encoded",
        "box.x1",
        "box.detector",
        "evidence.clicks[0].landmark",
        "landmarks.top_exemplars",
    }
    bad = service_pb2.QueryConditionalRequest(image=IMAGE, box=BOX, evidence=Evidence())
    bad.box.x0, bad.box.x1 = 500, 600
    assert set(await violations(live.stub.QueryConditional, bad)) == {"box"}
    assert len((await live.stub.PredictLandmarks(request(GOOD_BOX))).faces) == 1
