"""What ModelInfer refuses: by the name of the tensor, with the value and the limit, everything at once."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest

from exalign.open_inference import inference_pb2_grpc
from exalign_engine.errors import InvalidInputError
from exalign_service.open_inference.request import read_infer
from exalign_service.open_inference.tensors import MOST_TYPED
from open_inference_requests import Request, infer, pixels
from service_fakes import GOOD_BOX, Running, config, details_of, encoded, picture, running

Change = Callable[[Request], object]


def violations(bad: Request) -> dict[str, str]:
    """What is found before the picture is looked at."""
    with pytest.raises(InvalidInputError) as caught:
        read_infer(bad, 64)
    return {v.field: v.description for v in caught.value.violations}


async def refused(live: Running, bad: Request) -> dict[str, str]:
    """What a caller is told of a request that must be refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await inference_pb2_grpc.GRPCInferenceServiceStub(live.channel).ModelInfer(bad)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT, caught.value.details()
    details = details_of(caught.value)
    assert details.reason == "INVALID_REQUEST"
    return details.violations


def shape(tensor: int, *dimensions: int) -> Change:
    return lambda r: r.inputs[tensor].shape.__setitem__(slice(None), dimensions)


def raw(tensor: int, data: bytes) -> Change:
    return lambda r: r.raw_input_contents.__setitem__(tensor, data)


def datatype(tensor: int, name: str) -> Change:
    return lambda r: setattr(r.inputs[tensor], "datatype", name)


def more_inputs(r: Request) -> None:
    for name in ("a", "b"):
        r.inputs.add(name=name)


def typed_beside_raw(r: Request) -> None:
    r.inputs[0].contents.bytes_contents.append(b"x")


def shared_memory(r: Request) -> None:
    r.inputs[0].parameters["shared_memory_region"].string_param = "here"


def sequence(r: Request) -> None:
    r.parameters["sequence_id"].int64_param = 7


def classes(r: Request) -> None:
    r.outputs.add(name="presence").parameters["classification"].int64_param = 1


CASES: dict[str, tuple[Change, str, str]] = {
    "no image": (
        lambda r: (r.inputs.pop(0), r.raw_input_contents.pop(0)),
        "image",
        "is not there, must be among the inputs",
    ),
    "an unknown input": (
        lambda r: setattr(r.inputs[1], "name", "box"),
        "inputs[1].name",
        "is 'box', must be one of image, boxes",
    ),
    "an input twice": (
        lambda r: setattr(r.inputs[1], "name", "image"),
        "inputs[1].name",
        "is 'image' once more, must be there only once",
    ),
    "too many inputs": (more_inputs, "inputs", "has 4 tensors, at most 2 are accepted: image, boxes"),
    "too few raw values": (
        lambda r: r.raw_input_contents.pop(),
        "raw_input_contents",
        "has 1 values, must have one for each of 2 inputs",
    ),
    "both kinds of values": (typed_beside_raw, "image.contents", "is set, must not be with raw_input_contents"),
    "an image of floats": (
        datatype(0, "FP32"),
        "image.datatype",
        "is 'FP32', must be BYTES (a file) or UINT8 (pixels)",
    ),
    "two images": (shape(0, 2), "image.shape", "is [2], must be [1]: one picture a call"),
    "an image without a shape": (shape(0), "image.shape", "is [], must be [1]: one picture a call"),
    "no element": (raw(0, b""), "image", "has 0 raw bytes, must have 4 for its length, and then so many: not even"),
    "an element that is cut off": (
        raw(0, struct.pack("<I", 9) + b"12345678"),
        "image",
        "has 12 raw bytes, must have 4 for its length, and then so many: 9",
    ),
    "boxes of doubles": (datatype(1, "FP64"), "boxes.datatype", "is 'FP64', must be FP32"),
    "boxes of five": (shape(1, 1, 5), "boxes.shape", "is [1, 5], must be [number of faces, 4]"),
    "fewer boxes than none": (shape(1, -1, 4), "boxes.shape", "is [-1, 4], must be [number of faces, 4]"),
    "a long shape": (shape(1, *[1] * 99), "boxes.shape", "is [1, 1, 1, 1, 1, 1, 1, 1, …], must be"),
    "more boxes than values": (shape(1, 2, 4), "boxes", "has 16 raw bytes, must have 32 for its shape"),
    "too many boxes": (shape(1, 5000, 4), "boxes", "has 5000 boxes, at most 64 are accepted"),
    "an unknown output": (
        lambda r: r.outputs.add(name="heatmaps"),
        "outputs[0].name",
        "is 'heatmaps', must be one of boxes, landmarks, covariances, confidences, presence, pose",
    ),
    "an output twice": (
        lambda r: [r.outputs.add(name="pose") for _ in range(2)],
        "outputs[1].name",
        "is 'pose' once more, must be there only once",
    ),
    "too many outputs": (
        lambda r: [r.outputs.add(name="x") for _ in range(7)],
        "outputs",
        "has 7 tensors, at most 6 are accepted",
    ),
    "shared memory": (shared_memory, "image.parameters.shared_memory_region", "is set, must not be"),
    "a sequence": (sequence, "parameters.sequence_id", "is set, must not be: calls are independent"),
    "classes": (classes, "outputs[0].parameters.classification", "is set, must not be"),
}


#: What only the pipeline finds, in words of our own request.
LATER: dict[str, tuple[Change, str, str]] = {
    "a file that is none": (raw(0, struct.pack("<I", 3) + b"abc"), "image", "is not"),
    "an empty file": (raw(0, bytes(4)), "image", "is empty"),
    "a box inside out": (
        raw(1, struct.pack("<4f", 10, 10, 5, 40)),
        "boxes[0].x1",
        "is 5, must be greater than x0 = 10",
    ),
    "a box that is not finite": (
        raw(1, struct.pack("<4f", 10, float("nan"), 50, 40)),
        "boxes[0].y0",
        "is nan, must be finite",
    ),
    "a box elsewhere": (raw(1, struct.pack("<4f", 910, 910, 950, 950)), "boxes[0]", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_named_with_its_value_and_limit(name: str) -> None:
    change, field, text = CASES[name]
    bad = infer(GOOD_BOX)
    change(bad)
    found = violations(bad)
    assert list(found) == [field]
    assert text in found[field]


async def test_what_is_found_later_is_named_by_its_tensor_too(live: Running) -> None:
    for change, field, text in [*LATER.values(), CASES["two images"]]:
        bad = infer(GOOD_BOX)
        change(bad)
        found = await refused(live, bad)
        assert list(found) == [field]
        assert text in found[field]
    both = await refused(live, infer((5, 5, 4, 9), data=b"none"))
    assert set(both) == {"image", "boxes[0].x1"}


@pytest.mark.parametrize("dimensions", [(48, 64), (48, 64, 4), (0, 64, 3), (-48, -64, 3)])
def test_pixels_are_of_three_channels(dimensions: tuple[int, ...]) -> None:
    bad = pixels(picture(), GOOD_BOX)
    bad.inputs[0].shape[:] = dimensions
    found = violations(bad)
    assert found == {"image.shape": f"is {list(dimensions)}, must be [height, width, 3]: one picture a call, RGB"}


def test_pixels_are_as_many_as_their_shape_says() -> None:
    bad = pixels(picture(), GOOD_BOX)
    bad.inputs[0].shape[0] = 2**40
    found = violations(bad)
    assert found == {"image": f"has 9,216 raw bytes, must have {2**40 * 64 * 3:,} for its shape"}
    bad = pixels(picture(), GOOD_BOX, raw=False)
    bad.inputs[0].contents.uint_contents.append(1)
    found = violations(bad)
    assert found == {"image.contents.uint_contents": "has 9,217 values, must have 9,216 for its shape"}


def test_typed_values_are_in_the_field_of_their_type() -> None:
    bad = infer(GOOD_BOX, raw=False)
    bad.inputs[0].contents.bytes_contents.append(encoded())
    bad.inputs[1].contents.ClearField("fp32_contents")
    bad.inputs[1].contents.fp64_contents.extend(GOOD_BOX)
    assert violations(bad) == {
        "image.contents.bytes_contents": "has 2 values, must have 1",
        "boxes.contents.fp32_contents": "has 0 values, must have 4 for its shape",
    }


def test_a_typed_pixel_is_a_byte() -> None:
    bad = pixels(picture(), GOOD_BOX, raw=False)
    bad.inputs[0].contents.uint_contents[7] = 256
    found = violations(bad)
    assert found == {"image.contents.uint_contents": "holds 256, must be 0 to 255"}


def test_a_large_picture_is_not_read_number_by_number() -> None:
    side = int((MOST_TYPED / 3) ** 0.5) + 1
    bad = pixels(np.zeros((side, side, 3), np.uint8), raw=False)
    text = violations(bad)["image.contents.uint_contents"]
    assert (
        text
        == f"has {side * side * 3:,} values, at most {MOST_TYPED:,} are read there; more go into raw_input_contents"
    )


async def test_limits_on_pictures_hold_for_tensors(tmp_path: Path) -> None:
    async with running(tmp_path, config(max_pixels=1000, max_encoded_bytes=20_000)) as live:
        stub = inference_pb2_grpc.GRPCInferenceServiceStub(live.channel)
        for bad in (pixels(picture(), GOOD_BOX), infer(GOOD_BOX), infer(GOOD_BOX, data=bytes(20_001))):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ModelInfer(bad)
            assert set(details_of(caught.value).violations) == {"image"}


def test_everything_that_is_wrong_is_named_at_once() -> None:
    bad = infer(GOOD_BOX, outputs=["nothing"])
    bad.inputs[0].datatype, bad.inputs[1].datatype = "", "INT8"
    assert list(violations(bad)) == ["outputs[0].name", "image.datatype", "boxes.datatype"]


def test_hints_are_no_error() -> None:
    asked = infer(GOOD_BOX, outputs=["presence"])
    asked.parameters["timeout"].int64_param = 1
    asked.inputs[0].parameters["content_type"].string_param = "np"
    asked.outputs[0].parameters["binary_data"].bool_param = True
    assert [kind.name for kind in read_infer(asked, 64).outputs] == ["presence"]
