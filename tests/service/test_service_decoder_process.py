"""Decoders as processes: the same pictures, bounded CPU time, and a file that ends its decoder is refused alone."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from exalign_engine.arrays import U8
from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.image import decode, examine
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_service.decoding.decoder_process import DecoderProcess
from exalign_service.decoding.pool import DecoderPool
from exalign_service.rpc.errors import DecoderUnavailableError
from service_fakes import PATIENCE

LIMITS = ImageLimits()


def drawn(width: int, height: int) -> U8:
    y, x = np.mgrid[:height, :width]
    return np.dstack([x % 256, y % 256, (x * y) % 256]).astype(np.uint8)


def encoded(image: U8, kind: str, **keywords: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **keywords)
    return buffer.getvalue()


SMALL = encoded(drawn(64, 48), "PNG")


class Observer:
    """See `DecoderObserver`."""

    def __init__(self) -> None:
        self.processes: list[int] = []
        self.failures: list[str] = []
        self.none_left = asyncio.Event()

    def decoders_changed(self, processes: int) -> None:
        self.processes.append(processes)
        if not processes:
            self.none_left.set()

    def decode_jobs_changed(self, waiting: int, running: int) -> None:
        self.jobs = waiting, running

    def decoder_failed(self, reason: str) -> None:
        self.failures.append(reason)


def program(text: str) -> Callable[[], Awaitable[DecoderProcess]]:
    """Starts a program in the place of a decoder; it has the socket ``s``, and ``take`` reads so many bytes from it."""
    prelude = (
        "import json, os, socket, sys; s = socket.socket(fileno=int(sys.argv[1]))\n"
        "def take(n, got=b''):\n"
        "    return got if len(got) == n else take(n, got + s.recv(n - len(got)))\n"
    )
    return lambda: DecoderProcess.start((sys.executable, "-c", prelude + text))


#: All of it is read: what a socket still holds when it is closed may cost the other side what was said before.
ONCE_A_JOB_IS_THERE = "s.sendall(b'r'); job = json.loads(take(int.from_bytes(take(4), 'big'))); take(job['size'])\n"


def first_then_real(first: Callable[[], Awaitable[DecoderProcess]]) -> Callable[[], Awaitable[DecoderProcess]]:
    starts = iter([first])
    return lambda: next(starts, DecoderProcess.start)()


@asynccontextmanager
async def pool(**keywords: Any):
    seen = Observer()
    made = DecoderPool(keywords.pop("processes", 1), keywords.pop("cpu_seconds", 60.0), observer=seen, **keywords)
    try:
        yield made, seen
    finally:
        await made.close()
    assert (seen.processes or [0])[-1] == 0


async def decoded(pool: DecoderPool, data: bytes) -> U8:
    return await pool.decode(data, examine(data, LIMITS).plan, LIMITS)


async def test_a_decoder_gives_the_pixels_that_the_server_would() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    scene = drawn(90, 60)
    files = [SMALL, encoded(scene, "JPEG", exif=turned), encoded(scene, "JPEG", progressive=True)]
    files.append(encoded(scene, "WEBP", lossless=True))
    if features.check("avif"):
        files.append(encoded(scene, "AVIF"))
    async with pool() as (made, seen):
        for data in files:
            image = await decoded(made, data)
            np.testing.assert_array_equal(image, decode(data))
            assert image.flags.writeable
    assert seen.processes == [1, 0]
    assert not seen.failures


async def test_what_a_decoder_refuses_is_refused_in_the_same_words() -> None:
    broken = SMALL[:-60] + bytes(60)
    with pytest.raises(InvalidInputError) as expected:
        decode(broken)
    async with pool() as (made, seen):
        with pytest.raises(InvalidInputError) as caught:
            await decoded(made, broken)
        assert caught.value.violations == expected.value.violations
        await decoded(made, SMALL)
    assert seen.processes == [1, 0]


async def test_a_picture_that_takes_too_much_cpu_time_ends_its_decoder_and_no_more() -> None:
    large = encoded(drawn(7000, 5000), "PNG", compress_level=1)  # some hundred milliseconds
    # A decoder has thirty times as long by the clock.
    async with pool(cpu_seconds=0.1) as (made, seen):
        with pytest.raises(InvalidInputError, match=r"image\.encoded: was not decoded within 0\.1 s of CPU time"):
            await decoded(made, large)
        assert seen.failures == ["cpu_time"]
        np.testing.assert_array_equal(await decoded(made, SMALL), drawn(64, 48))


@pytest.mark.parametrize(
    ("end", "how"), [("os._exit(7)", "exit code 7"), ("os.kill(os.getpid(), 9)", "SIGKILL")], ids=["exit", "signal"]
)
async def test_a_picture_that_ends_its_decoder_is_refused_and_the_next_one_answered(end: str, how: str) -> None:
    dies = program(ONCE_A_JOB_IS_THERE + f"s.sendall(b't'); {end}")
    async with pool(start=first_then_real(dies)) as (made, seen):
        with pytest.raises(InvalidInputError, match=rf"could not be decoded: it ended its decoder \({how}\)"):
            await decoded(made, SMALL)
        assert seen.failures == ["died"]
        np.testing.assert_array_equal(await decoded(made, SMALL), drawn(64, 48))


@pytest.mark.parametrize(
    "start",
    [
        program("sys.exit(3)"),
        program(ONCE_A_JOB_IS_THERE + "os._exit(1)"),
        lambda: DecoderProcess.start(("/nowhere/to/be/found",)),
    ],
    ids=["ends at once", "ends before its job", "is not there"],
)
async def test_where_no_decoder_can_be_started_the_picture_is_not_at_fault(
    start: Callable[[], Awaitable[DecoderProcess]],
) -> None:
    async with pool(start=first_then_real(start)) as (made, seen):
        with pytest.raises(DecoderUnavailableError):
            await decoded(made, SMALL)
        assert seen.failures == ["not_started"]
        np.testing.assert_array_equal(await decoded(made, SMALL), drawn(64, 48))


async def test_where_no_thread_can_wait_for_a_decoder_the_picture_is_not_at_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def start(*arguments: object, **keywords: object) -> None:
        raise RuntimeError("can't start new thread")

    async with pool() as (made, seen):
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "create_subprocess_exec", start)
            with pytest.raises(DecoderUnavailableError):
                await decoded(made, SMALL)
        assert seen.failures == ["not_started"]
        np.testing.assert_array_equal(await decoded(made, SMALL), drawn(64, 48))


async def test_a_decoder_that_died_while_it_was_idle_is_replaced_unseen() -> None:
    started: list[DecoderProcess] = []

    async def start() -> DecoderProcess:
        started.append(await DecoderProcess.start())
        return started[-1]

    async with pool(start=start) as (made, seen):
        await decoded(made, SMALL)
        os.kill(started[0].pid, signal.SIGKILL)
        np.testing.assert_array_equal(await decoded(made, SMALL), drawn(64, 48))
    assert len(started) == 2
    assert not seen.failures


async def test_a_call_that_is_cancelled_takes_its_decoder_with_it() -> None:
    busy = program(ONCE_A_JOB_IS_THERE + "s.sendall(b't')\nwhile s.recv(65536): pass\nimport signal; signal.pause()")
    async with pool(start=first_then_real(busy)) as (made, seen):
        call = asyncio.create_task(decoded(made, SMALL))
        while seen.processes != [1]:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(seen.none_left.wait(), PATIENCE)
        np.testing.assert_array_equal(await decoded(made, SMALL), drawn(64, 48))
    assert not seen.failures


async def test_a_decoder_has_little_priority_and_ends_when_the_server_closes_its_end() -> None:
    decoder = await DecoderProcess.start()
    assert decoder.alive
    assert os.getpriority(os.PRIO_PROCESS, decoder.pid) >= 10
    decoder.close()
    assert await asyncio.wait_for(decoder.ended(), PATIENCE) == 0


def test_a_decoder_imports_little() -> None:
    text = "import sys, exalign_service.decoding.worker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=120)
    tops = {name.split(".")[0] for name in done.stdout.split()}
    assert not tops & {"grpc", "asyncio", "numba", "onnxruntime", "openvino", "prometheus_client", "google"}
