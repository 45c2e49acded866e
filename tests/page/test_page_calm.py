"""A hurried person and a slow server: nothing moves under the pointer, and nothing that was said is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from page_world import Process, Window, astronaut_pictures, running, start_page
from playwright.sync_api import Route

#: Counts how often the picture's room was another than before; the first time is no change.
WATCH = "new ResizeObserver(() => { window.sizes = (window.sizes ?? 0) + 1 }).observe(document.querySelector('#stage'))"


def said(project: Path, picture: Path) -> dict[int, tuple[float, float]]:
    """The clicks that are kept of the one face of a picture."""
    (face,) = json.loads((project / f"{picture.name}.json").read_text("utf-8"))["annotations"]
    return {one["landmark"]: (one["x"], one["y"]) for one in face["exalign"]["evidence"]}


@pytest.mark.parametrize("size", [(1280, 800), (834, 1112)], ids=["1280", "834"])
def test_the_picture_keeps_its_place_whatever_is_said_about_it(
    model: Process, window: Callable[..., Window], tmp_path: Path, size: tuple[int, int]
) -> None:
    """A line that became two pushed it down while somebody dragged: that click was .9 pixels beside."""
    pictures, project = astronaut_pictures(tmp_path / "pictures", 1), tmp_path / "project"
    with running(start_page(pictures, project, model.event["address"])) as page:
        here = window(size).open(page.event["url"])
        here.page.evaluate(WATCH)
        before = here.in_picture(400, 300)
        for _ in range(68):  # the hint names each
            here.page.keyboard.press("n")
            here.drawn()
        here.page.route("**/faces/*", lambda route: route.abort("connectionrefused"))
        here.drop(30, 9, 9)
        here.page.wait_for_selector("#banner:not([hidden])")
        assert here.page.locator("#saved").text_content() == "not saved yet"
        here.drawn()
        here.page.unroute("**/faces/*")
        here.page.wait_for_selector("#banner", state="hidden")
        here.settled()
        assert here.in_picture(400, 300) == before
        assert here.page.evaluate("window.sizes") == 1


def test_what_is_said_before_the_server_answers_is_kept(
    model: Process, window: Callable[..., Window], tmp_path: Path
) -> None:
    """Each is added to what is saved by then, and what is undone is the last of them."""
    pictures, project = astronaut_pictures(tmp_path / "pictures", 1), tmp_path / "project"
    with running(start_page(pictures, project, model.event["address"])) as page:
        here = window().open(page.event["url"])
        held: list[Route] = []
        here.page.route("**/faces/*", lambda route: held.append(route) if len(held) < 2 else route.continue_())
        put = {landmark: here.drop(landmark, 7, 5) for landmark in (8, 36)}
        here.until(lambda: len(held) == 1)
        with here.page.expect_response("**/faces/1"):
            held[0].continue_()
        here.until(lambda: len(held) == 2)
        assert here.page.locator(".mark.clicked").count() == 2
        put[54] = here.drop(54, 7, 5)
        here.drop(30, 7, 5)
        here.page.keyboard.press("z")
        held[1].continue_()
        here.until(lambda: here.page.locator("#saved").text_content() == "saved")
        here.settled()
        kept = said(project, pictures[0])
        assert set(kept) == set(put)
        for landmark, place in put.items():
            assert kept[landmark] == pytest.approx(place, abs=0.02)
        assert here.page.locator(".mark.clicked").count() == 3
