"""A picture larger than the server takes is scaled on its way, and every number is about the caller's own."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from numpy.typing import NDArray
from PIL import Image

from both_clients import Call
from exalign.v1 import evidence_pb2, geometry_pb2, service_pb2
from exalign_client import Circle, Click, Inside, Polygon, Rectangle
from exalign_client.pictures.fitting import fit_picture
from exalign_client.requests.scaling import LENGTHS, PLACES, PictureScale, split_posterior_id
from exalign_client.requests.views import HeatmapOptions
from fake_server import BOX, FakeService, model_response, points, serving

U8 = NDArray[np.uint8]

#: Numbers of the unary calls that are no pixels, or are scaled with their message, by message.
NOT_PIXELS = {
    "Covariance2": {"xx", "xy", "yy"},  # scaled as px²
    # Scaled row by row, but for the last two.
    "Landmarks": {"points", "covariances", "map_points", "confidences", "occluded_probabilities"},
    "DetectionOptions": {"min_score"},
    "ExemplarProbability": {"probability"},
    "PosteriorSummary": {"entropy", "effective_exemplars", "cut_mass"},
    "Face": {"detector_score", "presence"},
    "Suggestion": {"entropy_reduction"},
    "QueryConditionalResponse": {"surprise"},
    "Interval": {"lower", "upper"},  # degrees
    "HeatmapOptions": {"sparse_mass"},
    "QuantizedCells": {"scale"},
    "SparseCells": {"masses"},
    "Heatmap": {"mass_outside", "mass_cut", "mass_error"},
    "PoseOptions": {"interval_masses"},
    "PoseAngles": {"yaw", "pitch", "roll"},
    "PoseIntervals": {"mass"},
    "PoseHistogram": {"masses", "mass_outside"},
    "Pose": {"covariance"},
}

ABOUT_PICTURES = ("PredictLandmarks", "PredictHeatmaps", "EstimatePose", "QueryConditional", "SuggestEvidence")


def messages_within(descriptor: Descriptor, found: dict[str, Descriptor]) -> dict[str, Descriptor]:
    """A message and all that it may hold, by name."""
    if descriptor.name not in found:
        found[descriptor.name] = descriptor
        for field in descriptor.fields:
            if field.message_type is not None:
                messages_within(field.message_type, found)
    return found


def test_every_number_of_the_contract_is_scaled_or_known_to_be_no_pixels() -> None:
    methods = service_pb2.DESCRIPTOR.services_by_name["FaceAlignmentService"].methods_by_name
    found: dict[str, Descriptor] = {}
    for name in ABOUT_PICTURES:
        messages_within(methods[name].input_type, found)
        messages_within(methods[name].output_type, found)
    kinds = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
    for message in found.values():
        numbers = {field.name for field in message.fields if field.cpp_type in kinds}
        scaled = {*LENGTHS.get(message.name, ()), *(f for pair in PLACES.get(message.name, ()) for f in pair)}
        other = NOT_PIXELS.get(message.name, set())
        if message.name != "StageTiming":  # seconds
            assert numbers == scaled | other, message.name
            assert not scaled & other, message.name


def test_what_is_applied_is_undone() -> None:
    scale = PictureScale((4000, 3001), (1333, 1000))
    evidence = evidence_pb2.Evidence()
    evidence.clicks.add(landmark=30, position=geometry_pb2.Point(x=1999.5, y=1500), radius=30)
    evidence.clicks.add(landmark=8, position=geometry_pb2.Point(x=1, y=3000), sigma=12)
    evidence.clicks.add(landmark=9, position=geometry_pb2.Point(x=1, y=2))
    evidence.regions.add(landmark=1).region.circle.CopyFrom(
        geometry_pb2.Circle(center=geometry_pb2.Point(x=50, y=70), radius=90)
    )
    evidence.regions.add(landmark=2).region.rectangle.CopyFrom(geometry_pb2.Rectangle(x0=1, y0=2, x1=300, y1=400))
    polygon = [geometry_pb2.Point(x=x, y=y) for x, y in ((1, 2), (10, 2), (10, 20))]
    evidence.regions.add(landmark=3).region.polygon.vertices.extend(polygon)
    request = service_pb2.QueryConditionalRequest(evidence=evidence)
    moved = service_pb2.QueryConditionalRequest()
    moved.CopyFrom(request)
    scale.apply(moved)
    click = moved.evidence.clicks[0]
    assert click.position.x == pytest.approx(2000 * 1333 / 4000 - 0.5)
    assert click.radius == pytest.approx(30 / 3, rel=1e-3)
    assert not moved.evidence.clicks[2].HasField("radius")
    assert not moved.evidence.clicks[2].HasField("sigma")
    answer = service_pb2.QueryConditionalResponse(evidence=moved.evidence)
    scale.undo(answer)
    assert numbers(answer.evidence) == pytest.approx(numbers(evidence), abs=1e-2)


def numbers(message: Any) -> list[float]:
    found: list[float] = []
    for field, value in message.ListFields():
        for part in value if field.is_repeated else [value]:
            if field.message_type is not None:
                found += numbers(part)
            elif isinstance(part, float):
                found.append(part)
    return found


@pytest.mark.parametrize("posterior_id", ["", "p1", "a@b", "p1@3x4", "p1@0x4:1x2", "p1@3x4:1x2 "])
def test_a_posterior_id_without_a_scale_is_the_servers_own(posterior_id: str) -> None:
    assert split_posterior_id(posterior_id) == (posterior_id, None)


def test_a_picture_that_fits_keeps_its_size_and_others_become_as_large_as_may_be() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    whole = fit_picture(noise, 10**6, 10**6)
    assert whole.size == whole.original == (400, 300)
    by_pixels = fit_picture(noise, 10**6, 30_000)
    assert by_pixels.size == (200, 150)
    by_bytes = fit_picture(noise, len(whole.encoded) // 4, 10**6)
    assert len(whole.encoded) // 16 < len(by_bytes.encoded) <= len(whole.encoded) // 4
    assert by_bytes.size[0] / by_bytes.size[1] == pytest.approx(4 / 3, rel=0.02)


@dataclass
class SmallService(FakeService):
    """Takes pictures of at most 256 kB, and tells so."""

    def GetModel(self, request: service_pb2.GetModelRequest, context: Any) -> service_pb2.GetModelResponse:
        response = model_response()
        response.limits.max_encoded_bytes = 2**18
        response.limits.max_message_bytes = 2**19
        response.limits.max_pixels = 10**6
        return response


@pytest.fixture
def small() -> Iterator[SmallService]:
    with serving(SmallService()) as running:
        assert isinstance(running, SmallService)
        yield running


def photograph() -> U8:
    """(900, 1200, 3): 3.2 MB as it is, far above 256 kB as a JPEG file."""
    return np.random.default_rng(1).integers(0, 256, (900, 1200, 3), dtype=np.uint8)


def png(pixels: U8) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["array", "file", "grey"])
def test_a_large_photograph_is_scaled_and_its_answer_is_about_the_original(
    small: SmallService, call: Call, kind: str
) -> None:
    pixels = photograph()
    if kind == "grey":
        pixels = np.random.default_rng(1).integers(0, 256, (1500, 2000), dtype=np.uint8)
    image = png(pixels) if kind == "file" else pixels
    height, width = pixels.shape[:2]
    answer = call("predict", small.address, image, [(30, 40, 500, 600)], groups=["nose"])
    (request,) = small.requests
    assert len(request.image.encoded) <= 2**18
    with Image.open(io.BytesIO(request.image.encoded)) as sent:
        assert sent.format == "JPEG"
        across, down = sent.width / width, sent.height / height
    assert across < 1
    (box,) = request.boxes
    assert [box.x0, box.x1] == pytest.approx([30.5 * across - 0.5, 500.5 * across - 0.5], rel=1e-5)
    assert [box.y0, box.y1] == pytest.approx([40.5 * down - 0.5, 600.5 * down - 0.5], rel=1e-5)
    assert answer.image_size == (width, height)
    (face,) = answer
    np.testing.assert_allclose(face.landmarks, (points() + 0.5) / (across, down) - 0.5, rtol=1e-4)
    np.testing.assert_allclose(face.map_landmarks, (points() + 1.5) / (across, down) - 0.5, rtol=1e-4)
    np.testing.assert_allclose(face.box[:2], (np.array(BOX[:2]) + 0.5) / (across, down) - 0.5, rtol=1e-4)
    assert face.covariances[3, 0, 0] == pytest.approx(4 / across**2, rel=1e-4)
    assert face.covariances[3, 0, 1] == pytest.approx(0.5 / across / down, rel=1e-4)
    (group,) = face.groups
    assert group.mean[0] == pytest.approx(60.5 / across - 0.5, rel=1e-4)
    assert group.centroid_covariance[1, 1] == pytest.approx(9 / down**2, rel=1e-4)
    assert group.rms_spread == pytest.approx(2.5 / np.sqrt(across * down), rel=1e-4)


def test_clicks_regions_and_heatmaps_are_about_the_original(small: SmallService, call: Call) -> None:
    evidence = [
        Click("nose_tip", 600, 450, radius=50),
        Inside(8, Circle(600, 800, 100)),
        Inside(9, Rectangle(100, 200, 300, 400)),
        Inside(10, Polygon(((0, 0), (900, 0), (900, 800)))),
    ]
    options = HeatmapOptions(["nose_tip"], rectangle=(100, 200, 500, 700))
    answer = call("condition", small.address, photograph(), evidence, heatmaps=options)
    (request,) = small.requests
    with Image.open(io.BytesIO(request.image.encoded)) as sent:
        across = sent.width / 1200
    (click,) = request.evidence.clicks
    assert click.position.x == pytest.approx(600.5 * across - 0.5, rel=1e-4)
    assert click.radius == pytest.approx(50 * across, rel=1e-2)
    assert request.heatmaps.rectangle.x1 == pytest.approx(500.5 * across - 0.5, rel=1e-4)
    np.testing.assert_allclose(answer.face.heatmaps.rectangle, (100, 200, 500, 700), rtol=1e-4)
    assert (answer.evidence[0].x, answer.evidence[0].y) == pytest.approx((600, 450), abs=0.01)
    assert answer.evidence[0].radius == pytest.approx(50, abs=0.01)
    assert answer.evidence[1].area.radius == pytest.approx(100, abs=0.01)
    assert answer.evidence[3].area.vertices[2] == pytest.approx((900, 800), abs=0.01)


def test_what_is_asked_by_posterior_id_is_still_about_the_original(small: SmallService, call: Call) -> None:
    (face,) = call("predict", small.address, photograph())
    assert face.posterior_id.startswith("p1@1200x900:")
    (again,) = call("heatmaps", small.address, posterior_id=face.posterior_id)
    assert small.requests[-1].posterior_id == "p1"
    np.testing.assert_allclose(again.landmarks, face.landmarks, rtol=1e-5)
    found = call("suggest", small.address, posterior_id=face.posterior_id, click_sigma=30.0)
    _, scale = split_posterior_id(face.posterior_id)
    assert scale is not None
    length = np.sqrt(scale.sent[0] * scale.sent[1] / (1200 * 900))
    assert small.requests[-1].suggestion.click_sigma == pytest.approx(30 * length, rel=1e-4)
    assert found.expected_error == pytest.approx(4.5 / length, rel=1e-4)
    assert found.suggestions[0].error_reduction == pytest.approx(1.5 / length, rel=1e-4)
    assert found.suggestions[0].entropy_reduction == 0.5


def test_pixels_that_fit_as_a_file_keep_their_size(small: SmallService, call: Call) -> None:
    flat = np.full((700, 900, 3), 128, np.uint8)
    (face,) = call("predict", small.address, flat)
    (request,) = small.requests
    assert request.image.WhichOneof("source") == "encoded"
    assert face.posterior_id == "p1"
    np.testing.assert_array_equal(face.landmarks, points())


def test_a_picture_within_the_limits_travels_as_it_is(service: FakeService, call: Call) -> None:
    pixels = photograph()
    call("predict", service.address, pixels)
    (request,) = service.requests
    assert request.image.raw.data == pixels.tobytes()


def test_without_the_extra_the_picture_is_refused_with_what_would_help(small: SmallService) -> None:
    program = f"""
import sys
sys.modules["cv2"] = None
import numpy as np
from exalign_client import Client, MessageTooLargeError
with Client({small.address!r}) as client:
    try:
        client.predict(np.zeros((900, 1200, 3), np.uint8))
    except MessageTooLargeError as e:
        print(e)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert "3,240,000 bytes, more than this server takes" in done.stdout
    assert "pip install 'exalign[cli]'" in done.stdout
    assert not small.requests
