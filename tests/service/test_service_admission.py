"""Which calls may begin, on a simulated machine: two threads, a clock of its own."""

from __future__ import annotations

import heapq
import math
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import pytest

from exalign_service.inference.admission import Admission, AdmissionLimits, Demand, Ticket
from exalign_service.rpc.call_context import Call
from exalign_service.rpc.errors import OverloadedError, QueueFullError

KIND = ("PredictLandmarksRequest", True)


@dataclass
class Counted:
    """What an observer was told."""

    calls: int = 0
    size: int = 0
    seconds: float = 0.0
    refused: list[str] = field(default_factory=list)

    def calls_changed(self, calls: int, size: int, seconds: float) -> None:
        self.calls, self.size, self.seconds = calls, size, seconds

    def call_refused(self, reason: str) -> None:
        self.refused.append(reason)


class Machine:
    """Two threads that serve callers in turns; each call takes ``cost`` thread seconds."""

    def __init__(self, *, calls: int = 1000, size: int = 10**9, wait: float = 60.0, threads: int = 2) -> None:
        self.now, self.threads = 0.0, threads
        self.counted = Counted()
        self.admission = Admission(AdmissionLimits(calls, size, wait), threads, self.counted, lambda: self.now)
        self.waiting: dict[str, deque[tuple[ExitStack, Ticket, float, float]]] = {}
        self.busy: list[tuple[float, int, ExitStack, Ticket, float, float]] = []
        self.answered: list[tuple[float, float, str]] = []
        self._number = 0

    def call(self, caller: str = "", cost: float = 0.1, deadline: float = math.inf, size: int = 100) -> None:
        """A call comes in; raises where it is refused."""
        stack = ExitStack()
        ticket = stack.enter_context(self.admission.admit(Call("", deadline, "", caller), Demand(KIND, size)))
        self.waiting.setdefault(caller, deque()).append((stack, ticket, cost, self.now))
        self._start()

    def until(self, time: float) -> None:
        """Work on."""
        while self.busy and self.busy[0][0] <= time:
            self.now, _, stack, ticket, cost, came = heapq.heappop(self.busy)
            ticket.once, ticket.each, ticket.answered = 0.7 * cost, 0.3 * cost, True
            self.answered.append((self.now, self.now - came, ticket.caller))
            stack.close()
            self._start()
        self.now = time

    def _start(self) -> None:
        while len(self.busy) < self.threads and any(self.waiting.values()):
            caller = next(name for name, calls in self.waiting.items() if calls)
            calls = self.waiting.pop(caller)
            stack, ticket, cost, came = calls.popleft()
            self.waiting[caller] = calls
            self._number += 1
            heapq.heappush(self.busy, (self.now + cost, self._number, stack, ticket, cost, came))


def learned(**limits: float) -> Machine:
    """One that knows what calls cost."""
    machine = Machine(**limits)  # type: ignore[arg-type]
    for _ in range(30):
        for _ in range(2):
            machine.call()
        machine.until(machine.now + 0.1)
    machine.until(machine.now + 1.0)
    machine.answered.clear()
    return machine


@pytest.mark.parametrize("load", [2, 4, 8])
def test_under_overload_what_is_admitted_is_in_time_and_the_threads_stay_busy(load: int) -> None:
    machine, rng, hints = learned(), np.random.default_rng(load), list[float]()
    start, arrivals = machine.now, np.cumsum(rng.exponential(1 / (20 * load), 400 * load))
    for at in start + arrivals:
        machine.until(at)
        try:
            machine.call(cost=rng.uniform(0.05, 0.15), deadline=machine.now + 2.0)
        except OverloadedError as e:
            hints.append(e.retry_after)
    seconds = machine.now - start
    in_time = [took for _, took, _ in machine.answered if took <= 2.0]
    assert len(in_time) >= 0.99 * len(machine.answered)
    assert len(in_time) / seconds >= 0.9 * 20  # two threads, a tenth of a second each
    assert set(machine.counted.refused) == {"time"}
    assert len(hints) == len(machine.counted.refused)
    assert min(hints) >= 0.05
    assert max(hints) <= 30


def test_without_overload_nobody_is_refused() -> None:
    machine, rng = learned(), np.random.default_rng(1)
    for at in machine.now + np.cumsum(rng.exponential(1 / 12, 600)):
        machine.until(at)
        machine.call(cost=rng.uniform(0.05, 0.15), deadline=machine.now + 2.0)
    assert machine.counted.refused == []


def test_who_comes_back_when_told_is_admitted() -> None:
    machine, came_back, welcome = learned(), 0, 0
    due: list[float] = []
    for _ in range(200):  # all at once
        try:
            machine.call(deadline=machine.now + 2.0)
        except OverloadedError as e:
            due.append(machine.now + e.retry_after)
    assert len(due) > 100
    assert max(due) - min(due) > 5  # not all at the same time
    for at in sorted(due):
        machine.until(at)
        came_back += 1
        try:
            machine.call(deadline=machine.now + 2.0)
            welcome += 1
        except OverloadedError:
            pass
    assert welcome >= 0.95 * came_back


def test_the_rate_follows_what_the_machine_leaves() -> None:
    machine = learned()
    for i in range(400):  # half as fast as before
        machine.until(machine.now + 0.05)
        try:
            machine.call(cost=0.2, deadline=machine.now + 2.0)
        except OverloadedError:
            assert i > 20
    late = [took for _, took, _ in machine.answered[100:] if took > 2.0]
    assert len(late) <= 0.02 * len(machine.answered)


def test_one_callers_backlog_delays_its_own_calls_alone() -> None:
    machine = learned(wait=3.0)
    for _ in range(60):
        machine.call("greedy")
    with pytest.raises(OverloadedError, match=r"of max_wait"):
        machine.call("greedy")
    machine.call("polite", deadline=machine.now + 0.6)
    machine.until(machine.now + 0.5)
    assert "polite" in [caller for _, _, caller in machine.answered]


def test_a_deadline_that_cannot_be_met_is_refused_at_once() -> None:
    machine = learned()
    for _ in range(40):
        machine.call()
    with pytest.raises(OverloadedError, match=r"until its deadline") as caught:
        machine.call(deadline=machine.now + 1.0)
    assert 0.9 <= caught.value.retry_after <= 1.6  # two seconds of work, less the one that it has
    machine.call(deadline=machine.now + 4.0)


def test_an_idle_server_tries_what_it_expects_to_be_late() -> None:
    machine = learned()
    machine.call(deadline=machine.now + 0.01)
    with pytest.raises(OverloadedError):
        machine.call(deadline=machine.now + 0.01)


def test_a_full_server_has_room_for_others_than_the_one_who_fills_it() -> None:
    machine = Machine(calls=8)
    for _ in range(8):
        machine.call("greedy")
    with pytest.raises(QueueFullError):
        machine.call("greedy")
    for _ in range(4):
        machine.call("polite")
    with pytest.raises(QueueFullError):
        machine.call("polite")
    assert machine.counted.refused == ["calls", "calls"]
    assert machine.counted.calls == 12


def test_bytes_in_progress_are_bounded_and_shared() -> None:
    machine = Machine(size=1000)
    for _ in range(10):
        machine.call("greedy", size=100)
    with pytest.raises(QueueFullError, match="bytes of requests"):
        machine.call("greedy", size=100)
    machine.call("polite", size=300)
    with pytest.raises(QueueFullError):
        machine.call("third", size=100)  # beyond the bound there is no more room for anybody
    assert machine.counted.size == 1300
    machine.until(10.0)
    assert (machine.counted.calls, machine.counted.size, machine.counted.seconds) == (0, 0, 0.0)


def test_the_faces_found_in_a_picture_are_counted() -> None:
    machine = learned()
    with machine.admission.admit(Call("", math.inf), Demand(KIND, 1)) as ticket:
        before = machine.counted.seconds
        machine.admission.found(ticket, 40)
        assert machine.counted.seconds > 5 * before
