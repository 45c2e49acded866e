"""A batch in the thread that asks for it, where a worker would begin with it at once; else nothing is done."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batcher_fakes import Network, answered, batcher, crop, held, until
from exalign_service.inference.fair_queue import Claim
from exalign_service.inference.stage_pool import StagePool
from exalign_service.methods.pipeline import Pipeline
from exalign_service.rpc.errors import DeadlineExpiredError
from service_fakes import GOOD_BOX, PATIENCE, Running, config, running
from track_fakes import frame, plain, talking

MINE = Claim(key="mine", live=True)


def test_the_thread_that_asks_runs_the_network() -> None:
    network, threads = Network(), list[threading.Thread]()

    def noted(batch: list[int]) -> bool:
        threads.append(threading.current_thread())
        return False

    network.fails_on = noted
    with batcher(network) as it:
        rows = it.infer_here([crop(1), crop(2)], claim=MINE)
    assert rows is not None
    assert answered(rows) == [1, 2]
    assert network.batches == [[1, 2]]
    assert threads == [threading.current_thread()]


async def test_nothing_is_done_while_the_workers_are_busy_or_somebody_waits() -> None:
    network = Network()
    with batcher(network) as it:
        first = held(network, it)
        await until(lambda: [999] in network.batches)
        assert it.infer_here([crop(1)], claim=MINE) is None
        waits = asyncio.create_task(it.infer([crop(2)]))
        await until(lambda: it.depth == 1)
        assert it.infer_here([crop(3)], claim=MINE) is None
        assert it.depth == 1
        network.gate.set()
        await asyncio.gather(first, waits)
        await until(lambda: it.oldest_running() is None)
        assert it.infer_here([crop(4)], claim=MINE) is not None
    assert network.seen == [999, 2, 4]


def test_nothing_is_done_for_more_than_one_batch_or_after_the_end() -> None:
    network = Network()
    with batcher(network, max_batch=2) as it:
        assert it.infer_here([crop(n) for n in range(3)], claim=MINE) is None
        it.close()
        assert it.infer_here([crop(1)], claim=MINE) is None
    assert network.batches == []


async def test_it_counts_as_a_workers_batch_and_whoever_waits_is_served_after_it() -> None:
    network, now = Network(), 100.0
    with batcher(network, clock=lambda: now, max_batch=1) as it:
        network.gate.clear()
        here = asyncio.create_task(asyncio.to_thread(it.infer_here, [crop(1)], claim=MINE))
        await until(lambda: [1] in network.batches)
        now = 107.0
        assert it.oldest_running() == 7.0
        # Of the same caller: for another one, one more worker stands by.
        waits = asyncio.create_task(it.infer([crop(2)], claim=MINE))
        await until(lambda: it.depth == 1)
        assert network.seen == [1]
        network.gate.set()
        rows = await here
        assert rows is not None
        assert answered(rows) == [1]
        assert answered(await waits) == [2]
        await until(lambda: it.oldest_running() is None)


def test_what_the_network_raises_is_raised_and_what_is_too_late_is_not_begun() -> None:
    network = Network()
    network.fails_on = lambda batch: True
    with batcher(network, clock=lambda: 5.0) as it:
        with pytest.raises(RuntimeError, match="the network failed"):
            it.infer_here([crop(1)], claim=MINE)
        with pytest.raises(DeadlineExpiredError):
            it.infer_here([crop(2)], claim=MINE, deadline=5.0)
        assert (it.depth, it.oldest_running()) == (0, None)
    assert network.seen == [1]


async def test_a_job_that_waits_for_the_network_is_not_the_pools() -> None:
    now, waits, goes_on = 100.0, threading.Event(), threading.Event()
    pool = StagePool(2, clock=lambda: now)

    def work() -> None:
        with pool.elsewhere():
            waits.set()
            assert goes_on.wait(PATIENCE)
        waits.clear()
        goes_on.clear()
        assert goes_on.wait(PATIENCE)

    try:
        with pool.elsewhere():  # in no thread of the pool
            job = asyncio.create_task(pool.run(work))
            await until(waits.is_set)
        now = 150.0
        assert pool.oldest_running() is None
        goes_on.set()
        await until(lambda: not waits.is_set() and not goes_on.is_set())
        now = 153.0
        assert pool.oldest_running() == 3.0
        goes_on.set()
        await job
        await until(lambda: pool.oldest_running() is None)
    finally:
        pool.close()


@pytest.mark.parametrize("device", ["CPU", "GPU"])
async def test_a_frame_alone_is_one_visit_to_a_thread_where_the_network_works_there(
    live: Running, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.runtime.device = device
    visits: list[object] = []
    run = StagePool.run

    async def counted(self: StagePool, work: Callable[..., Any], *args: object, **options: Any) -> Any:
        visits.append(work)
        return await run(self, work, *args, **options)

    monkeypatch.setattr(StagePool, "run", counted)
    async with talking(live) as it:
        await it.results(frame(0, GOOD_BOX))
        visits.clear()
        await it.results(frame(1))
        assert len(visits) == {"CPU": 1, "GPU": 2}[device]


async def test_answers_are_the_same_whichever_thread_the_network_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [frame(0, GOOD_BOX), *(frame(i) for i in range(1, 6))]
    found = []
    for here in (True, False):
        if not here:
            monkeypatch.setattr(Pipeline, "infer_here", lambda *args: None)
        async with running(tmp_path, config()) as live, talking(live) as it:
            found.append(plain(await it.results(*frames)))
    assert found[0] == found[1]


def test_the_servers_process_keeps_opencv_from_starting_threads() -> None:
    program = """
from contextlib import suppress
from exalign_service import cli
with suppress(SystemExit):
    cli.main(["--version"])
import cv2
print(cv2.getNumThreads())
"""
    rest = {name: value for name, value in os.environ.items() if name != "OPENCV_FOR_THREADS_NUM"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=rest)
    assert done.stdout.split()[-1] == "1"
