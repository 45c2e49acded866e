"""Bad input: the documented status, one line that names the field and the limit, and a server that goes on."""

from __future__ import annotations

import struct
import zlib

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from exalign.v1 import geometry_pb2, image_pb2, service_pb2, service_pb2_grpc

Stub = service_pb2_grpc.FaceAlignmentServiceStub
NAN = float("nan")


def request(encoded: bytes = b"", *boxes: tuple[float, float, float, float]) -> service_pb2.PredictLandmarksRequest:
    return service_pb2.PredictLandmarksRequest(
        image=image_pb2.Image(encoded=encoded),
        boxes=[geometry_pb2.Box(x0=a, y0=b, x1=c, y1=d) for a, b, c, d in boxes],
    )


def raw(data: bytes, width: int, height: int) -> service_pb2.PredictLandmarksRequest:
    image = image_pb2.RawImage(
        data=data, width=width, height=height, pixel_format=image_pb2.PixelFormat.PIXEL_FORMAT_RGB8
    )
    return service_pb2.PredictLandmarksRequest(image=image_pb2.Image(raw=image))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def gif_bomb() -> bytes:
    """A few hundred bytes that claim 200 frames of 65,000 × 65,000 pixels."""
    screen = struct.pack("<6sHHBBB", b"GIF89a", 65_000, 65_000, 0x80, 0, 0) + bytes(6)
    frame = struct.pack("<BHHHHB", 0x2C, 0, 0, 65_000, 65_000, 0) + b"\x02\x02\x44\x01\x00"
    return screen + 200 * frame + b"\x3b"


CASES = {
    "truncated JPEG": (lambda jpeg: request(jpeg[: len(jpeg) // 2]), "image.encoded", "JPEG"),
    "no bytes": (lambda jpeg: request(b""), "image", ""),
    "text": (lambda jpeg: request(b"hello" * 20), "image.encoded", ""),
    "GIF bomb": (lambda jpeg: request(gif_bomb()), "image.encoded", "GIF"),
    "30,000 x 30,000 PNG header": (lambda jpeg: request(png_header(30_000, 30_000)), "image.encoded", "40"),
    "NaN box": (lambda jpeg: request(jpeg, (NAN, 0, 100, 100)), "boxes[0]", "finite"),
    "inverted box": (lambda jpeg: request(jpeg, (200, 0, 100, 100)), "boxes[0]", "greater than x0 = 200"),
    "box outside the image": (lambda jpeg: request(jpeg, (600, 600, 700, 700)), "boxes[0]", "512"),
    "200 boxes": (lambda jpeg: request(jpeg, *[(10, 10, 99, 99)] * 200), "boxes", "64"),
    "raw image with too few bytes": (lambda jpeg: raw(bytes(100), 10, 10), "image.raw", "300"),
    "raw image of no width": (lambda jpeg: raw(bytes(100), 0, 10), "image.raw", ""),
}


def violations(error: grpc.RpcError) -> list[error_details_pb2.BadRequest.FieldViolation]:
    status = rpc_status.from_call(error)
    assert status is not None, "the status carries no details"
    for detail in status.details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            return list(bad.field_violations)
    return []


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_by_name_and_the_server_goes_on(stub: Stub, astronaut: bytes, case: str) -> None:
    make, field, limit = CASES[case]
    with pytest.raises(grpc.RpcError) as caught:
        stub.PredictLandmarks(make(astronaut), timeout=120)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, caught.value.details()
    assert "\n" not in caught.value.details()
    wrong = violations(caught.value)
    assert any(v.field.startswith(field) for v in wrong), wrong
    assert any(limit in v.description for v in wrong), wrong
    assert len(stub.PredictLandmarks(request(astronaut), timeout=120).faces) == 1


def test_every_wrong_field_is_named_at_once(stub: Stub, astronaut: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.PredictLandmarks(request(astronaut, (NAN, 0, 1, 1), (10, 10, 99, 99), (50, 50, 20, 90)), timeout=120)
    fields = {v.field.split(".")[0] for v in violations(caught.value)}
    assert fields == {"boxes[0]", "boxes[2]"}


def test_a_message_beyond_the_limit_is_refused_by_grpc_itself(stub: Stub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.PredictLandmarks(request(bytes(9 * 1024 * 1024)), timeout=120)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
