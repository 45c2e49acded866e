"""Each target takes its seeds, and some hundred inputs by its grammar, without a find; and what is a find is seen."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from fuzz_child import replay
from fuzz_target import TARGETS, BrokenPromiseError, Judge, Target

#: Inputs of each target beside its seeds.
INPUTS = 250


@pytest.mark.filterwarnings("ignore")  # readers warn of what is damaged
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_or_refuses_what_its_grammar_makes(name: str, tmp_path: Path) -> None:
    module = pytest.importorskip(TARGETS[name].module)
    target, random = module.Fuzzed(tmp_path), Random(2)
    judge = Judge(target, TARGETS[name].cpu_seconds)
    seeds = list(target.seeds())
    assert len(seeds) > 5
    try:
        for seed in seeds:
            judge(seed)
        for _ in range(INPUTS):
            seed = random.choice(seeds)
            judge(target.mutate(seed, random) or changed(seed, random))
    finally:
        target.close()
    assert judge.finds == {}
    assert len(judge.outcomes) > 3
    assert judge.executed == len(seeds) + INPUTS


def changed(data: bytes, random: Random) -> bytes:
    """With another byte or two."""
    found = bytearray(data)
    for _ in range(random.choice((1, 2))):
        found[random.randrange(len(found))] = random.randrange(256)
    return bytes(found)


class Fake(Target):
    """Does with an input what a test wants."""

    def __init__(self, folder: Path, work: Callable[[bytes], str]) -> None:
        super().__init__(folder)
        self._work = work

    def seeds(self) -> Sequence[bytes]:
        return [b""]

    def run(self, data: bytes) -> str:
        return self._work(data)


def fails(data: bytes) -> str:
    raise KeyError(data) if data == b"key" else BrokenPromiseError("promised otherwise")


def test_finds_are_counted_by_kind_and_their_inputs_kept(tmp_path: Path) -> None:
    judge = Judge(Fake(tmp_path, fails), 10.0, tmp_path / "kept")
    for data in (b"key", b"other", b"more", b"key"):
        judge(data)
    found = {find.kind: (find.count, len(find.inputs)) for find in judge.finds.values()}
    assert found == {"KeyError": (2, 1), "BrokenPromiseError": (2, 2)}
    assert judge.outcomes == {"find": 4}
    assert sorted(path.read_bytes() for path in (tmp_path / "kept").iterdir()) == [b"key", b"more", b"other"]


def spins(data: bytes) -> str:
    end = time.process_time() + 0.02
    while time.process_time() < end:
        pass
    return "spun"


def test_an_input_that_takes_too_long_is_a_find(tmp_path: Path) -> None:
    judge = Judge(Fake(tmp_path, spins), 0.01)
    judge(b"")
    assert [find.kind for find in judge.finds.values()] == ["slow"]


def test_memory_that_grows_is_seen_by_a_replay(tmp_path: Path) -> None:
    kept: list[mmap.mmap] = []

    def keeps(data: bytes) -> str:
        # New pages: malloc would first use what other tests have freed.
        kept.append(mmap.mmap(-1, 1_024_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        kept[-1].write(bytes(1_024_000))
        return "kept"

    grows = replay(Judge(Fake(tmp_path, keeps), 10.0), [b"a", b"b"], 120)
    assert grows > 9e9
    kept.clear()
    stays = replay(Judge(Fake(tmp_path, lambda data: "gone"), 10.0), [b"a", b"b"], 120)
    assert stays < grows / 10
