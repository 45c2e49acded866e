"""Slices of threads: who wakes up for a caller interrupts what computes, wherever the system has slices."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

import pytest

from exalign_service.decoding.decoder_process import DecoderProcess
from exalign_service.inference.crew import NICE, Crew
from exalign_service.scheduling import slices
from exalign_service.scheduling.slices import BEHIND, DECODING, SHORT, USUAL, set_slice, slice_of

T = TypeVar("T")

needs_slices = pytest.mark.skipif(slice_of() is None, reason="Linux before 6.12 has no slices of threads")


def in_a_thread(work: Callable[[], T]) -> T:
    """What work answers in a thread of its own, which leaves all others as they are."""
    made: list[T] = []
    thread = threading.Thread(target=lambda: made.append(work()))
    thread.start()
    thread.join()
    return made[0]


@needs_slices
def test_a_slice_is_set_and_inherited_and_the_systems_own_comes_back() -> None:
    def work() -> list[int | None]:
        before = slice_of()
        assert set_slice(SHORT)
        found = [slice_of(), in_a_thread(slice_of)]
        assert set_slice(USUAL)
        return [*found, before == slice_of()]

    assert in_a_thread(work) == [SHORT, SHORT, True]


@needs_slices
def test_priority_and_policy_stay() -> None:
    def work() -> list[object]:
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + 1)
        before = os.getpriority(os.PRIO_PROCESS, 0)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        assert set_slice(SHORT)
        return [os.getpriority(os.PRIO_PROCESS, 0) == before, os.sched_getscheduler(0) == os.SCHED_BATCH, slice_of()]

    assert in_a_thread(work) == [True, True, SHORT]


def test_a_policy_without_slices_is_left_alone() -> None:
    def work() -> bool:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        return set_slice(SHORT)

    assert not in_a_thread(work)


def test_where_the_system_has_none_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "_CALLS", {})
    assert not set_slice(SHORT)
    assert slice_of() is None
    monkeypatch.setattr(slices, "_CALLS", dict.fromkeys(("x86_64", "aarch64"), (100_000, 100_000)))
    assert not set_slice(SHORT)  # the system knows no such call


@needs_slices
def test_those_in_front_interrupt_threads_behind() -> None:
    met, both = dict[bool, tuple[int | None, int]](), threading.Barrier(3)

    def step(behind: bool) -> bool:
        met[behind] = slice_of(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        both.wait()
        return False

    crew = Crew("crew", 1)
    crew.start(step)
    both.wait()
    assert crew.join(lambda: None)
    usual, priority = slice_of(), os.getpriority(os.PRIO_PROCESS, 0)
    assert met == {False: (usual, priority), True: (BEHIND, min(priority + NICE, 19))}
    assert usual is not None
    assert usual < BEHIND


async def test_a_decoder_is_of_the_servers_session_where_priorities_count_and_of_a_group_of_its_own() -> None:
    with ExitStack() as stack:
        decoder = await DecoderProcess.start()
        stack.callback(decoder.kill)
        assert os.getsid(decoder.pid) == os.getsid(0)
        assert os.getpgid(decoder.pid) == decoder.pid  # Ctrl-C is not for it
        assert os.getpriority(os.PRIO_PROCESS, decoder.pid) >= 10
    await decoder.ended()


@needs_slices
async def test_all_threads_of_a_server_interrupt_a_decoder() -> None:
    decoder = await DecoderProcess.start()
    try:
        assert slice_of(decoder.pid) == DECODING > BEHIND
    finally:
        decoder.kill()
    await decoder.ended()
