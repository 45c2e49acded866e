"""PredictLandmarks and GetModel over a real socket."""

from __future__ import annotations

import io
import math
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import pytest
from PIL import Image

from exalign.v1 import face_pb2, geometry_pb2, image_pb2, service_pb2
from exalign_engine import Aligner
from exalign_service.config.schema import ModelConfig
from exalign_service.responses.model import describe
from service_fakes import (
    GOOD_BOX,
    Details,
    FakeRuntime,
    K,
    Running,
    config,
    details_of,
    encoded,
    metadata_of,
    picture,
    request,
    running,
    tiny_bundle,
)

Request = service_pb2.PredictLandmarksRequest
RGB8, NO_FORMAT = image_pb2.PIXEL_FORMAT_RGB8, image_pb2.PIXEL_FORMAT_UNSPECIFIED


async def refused(live: Running, bad: Request, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> Details:
    """Send a request that must be refused; then one that must not be."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.PredictLandmarks(bad)
    assert caught.value.code() == code, caught.value.details()
    details = details_of(caught.value)
    assert details.domain == "exalign.v1"
    good = await live.stub.PredictLandmarks(request(GOOD_BOX))
    assert len(good.faces) == 1
    return details


async def test_answers_what_the_engine_answers(live: Running) -> None:
    boxes = [GOOD_BOX, (20.0, 5.0, 60.0, 45.0)]
    got = await live.stub.PredictLandmarks(request(*boxes))
    want = live.server.aligner.align(encoded(), boxes)
    assert got.bundle_id == "b" * 64
    assert (got.image_width, got.image_height) == (64, 48)
    for face, expected in zip(got.faces, want, strict=True):
        assert np.allclose(face.landmarks.points, expected.landmarks.ravel(), atol=1e-4)
        assert np.allclose(face.landmarks.covariances, expected.covariance.ravel(), rtol=1e-5)
        assert np.allclose(face.landmarks.confidences, expected.confidence, atol=1e-6)
        assert np.allclose(face.landmarks.map_points, expected.map_landmarks.ravel(), atol=1e-4)
        assert face.landmarks.map_class_id == expected.map_exemplar
        assert face.presence == pytest.approx(expected.presence)
        assert face.posterior.entropy == pytest.approx(expected.entropy)
        assert face.posterior.effective_exemplars == pytest.approx(expected.effective_exemplars)
        assert face.box_source == face_pb2.BOX_SOURCE_CALLER
        assert not face.HasField("detector_score")
        assert len(face.posterior.top_exemplars) == 5
        assert face.posterior_id
    assert got.timing.total_seconds >= got.timing.decode_seconds > 0
    assert got.timing.detect_seconds == 0


async def test_raw_and_encoded_images_get_one_answer(live: Running) -> None:
    pixels = picture()
    padded = np.zeros((48, 64 * 3 + 5), np.uint8)
    padded[:, : 64 * 3] = pixels[..., ::-1].reshape(48, -1)
    raw = Request(boxes=request(GOOD_BOX).boxes)
    raw.image.raw.CopyFrom(
        image_pb2.RawImage(
            data=padded.tobytes(), pixel_format=image_pb2.PIXEL_FORMAT_BGR8, width=64, height=48, row_stride=64 * 3 + 5
        )
    )
    a = await live.stub.PredictLandmarks(raw)
    b = await live.stub.PredictLandmarks(request(GOOD_BOX))
    # Each answer is kept by an id of its own.
    assert a.faces[0].posterior_id != b.faces[0].posterior_id
    a.faces[0].posterior_id = b.faces[0].posterior_id
    assert a.faces == b.faces


async def test_a_large_jpeg_is_answered_in_its_own_pixels(live: Running) -> None:
    """It is decoded at a scale, and turned upright."""
    exif, buffer, box = Image.Exif(), io.BytesIO(), (100.0, 50.0, 500.0, 450.0)
    exif[0x0112] = 6
    Image.fromarray(np.tile(picture(), (11, 11, 1))[:523, :701]).save(buffer, "JPEG", exif=exif)
    asked = Request(image=image_pb2.Image(encoded=buffer.getvalue()), boxes=request(box).boxes)
    got, want = await live.stub.PredictLandmarks(asked), live.server.aligner.align(buffer.getvalue(), [box])
    assert (got.image_width, got.image_height) == (523, 701)
    assert np.allclose(got.faces[0].landmarks.points, want[0].landmarks.ravel(), atol=1e-3)
    assert want[0].located.box.tolist() == list(box)


async def test_detects_when_no_box_is_given(live: Running) -> None:
    live.detector.faces = [((10, 10, 40, 40), 0.9), ((20, 5, 60, 45), 0.8), ((0, 0, 20, 20), 0.3)]
    asked = request()
    asked.detection.max_faces = 1
    asked.detection.min_score = 0.5
    got = await live.stub.PredictLandmarks(asked)
    (face,) = got.faces
    assert got.faces_left_out == 1
    assert face.box_source == face_pb2.BOX_SOURCE_DETECTOR
    assert face.detector_score == pytest.approx(0.9)
    assert face.source_box == geometry_pb2.Box(x0=10, y0=10, x1=40, y1=40, detector="mtcnn")
    assert (face.box.x0, face.box.y0) == pytest.approx((25 - 13.5, 28 - 13.5))


async def test_boxes_win_over_detection(live: Running) -> None:
    live.detector.faces = [((0, 0, 20, 20), 0.9)]
    asked = request(GOOD_BOX)
    asked.detection.detector = "unheard of"
    (face,) = (await live.stub.PredictLandmarks(asked)).faces
    assert face.box_source == face_pb2.BOX_SOURCE_CALLER


async def test_no_face_is_no_error(live: Running) -> None:
    got = await live.stub.PredictLandmarks(request())
    assert list(got.faces) == []
    assert got.image_width == 64


async def test_a_box_in_a_detectors_convention_is_mapped(live: Running) -> None:
    asked = request(GOOD_BOX)
    asked.boxes[0].detector = "mtcnn"
    (face,) = (await live.stub.PredictLandmarks(asked)).faces
    assert face.source_box == asked.boxes[0]
    assert face.box.x1 - face.box.x0 == pytest.approx(27)
    assert face.box_source == face_pb2.BOX_SOURCE_CALLER


async def test_stops_after_detection(live: Running) -> None:
    live.detector.faces = [((10, 10, 40, 40), 0.9)]
    asked = request()
    asked.stop_after = service_pb2.STOP_AFTER_DETECTION
    (face,) = (await live.stub.PredictLandmarks(asked)).faces
    assert not face.HasField("landmarks")
    assert not face.HasField("presence")
    assert live.runtime.batches == []


async def test_groups_and_exemplars_as_asked_for(live: Running) -> None:
    asked = request(GOOD_BOX)
    asked.landmarks.top_exemplars = 3
    asked.landmarks.groups.add(group=geometry_pb2.LANDMARK_GROUP_MOUTH)
    asked.landmarks.groups.add().landmarks.indices.extend([30])
    (face,) = (await live.stub.PredictLandmarks(asked)).faces
    mouth, nose_tip = face.landmarks.groups
    points = np.reshape(face.landmarks.points, (68, 2))
    assert (mouth.mean.x, mouth.mean.y) == pytest.approx(tuple(points[48:68].mean(axis=0)), abs=1e-3)
    assert (nose_tip.mean.x, nose_tip.mean.y) == pytest.approx(tuple(points[30]), abs=1e-3)
    assert mouth.selection == asked.landmarks.groups[0]
    top = [e.probability for e in face.posterior.top_exemplars]
    assert len(top) == 3
    assert top == sorted(top, reverse=True)


async def test_all_faces_of_an_image_go_to_the_batcher_together(live: Running) -> None:
    await live.stub.PredictLandmarks(request(*[GOOD_BOX] * 8))
    assert sum(live.runtime.batches) == 8
    assert len(live.runtime.batches) <= 2


NAN = math.nan


@pytest.mark.parametrize(
    ("box", "field", "says"),
    [
        ((NAN, 10, 40, 40), "boxes[1].x0", "must be finite"),
        ((10, 10, math.inf, 40), "boxes[1].x1", "must be finite"),
        ((40, 10, 10, 40), "boxes[1].x1", "must be greater than x0 = 40"),
        ((10, 40, 40, 40), "boxes[1].y1", "must be greater than y0 = 40"),
        ((100, 10, 140, 40), "boxes[1]", "must overlap the image of 64 × 48"),
        ((10, 10, 11, 11), "boxes[1]", "must be at least 4 × 4"),
        ((-9e5, -9e5, 9e5, 9e5), "boxes[1]", "must be at most 256"),
    ],
)
async def test_a_wrong_box_is_named(
    live: Running, box: tuple[float, float, float, float], field: str, says: str
) -> None:
    details = await refused(live, request(GOOD_BOX, box))
    assert details.reason == "INVALID_REQUEST"
    assert list(details.violations) == [field]
    assert says in details.violations[field]


async def test_200_boxes_are_too_many(live: Running) -> None:
    details = await refused(live, request(*[GOOD_BOX] * 200))
    assert details.violations == {"boxes": "has 200 boxes, at most 64 are accepted"}


async def test_more_violations_than_metadata_can_carry_are_counted(live: Running) -> None:
    details = await refused(live, request(*[(NAN, NAN, NAN, NAN)] * 64))
    assert "boxes[0].x0" in details.violations
    assert "more fields that are wrong" in details.violations[""]
    stated = len(details.violations) - 1
    assert details.violations[""] == f"and {256 - stated} more fields that are wrong"


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def _gif(frames: int) -> bytes:
    out, pages = io.BytesIO(), [Image.fromarray(picture(seed=i)) for i in range(frames)]
    pages[0].save(out, "GIF", save_all=True, append_images=pages[1:])
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(encoded(kind=".jpg")[:-200], "truncated", id="truncated JPEG"),
        pytest.param(b"", "is empty (0 bytes)", id="0 bytes"),
        pytest.param(_gif(9), "must be|not a readable", id="animated GIF"),
        pytest.param(_png_header(30_000, 30_000), "40,000,000", id="30000 x 30000 PNG header"),
        pytest.param(b"no picture at all", "not a readable", id="text"),
        pytest.param(encoded()[:-300], "truncated or damaged", id="truncated PNG"),
    ],
)
async def test_a_wrong_file_is_named(live: Running, data: bytes, says: str) -> None:
    details = await refused(live, request(GOOD_BOX, data=data))
    assert list(details.violations) == ["image.encoded"]
    assert any(part in details.violations["image.encoded"] for part in says.split("|"))


async def test_a_large_file_is_refused_by_its_size(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_encoded_bytes=1000)) as live:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await live.stub.PredictLandmarks(request(data=encoded()))
        says = details_of(caught.value).violations["image.encoded"]
        assert "at most 1,000" in says


async def test_a_message_above_the_limit_is_refused_by_grpc(tmp_path: Path) -> None:
    small = config(max_message_bytes=2048, max_encoded_bytes=2048)
    async with running(tmp_path, small) as live:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await live.stub.PredictLandmarks(request(data=b"x" * 4000))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_no_image_is_named(live: Running) -> None:
    details = await refused(live, Request())
    assert list(details.violations) == ["image"]


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (image_pb2.RawImage(data=b"x" * 11, pixel_format=RGB8, width=2, height=2), {"image.raw.data"}),
        (image_pb2.RawImage(data=b"x" * 12, pixel_format=NO_FORMAT, width=2, height=2), {"image.raw.pixel_format"}),
        (image_pb2.RawImage(data=b"x" * 12, pixel_format=cast(Any, 9), width=2, height=2), {"image.raw.pixel_format"}),
        (
            image_pb2.RawImage(data=b"x", pixel_format=NO_FORMAT, width=0, height=-2),
            {"image.raw.pixel_format", "image.raw.width", "image.raw.height"},
        ),
        (
            image_pb2.RawImage(data=b"x" * 12, pixel_format=RGB8, width=2, height=2, row_stride=5),
            {"image.raw.row_stride"},
        ),
        (image_pb2.RawImage(data=b"x", pixel_format=RGB8, width=9000, height=9000), {"image.raw"}),
    ],
)
async def test_a_wrong_raw_image_is_named(live: Running, raw: image_pb2.RawImage, fields: set[str]) -> None:
    details = await refused(live, Request(image=image_pb2.Image(raw=raw)))
    assert set(details.violations) == fields


async def test_every_violation_is_reported_at_once(live: Running) -> None:
    bad = request((40, 10, 10, NAN), GOOD_BOX, (10, 10, 5, 5), data=b"nothing")
    bad.boxes[1].detector = "haar"
    bad.landmarks.top_exemplars = 101
    bad.landmarks.groups.add()
    bad.landmarks.groups.add(group=0)
    bad.landmarks.groups.add().landmarks.indices.extend([1, 68, 1])
    bad.stop_after = service_pb2.STOP_AFTER_DETECTION
    details = await refused(live, bad)
    assert set(details.violations) == {
        "image.encoded",
        "boxes[0].y1",
        "boxes[1].detector",
        "boxes[2].x1",
        "boxes[2].y1",
        "landmarks.top_exemplars",
        "landmarks.groups[0]",
        "landmarks.groups[1].group",
        "landmarks.groups[2].landmarks.indices[1]",
        "landmarks.groups[2].landmarks.indices[2]",
        "stop_after",
    }
    assert details.violations["boxes[1].detector"] == "is 'haar', must be one of mtcnn, yunet"
    assert details.violations["landmarks.top_exemplars"] == "is 101, must be 0 to 100"


async def test_wrong_detection_options_are_named(live: Running) -> None:
    bad = request()
    bad.detection.detector = "yunet"  # its boxes are understood, it cannot be run here
    bad.detection.max_faces = 0
    bad.detection.min_score = NAN
    bad.stop_after = 7  # type: ignore[assignment]
    details = await refused(live, bad)
    assert details.violations == {
        "detection.detector": "is 'yunet', must be one of mtcnn",
        "detection.max_faces": "is 0, must be 1 to 64",
        "detection.min_score": "is nan, must be 0 to 1",
        "stop_after": "is 7, must be one of STOP_AFTER_POSTERIOR, STOP_AFTER_DETECTION",
    }


async def test_bytes_that_are_no_message_are_an_invalid_argument(live: Running) -> None:
    call = live.channel.unary_unary("/exalign.v1.FaceAlignmentService/PredictLandmarks", None, None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff\xff\xff")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "3 bytes received are not a message of PredictLandmarks" in str(caught.value.details())


async def test_a_fault_of_ours_is_internal_and_says_nothing_of_itself(live: Running) -> None:
    live.runtime.error = RuntimeError("secret path /etc/x")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.PredictLandmarks(request(GOOD_BOX), metadata=[("x-request-id", "abc-1")])
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    assert caught.value.details() == "internal error; the server's log has more under request id abc-1"
    assert metadata_of(caught.value)["x-request-id"] == "abc-1"
    live.runtime.error = None
    await live.stub.PredictLandmarks(request(GOOD_BOX))


async def test_get_model_says_what_answers(live: Running) -> None:
    model = await live.stub.GetModel(service_pb2.GetModelRequest())
    assert model.bundle_id == "b" * 64
    assert {f.path for f in model.files} >= {"network.onnx", "manifest.json"}
    assert model.model.exemplars == K
    assert len(model.model.landmark_names) == 68
    assert (model.runtime.name, model.runtime.max_batch) == ("fake", 4)
    assert model.limits.max_faces == 64
    assert model.limits.max_deadline.seconds == 30
    assert model.limits.max_decode_time.seconds == 5
    assert [(d.name, d.available, d.is_default) for d in model.detectors] == [
        ("mtcnn", True, True),
        ("yunet", False, False),
    ]
    assert model.presence_threshold == 0.5
    assert model.licences[0].subject == "weights"


def test_the_presence_threshold_can_be_set(tmp_path: Path) -> None:
    aligner = Aligner(tiny_bundle(tmp_path), FakeRuntime(), {})
    model = describe(aligner, config(model=ModelConfig(presence_threshold=0.25)))
    assert model.presence_threshold == 0.25


def test_a_calibration_card_is_told_as_far_as_the_bundle_has_it(tmp_path: Path) -> None:
    card = {
        "split": "val",
        "faces": 7,
        "nll": -2.5,
        "presence": {"roc_auc": 0.99, "reliability": [{"stated": 0.9, "observed": 0.8, "count": 5}]},
        "accuracy": [
            {"boxes": "truth", "n": 7, "nrmse_mean": 0.02, "auc": 0.7, "failure_rate": 0.5, "missed": 0.0},
        ],
        "more": "that the contract has no place for",
    }
    bundle = tiny_bundle(tmp_path)
    bundle = replace(bundle, calibration=replace(bundle.calibration, card=card))
    stated = describe(Aligner(bundle, FakeRuntime(), {}), config()).calibration
    assert (stated.split, stated.faces, stated.nll, stated.presence_roc_auc) == ("val", 7, -2.5, 0.99)
    assert stated.accuracy[0].faces == 7
    assert stated.presence_reliability[0].count == 5
    assert list(stated.landmark_factors) == [1.0] * 68
