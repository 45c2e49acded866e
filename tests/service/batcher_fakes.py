"""A batcher, and a network that does what it is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from exalign_engine.network.outputs import Outputs
from exalign_service.inference.batcher import Batcher, Row
from service_fakes import PATIENCE

U8 = NDArray[np.uint8]


def crop(number: int) -> U8:
    """A crop that says which one it is."""
    return np.array([[[number >> 16 & 255, number >> 8 & 255, number & 255]]], dtype=np.uint8)


def numbers(crops: U8) -> list[int]:
    return [int(r) << 16 | int(g) << 8 | int(b) for r, g, b in crops[:, 0, 0]]


class Network:
    """Answers each crop with its own number; remembers its batches; ``gate`` holds them."""

    def __init__(self, delay: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.delay, self.gate = delay, threading.Event()
        self.fails_on: Callable[[list[int]], bool] = lambda batch: False
        self.gate.set()

    def __call__(self, crops: U8) -> Outputs:
        batch = numbers(crops)
        self.batches.append(batch)
        assert self.gate.wait(10)
        time.sleep(self.delay)
        if self.fails_on(batch):
            raise RuntimeError("the network failed")
        scores = np.array(batch, np.float32)[:, None]
        return Outputs(scores, scores, scores[:, :, None, None])

    @property
    def seen(self) -> list[int]:
        return [n for batch in self.batches for n in batch]


@contextmanager
def batcher(network: Network, **changes: object) -> Iterator[Batcher]:
    options = {"workers": 1, "max_batch": 4, "max_queue": 64} | changes
    it = Batcher(network, **options)  # type: ignore[arg-type]
    try:
        yield it
    finally:
        network.gate.set()
        it.close()


def held(network: Network, it: Batcher) -> asyncio.Task[list[Row]]:
    """Occupy the only worker with crop 999 until the gate opens."""
    network.gate.clear()
    return asyncio.create_task(it.infer([crop(999)]))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


def answered(rows: list[Row]) -> list[int]:
    return [int(row.outputs.scores[0]) for row in rows]


class Observer:
    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.depths: list[int] = []

    def batch_launched(self, size: int) -> None:
        self.sizes.append(size)

    def queue_changed(self, depth: int) -> None:
        self.depths.append(depth)
