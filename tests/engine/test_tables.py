"""What follows from a bundle is made once, kept in files, and the same bits however it came about."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.hmm.chain import Chain
from exalign_engine.hmm.neighbours import Neighbours
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.tables import store
from exalign_engine.tables.store import KEPT, MADE_BY, WORTH_KEEPING, Layout, Tables, code_hash, not_kept

LAYOUT: Layout = {"numbers": (np.float32, (3, 2)), "names": (np.int32, (3,))}


class Maker:
    """Makes a table, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Mapping[str, NDArray[Any]]:
        self.calls += 1
        return {"numbers": np.arange(6, dtype=np.float32).reshape(2, 3).T, "names": np.arange(3, dtype=np.int32)}


def tables_of(name: str) -> Tables:
    """Those of a large bundle of that name, two digits."""
    return Tables.of_bundle(name * 32, WORTH_KEEPING)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "exalign" / "tables"


def test_a_table_is_made_once_and_then_mapped(cache: Path) -> None:
    make = Maker()
    for _ in range(2):
        found = tables_of("ab").arrays("a", LAYOUT, make)
        np.testing.assert_array_equal(found["numbers"], make()["numbers"])
        assert found["numbers"].flags.c_contiguous
        assert isinstance(found["names"].base, np.memmap)
        make.calls -= 1
    assert make.calls == 1


def test_what_is_written_to_a_mapped_table_stays_in_this_process(cache: Path) -> None:
    tables = tables_of("ab")
    tables.arrays("a", LAYOUT, Maker())["names"][:] = 9
    assert tables.arrays("a", LAYOUT, Maker())["names"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("damage", ["missing", "cut", "none", "other"])
def test_a_damaged_table_is_made_anew(cache: Path, damage: str) -> None:
    tables, make = tables_of("ab"), Maker()
    tables.arrays("a", LAYOUT, make)
    (file,) = cache.glob("*/a.numbers.npy")
    match damage:
        case "missing":
            file.unlink()
        case "cut":
            file.write_bytes(file.read_bytes()[:-1])
        case "none":
            file.write_bytes(b"")
        case "other":
            np.save(file, np.zeros((3, 2)))
    for _ in range(2):
        np.testing.assert_array_equal(tables.arrays("a", LAYOUT, make)["numbers"], Maker()()["numbers"])
    assert make.calls == 2


def test_where_nothing_can_be_written_tables_are_made_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made in a file
    store._say_that_nothing_is_kept.cache_clear()
    tables, make = tables_of("ab"), Maker()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            np.testing.assert_array_equal(tables.arrays("a", LAYOUT, make)["numbers"], Maker()()["numbers"])
        tables.keep_note("n", {"a": 1})
    assert (make.calls, tables.note("n")) == (2, None)
    (record,) = caplog.records
    assert "XDG_CACHE_HOME" in record.getMessage()


def test_a_disk_that_fills_up_leaves_no_part_of_a_table_and_is_counted(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store._say_that_nothing_is_kept.cache_clear()
    before, tables, make = not_kept(), tables_of("ab"), Maker()
    monkeypatch.setattr(os, "fsync", full)
    np.testing.assert_array_equal(tables.arrays("a", LAYOUT, make)["numbers"], make()["numbers"])
    assert tables.block("b", lambda: b"bytes") is None
    assert not_kept() == before + 2
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    monkeypatch.undo()  # there is room again


def test_tables_of_other_bundles_and_of_other_code_lie_apart(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tables_of("ab"), tables_of("cd")
    monkeypatch.setattr(store, "MADE_BY", MADE_BY[:1])
    newer = tables_of("ab")
    assert len({one.folder, other.folder, newer.folder}) == 3


def test_every_place_that_makes_tables_is_there() -> None:
    hashes = {code_hash(place) for place in MADE_BY}
    assert len(hashes) == len(MADE_BY)


def test_only_the_tables_that_were_used_last_stay(cache: Path) -> None:
    for number in range(KEPT + 2):
        tables_of(f"{number}0").arrays("a", LAYOUT, Maker())
    assert len(list(cache.iterdir())) == KEPT


def test_a_note_is_kept_and_a_damaged_one_is_none(cache: Path) -> None:
    tables = tables_of("ab")
    assert tables.note("n") is None
    tables.keep_note("n", {"a": 1.5})
    assert tables.note("n") == {"a": 1.5}
    (file,) = cache.glob("*/n.json")
    for text in ("{", "[]"):
        file.write_text(text)
        assert tables.note("n") is None


def test_a_bundle_answers_alike_with_and_without_tables(
    toy_bundle: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Bundle.load(toy_bundle)
    assert not cache.exists()  # of few exemplars nothing is kept
    monkeypatch.setattr(store, "WORTH_KEEPING", 1)
    for kept in (Bundle.load(toy_bundle), Bundle.load(toy_bundle)):
        ours, theirs = kept.exemplars, bare.exemplars
        np.testing.assert_array_equal(ours.shapes, theirs.shapes)
        for key in ("prefix", "rest", "rank", "along"):
            np.testing.assert_array_equal(getattr(ours.order, key), getattr(theirs.order, key))
        models = [PosteriorModel(e, bare.calibration) for e in (ours, theirs)]
        assert models[0].shapes.base is not None  # what is mapped, and no copy of it
        np.testing.assert_array_equal(models[0].by_landmark, models[1].by_landmark)
        chain = Chain.of_exemplars(ours, bare.manifest.tau)
        plain = Neighbours(np.ascontiguousarray(theirs.shapes), bare.manifest.tau)
        np.testing.assert_array_equal(chain.neighbours.counts, plain.counts)
        sources = np.arange(0, ours.count, 3, dtype=np.int32)
        np.testing.assert_array_equal(chain.neighbours.reach(sources), plain.reach(sources))
    names = {file.name.split(".")[0].split("-")[0] for file in cache.glob("*/*.npy")}
    assert names == {"exemplars", "order", "by", "neighbours"}


def test_a_block_is_made_once_and_one_that_was_cut_off_anew(cache: Path) -> None:
    tables, contents = tables_of("ab"), [b"first", b"second"]

    def read() -> bytes | None:
        found = tables.block("b", lambda: contents.pop(0))
        return None if found is None else found.tobytes()

    assert [read(), read()] == [b"first", b"first"]
    (file,) = cache.glob("*/b-*.bin")
    file.write_bytes(b"firs")
    assert [read(), read()] == [b"second", b"second"]


def test_without_a_folder_or_without_bytes_there_is_no_block(cache: Path) -> None:
    assert Tables().block("b", lambda: b"x") is None
    assert tables_of("ab").block("b", lambda: None) is None


def test_arrays_that_are_at_hand_are_shared_and_made_anew_where_what_is_kept_differs(cache: Path) -> None:
    tables = tables_of("ab")
    for numbers in (np.arange(5, dtype=np.float32), np.array([0, 1, 2, 3, -0.0], np.float32)):
        found = tables.shared("numbers", {"them": numbers})["them"]
        assert isinstance(found.base, np.memmap)
        assert found.tobytes() == numbers.tobytes()
    names = [path.name for path in cache.rglob("numbers*")]
    assert names == ["numbers.them.npy"]
    nowhere = Tables().shared("numbers", {"them": numbers})
    assert nowhere["them"] is numbers


def test_arrays_that_cannot_be_shared_are_the_process_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tables, before, after = tables_of("ab"), np.zeros(3, np.float32), np.ones(3, np.float32)
    tables.shared("numbers", {"them": before})
    monkeypatch.setattr(os, "fsync", full)
    assert tables.shared("numbers", {"them": after})["them"] is after
    assert tables.shared("other", {"them": after})["them"] is after
