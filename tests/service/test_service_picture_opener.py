"""Decoded pictures have a budget, and those of which nobody can say how long they take are decoded elsewhere."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from exalign.v1 import image_pb2, service_pb2
from exalign_service.decoding.wire import empty
from exalign_service.methods import picture_opener
from service_fakes import GOOD_BOX, Running, another_caller, config, encoded, picture, request, running, until
from track_fakes import config as track_config
from track_fakes import frame
from trust_matrix import HeldDetector

#: A picture of 64 × 48.
BYTES = 64 * 48 * 3


def avif() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "AVIF", quality=90)
    return buffer.getvalue()


def held(live: Running) -> float:
    return live.sample("exalign_decoded_bytes", state="held")


def waiting(live: Running) -> float:
    return live.sample("exalign_decoded_bytes", state="waiting")


async def test_a_picture_counts_as_long_as_its_faces_are_looked_at(live: Running) -> None:
    live.runtime.gate.clear()
    asked = asyncio.ensure_future(live.stub.PredictLandmarks(request(GOOD_BOX)))
    await until(lambda: live.runtime.held == 1)
    assert held(live) == BYTES
    live.runtime.gate.set()
    await asked
    await until(lambda: held(live) == 0)


async def test_what_finds_no_room_waits_as_a_file_and_others_find_room(tmp_path: Path) -> None:
    detector = HeldDetector()
    settings = config(max_decoded_bytes=5 * BYTES, stage_threads=4)  # decoding a PNG takes three times its pixels
    async with running(tmp_path, settings, detector=detector) as live, another_caller(live) as other:
        detector.gate.clear()
        first = asyncio.ensure_future(live.stub.PredictLandmarks(request()))
        await until(lambda: detector.held == 1)  # two at once would both be small pictures that find room
        second = asyncio.ensure_future(live.stub.PredictLandmarks(request()))
        await until(lambda: waiting(live) > 0)
        third = asyncio.ensure_future(other.stub.PredictLandmarks(request()))
        await until(lambda: detector.held == 2)
        assert held(live) == 2 * BYTES
        detector.gate.set()
        assert [len((await call).faces) for call in (first, second, third)] == [1, 1, 1]
        await until(lambda: held(live) == waiting(live) == 0)


async def test_a_call_that_finds_no_room_before_its_deadline_is_late(tmp_path: Path) -> None:
    detector = HeldDetector()
    async with running(tmp_path, config(max_decoded_bytes=BYTES), detector=detector) as live:
        detector.gate.clear()
        first = asyncio.ensure_future(live.stub.PredictLandmarks(request()))
        await until(lambda: detector.held == 1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await live.stub.PredictLandmarks(request(), timeout=0.3)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: waiting(live) == 0)
        detector.gate.set()
        await first


async def test_a_file_of_which_nobody_can_say_how_long_it_takes_is_decoded_by_a_process(live: Running) -> None:
    data = avif()
    assert live.sample("exalign_decoders") == 0
    answer = await live.stub.PredictLandmarks(request(GOOD_BOX, data=data))
    assert live.sample("exalign_decoders") == 1
    pixels = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    raw = image_pb2.RawImage(data=pixels.tobytes(), width=64, height=48, pixel_format=image_pb2.PIXEL_FORMAT_RGB8)
    same = request(GOOD_BOX)
    same.image.raw.CopyFrom(raw)
    assert answer.faces[0].landmarks == (await live.stub.PredictLandmarks(same)).faces[0].landmarks
    assert held(live) == 0


async def test_the_memory_of_a_decoders_picture_is_given_back_in_a_thread_before_its_room_is(
    live: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, float, int]] = []

    def emptied(image: np.ndarray) -> None:
        empty(image)
        seen.append((threading.current_thread() is threading.main_thread(), held(live), int(image.max())))

    monkeypatch.setattr(picture_opener, "empty", emptied)
    await live.stub.PredictLandmarks(request(GOOD_BOX, data=avif()))
    assert seen == [(False, BYTES, 0)]
    with pytest.raises(grpc.aio.AioRpcError):
        await live.stub.PredictLandmarks(request((1.0, 1.0, 2.0, 2.0), data=avif()))
    assert len(seen) == 2
    await until(lambda: held(live) == 0)


async def test_what_a_decoder_finds_wrong_is_reported_with_what_was_wrong_before(live: Running) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "WEBP", lossless=True)
    data = buffer.getvalue()
    asked = request((10, 10, 5, 40), data=data[:100] + b"\xff" * 100 + data[200:])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await live.stub.PredictLandmarks(asked)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "image.encoded: is a truncated or damaged WEBP file" in (caught.value.details() or "")
    assert live.sample("exalign_decoders") == 1
    assert "boxes[0].x1" in (caught.value.details() or "")
    assert live.sample("exalign_undecodable_pictures_total", method="PredictLandmarks") == 1


async def test_frames_go_the_same_way_and_count_until_their_crops_are_cut(tmp_path: Path) -> None:
    detector = HeldDetector()
    async with running(tmp_path, config(), detector=detector) as live:
        call = live.stub.TrackVideo()  # type: ignore[call-arg]
        await call.write(service_pb2.TrackVideoRequest(config=track_config()))
        await call.read()
        detector.gate.clear()
        live.runtime.gate.clear()
        await call.write(service_pb2.TrackVideoRequest(frame=frame(0, data=avif())))
        await until(lambda: detector.held == 1)
        assert held(live) == BYTES
        detector.gate.set()
        await until(lambda: live.runtime.held == 1)
        assert held(live) == 0
        live.runtime.gate.set()
        answer = await call.read()
        assert len(answer.result.tracks) == 1  # type: ignore[union-attr]
        assert live.sample("exalign_decoders") == 1
        call.cancel()


async def test_raw_pixels_count_too(live: Running) -> None:
    live.runtime.gate.clear()
    asked = request(GOOD_BOX)
    raw = image_pb2.RawImage(data=bytes(BYTES), width=64, height=48, pixel_format=image_pb2.PIXEL_FORMAT_RGB8)
    asked.image.raw.CopyFrom(raw)
    call = asyncio.ensure_future(live.stub.PredictLandmarks(asked))
    await until(lambda: live.runtime.held == 1)
    assert held(live) == BYTES
    live.runtime.gate.set()
    await call


async def test_what_is_damaged_gives_its_room_back(live: Running) -> None:
    data = encoded(kind=".png")
    for cut in (data[: len(data) // 2], avif()[:400]):
        with pytest.raises(grpc.aio.AioRpcError):
            await live.stub.PredictLandmarks(request(GOOD_BOX, data=cut))
    assert held(live) == waiting(live) == 0
