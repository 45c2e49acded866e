"""Pauses between attempts: how long they are, how they differ between callers, and when there is none."""

from __future__ import annotations

import pytest

from exalign_client import (
    DeadlineError,
    ExalignClientError,
    HealthStatus,
    InternalServerError,
    NotFoundError,
    ServerBusyError,
    UnavailableError,
)
from exalign_client.transport.retry import CallBudget, ReconnectBudget

AWAY = UnavailableError("away")


class Clock:
    """A clock that stands still until it is set on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lowest(low: float, high: float) -> float:
    return low


def highest(low: float, high: float) -> float:
    return high


def test_a_busy_servers_pause_is_stretched_by_up_to_a_quarter_and_never_shortened(clock: Clock) -> None:
    busy = ServerBusyError("full", retry_after=2.0)
    assert CallBudget(60.0, clock=clock, uniform=lowest).pause_after(busy) == 2.0
    assert CallBudget(60.0, clock=clock, uniform=highest).pause_after(busy) == 2.5
    assert CallBudget(60.0, clock=clock, uniform=lambda low, high: (low + high) / 2).pause_after(busy) == 2.25


def test_one_timeout_holds_for_all_attempts(clock: Clock) -> None:
    budget = CallBudget(10.0, clock=clock, uniform=lowest)
    assert budget.remaining() == 10.0
    clock.now += 4.0
    assert budget.remaining() == 6.0
    assert budget.pause_after(ServerBusyError("full", retry_after=5.0)) == 5.0
    clock.now += 5.0
    assert budget.pause_after(ServerBusyError("full", retry_after=5.0)) is None
    clock.now += 5.0
    assert budget.remaining() == 0.0


def test_a_call_has_four_attempts(clock: Clock) -> None:
    budget = CallBudget(10.0, clock=clock, uniform=lowest)
    pauses = [budget.pause_after(ServerBusyError("full", retry_after=0.5)) for _ in range(4)]
    assert pauses == [0.5, 0.5, 0.5, None]


@pytest.mark.parametrize("error", [AWAY, NotFoundError("gone"), ServerBusyError("quota")], ids=type)
def test_only_a_server_that_names_a_pause_is_called_again(clock: Clock, error: ExalignClientError) -> None:
    assert CallBudget(10.0, clock=clock, uniform=lowest).pause_after(error) is None


def test_the_error_of_a_server_that_does_not_become_ready_names_the_last_status(clock: Clock) -> None:
    budget = CallBudget(10.0, clock=clock)
    assert budget.pause_until_ready(HealthStatus.NOT_SERVING, "here") == pytest.approx(0.1)
    clock.now += 9.95
    with pytest.raises(DeadlineError, match="here: not ready in time; last seen: NOT_SERVING"):
        budget.pause_until_ready(HealthStatus.NOT_SERVING, "here")
    with pytest.raises(DeadlineError, match="last seen: away"):
        budget.pause_until_ready(AWAY, "here")


@pytest.mark.parametrize(("uniform", "factor"), [(lowest, 0.5), (highest, 1.0)])
def test_pauses_before_a_new_stream_double_and_differ_between_callers(
    clock: Clock, uniform: object, factor: float
) -> None:
    budget = ReconnectBudget(60.0, clock=clock, uniform=uniform)  # type: ignore[arg-type]
    pauses = [budget.pause_after(AWAY, opened=True) for _ in range(8)]
    assert pauses == pytest.approx([bound * factor for bound in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0)])


def test_progress_starts_the_pauses_and_the_time_anew(clock: Clock) -> None:
    budget = ReconnectBudget(10.0, clock=clock, uniform=highest)
    assert budget.pause_after(AWAY, opened=True) == pytest.approx(0.1)
    assert budget.pause_after(AWAY, opened=True) == pytest.approx(0.2)
    clock.now += 9.0
    budget.progressed()
    assert budget.pause_after(AWAY, opened=True) == pytest.approx(0.1)
    clock.now += 9.95
    assert budget.pause_after(AWAY, opened=True) is None


def test_a_full_servers_pause_before_a_new_stream_is_stretched_too(clock: Clock) -> None:
    full = ServerBusyError("full", retry_after=4.0)
    assert ReconnectBudget(60.0, clock=clock, uniform=lowest).pause_after(full, opened=True) == 4.0
    assert ReconnectBudget(60.0, clock=clock, uniform=highest).pause_after(full, opened=True) == 5.0


@pytest.mark.parametrize(("error", "opened"), [(AWAY, False), (InternalServerError("fault"), True)], ids=str)
def test_what_may_be_a_fault_is_tried_four_times(clock: Clock, error: ExalignClientError, opened: bool) -> None:
    budget = ReconnectBudget(60.0, clock=clock, uniform=lowest)
    pauses = [budget.pause_after(error, opened=opened) for _ in range(4)]
    assert [pause is None for pause in pauses] == [False, False, False, True]


def test_without_an_injected_source_the_jitter_is_random() -> None:
    busy = ServerBusyError("full", retry_after=1.0)
    pauses = {CallBudget(60.0).pause_after(busy) for _ in range(50)}
    assert len(pauses) > 1
