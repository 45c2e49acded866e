"""A few of the histories of `checkpoint_model`, and that it finds the bug where there is one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import pytest

from checkpoint_model import history


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_no_result_is_lost_doubled_or_wrong_wherever_something_fails() -> None:
    happened, wrong = Counter[str](), []
    for seed in range(1, 101):
        what, world, _ = history(seed)
        happened += world.happened
        if what:
            wrong.append(f"{seed}: {what}")
    assert not wrong
    assert {"kill", "stop", "away", "lose", "write came late", "write unheard", "claim failed"} <= set(happened)


@pytest.mark.parametrize("without", ["fence", "numbers"])
def test_without_its_fence_the_model_finds_what_goes_wrong(without: str) -> None:
    assert any(history(seed, without)[0] for seed in range(1, 300))
