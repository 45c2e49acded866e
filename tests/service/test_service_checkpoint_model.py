"""A few of the histories of `checkpoint_model`, and that it finds the bug where there is one."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Awaitable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from checkpoint_model import history
from checkpoint_world import SITES
from every_await import Site, compiled

#: Histories in which a session that was claimed went from its server meanwhile, and was said to be gone.
FOUND = (100319, 104030, 107060, 109850)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def test_no_result_is_lost_doubled_or_wrong_whatever_happens_at_any_await() -> None:
    happened, at, wrong = Counter[str](), Counter[tuple[Site, str, str]](), []
    for seed in (*range(1, 101), *FOUND):
        what, world, _ = history(seed)
        happened += world.happened
        at += world.at
        if what:
            wrong.append(f"{seed}: {what}")
    assert not wrong
    assert {"kill", "stop", "away", "lose", "write came late", "write unheard", "claim failed"} <= set(happened)
    assert {what for _, _, what in at} == {"passed", "later", "stop", "kill", "cancel", "raise"}
    assert not [str(site) for site in SITES for when in ("before", "after") if not at[site, when, "passed"]]


def test_each_await_of_a_module_is_met_even_if_nothing_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = """
    class Door:
        async def open(self, by):
            async def knock(times):
                return times
            return [await knock(await knock(2)) for _ in range(by)], await knock(3)
    """
    (tmp_path / "a_door.py").write_text(dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    met: list[str] = []

    async def at(site: Site, awaited: Awaitable[object]) -> object:
        met.append(site.awaits)
        return await awaited

    made, sites = compiled(["a_door"], at)
    assert asyncio.run(made["a_door"].Door().open(2)) == ([2, 2], 3)
    assert [site.where for site in sites] == ["a_door.Door.open 1", "a_door.Door.open 2", "a_door.Door.open 3"]
    assert Counter(met) == {"knock(2)": 2, sites[1].awaits: 2, "knock(3)": 1}
    assert sys.modules["a_door"].Door is not made["a_door"].Door


@pytest.mark.parametrize("without", ["fence", "numbers"])
def test_without_its_fence_the_model_finds_what_goes_wrong(without: str) -> None:
    assert any(history(seed, without)[0] for seed in range(1, 300))
