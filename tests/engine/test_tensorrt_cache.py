"""An engine from the cache is the one that was asked for, whole; anything else is built anew."""

from __future__ import annotations

import fcntl
import logging
import threading
from dataclasses import fields, replace
from pathlib import Path

import pytest

from exalign_engine.runtime.tensorrt.cache import EngineCache, EngineKey, read_engine, write_engine
from exalign_engine.runtime.tensorrt.errors import EngineFileError

KEY = EngineKey(
    bundle="b" * 64,
    onnx="o" * 64,
    module="tensorrt",
    version="11.4.0",
    gpu="H100",
    compute_capability="9.0",
    precision="fp16",
    max_batch=8,
    opt_batch=8,
    workspace=1 << 30,
    optimization_level=3,
    hardware_compatible=False,
    compute_capabilities="",
)
PLAN = bytes(range(256)) * 8


def other(value: object) -> object:
    """A value of the same type that is not the same."""
    return not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}x"


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "engines")


def test_what_was_stored_is_found(cache: EngineCache) -> None:
    assert cache.load(KEY) is None
    path = cache.store(KEY, PLAN)
    assert cache.load(KEY) == PLAN
    assert list(cache.directory.iterdir()) == [path]  # no half-written files beside it


@pytest.mark.parametrize("name", [f.name for f in fields(EngineKey)])
def test_everything_that_an_engine_depends_on_is_part_of_its_name(cache: EngineCache, name: str) -> None:
    cache.store(KEY, PLAN)
    changed = replace(KEY, **{name: other(getattr(KEY, name))})
    assert cache.load(changed) is None


@pytest.mark.parametrize("name", [f.name for f in fields(EngineKey)])
def test_an_engine_under_a_wrong_name_is_not_taken(tmp_path: Path, name: str) -> None:
    path = tmp_path / "an.engine"
    write_engine(path, KEY, PLAN)
    with pytest.raises(EngineFileError, match=rf"was built for another {name}$"):
        read_engine(path, replace(KEY, **{name: other(getattr(KEY, name))}))


@pytest.mark.parametrize("cut", [0, 5, 40, 200, -1])
def test_a_file_that_was_cut_off_is_not_trusted(cache: EngineCache, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    path = cache.store(KEY, PLAN)
    path.write_bytes(path.read_bytes()[:cut])
    with caplog.at_level(logging.WARNING):
        assert cache.load(KEY) is None
    assert "it is built anew" in caplog.text
    cache.store(KEY, PLAN)
    assert cache.load(KEY) == PLAN


def test_a_single_changed_byte_is_noticed_wherever_it_is(cache: EngineCache) -> None:
    path = cache.store(KEY, PLAN)
    good = path.read_bytes()
    for at in range(0, len(good), 7):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert cache.load(KEY) is None, at


def test_bytes_after_the_plan_are_noticed(cache: EngineCache) -> None:
    path = cache.store(KEY, PLAN)
    path.write_bytes(path.read_bytes() + b"x")
    assert cache.load(KEY) is None


def test_a_cache_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(EngineFileError, match="cannot be written"):
        EngineCache(file).store(KEY, PLAN)
    with pytest.raises(EngineFileError, match="its directory cannot be written"), EngineCache(file).lock(KEY):
        pass


def test_one_builds_while_the_others_wait(cache: EngineCache) -> None:
    order = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with cache.lock(KEY):
            order.append("second")

    with cache.lock(KEY):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(60)
        with cache.path(KEY).with_suffix(".lock").open("wb") as handle, pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]


def test_another_engine_is_not_locked(cache: EngineCache) -> None:
    taken = threading.Event()

    def another() -> None:
        with cache.lock(replace(KEY, precision="fp32")):
            taken.set()

    with cache.lock(KEY):
        thread = threading.Thread(target=another, daemon=True)
        thread.start()
        assert taken.wait(60), "the lock of one engine holds up another"
    thread.join(60)
    assert not thread.is_alive()
