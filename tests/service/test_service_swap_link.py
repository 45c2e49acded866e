"""The link in the directory of bundles is followed; what is wrong is said once, what has no room waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from drawn_bundles import write_bundle
from exalign_engine.bundle.bundle import MANIFEST
from exalign_service.config.schema import ModelConfig
from exalign_service.rpc.errors import BundlesFullError, NotServingError, PreconditionError
from exalign_service.serving.bundle_link import LOOK, BundleLink
from exalign_service.serving.loading import first_bundle
from manual_clock import ManualClock
from service_fakes import until
from swap_fakes import bundles, serving_bundles
from track_fakes import Talk

FULL, REFUSED = BundlesFullError("full", 1.0), PreconditionError("BUNDLE_REFUSED", "wrong")


class FakeSwap:
    """Is asked for bundles, and answers by what it is set to; counts what the link itself refuses."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.error: Exception | None = None

    def swap_ended(self, result: str) -> None:
        self.ended.append(result)

    async def to(self, path: Path) -> None:
        self.asked.append(path.name)
        if self.error is not None:
            raise self.error


def link_to(directory: Path, swap: FakeSwap) -> BundleLink:
    return BundleLink(directory, swap, swap, ManualClock())  # type: ignore[arg-type]


def point(directory: Path, name: str) -> None:
    """Let the link name another bundle, at once."""
    beside = directory / "beside"
    beside.symlink_to(name)
    beside.replace(directory / "current")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / MANIFEST).write_text(name)
    return tmp_path


async def test_each_bundle_that_the_link_names_is_asked_for_once(directory: Path) -> None:
    swap = FakeSwap()
    link = link_to(directory, swap)
    await link.look()
    assert swap.asked == []
    for name in ("a", "a", "b", "b", "a"):
        point(directory, name)
        await link.look()
        await link.look()
    assert swap.asked == ["a", "b", "a"]


async def test_a_bundle_that_was_refused_is_asked_for_again_when_it_has_changed(directory: Path) -> None:
    swap = FakeSwap()
    swap.error = REFUSED
    link = link_to(directory, swap)
    point(directory, "a")
    for _ in range(3):
        await link.look()
    assert swap.asked == ["a"]
    (directory / "a" / MANIFEST).write_text("mended")
    for _ in range(3):
        await link.look()
    assert swap.asked == ["a", "a"]


@pytest.mark.parametrize("error", [FULL, NotServingError("starting")])
async def test_what_is_not_possible_yet_is_asked_for_at_each_look(directory: Path, error: Exception) -> None:
    swap = FakeSwap()
    swap.error = error
    link = link_to(directory, swap)
    point(directory, "a")
    for _ in range(3):
        await link.look()
    swap.error = None
    for _ in range(3):
        await link.look()
    assert swap.asked == ["a"] * 4


async def test_a_link_that_leads_nowhere_changes_nothing(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    swap = FakeSwap()
    link = link_to(directory, swap)
    point(directory, "a")
    await link.look()
    point(directory, "nothing")
    for _ in range(3):
        await link.look()
    assert (swap.asked, swap.ended) == (["a"], ["refused"])
    assert sum("names no bundle" in record.message for record in caplog.records) == 1


async def look_again(clock: ManualClock) -> None:
    """Let the server look once more, after it has looked last."""
    await until(lambda: clock.waits(LOOK))
    await clock.advance(LOOK)


async def test_a_server_starts_with_the_linked_bundle_and_follows_the_link(tmp_path: Path) -> None:
    clock, directory = ManualClock(), bundles(tmp_path / "bundles")
    point(directory, "b1")
    async with serving_bundles(directory, clock) as it:
        assert (await it.predict()).bundle_id == it.id_of("b1")
        old = Talk(it.stub.TrackVideo())
        await old.open()
        point(directory, "b2")
        await look_again(clock)
        await until(lambda: it.sample("exalign_swaps_total", result="used") == 1)
        assert (await it.predict()).bundle_id == it.id_of("b2")
        write_bundle(directory / "b3", 3)
        point(directory, "b3")
        await look_again(clock)
        await until(lambda: clock.waits(LOOK))
        assert (await it.predict()).bundle_id == it.id_of("b2")  # there is no room
        await old.close()
        await it.only("b2")
        await look_again(clock)
        await until(lambda: it.sample("exalign_swaps_total", result="used") == 2)
        await it.only("b3")


def test_without_a_link_the_other_setting_says_what_answers_first(tmp_path: Path) -> None:
    assert first_bundle(ModelConfig(bundle_directory=tmp_path)) is None
    both = ModelConfig(bundle=tmp_path / "other", bundle_directory=tmp_path)
    assert first_bundle(both) == tmp_path / "other"
    write_bundle(tmp_path / "b0", 0)
    point(tmp_path, "b0")
    assert first_bundle(both) == tmp_path / "b0"
