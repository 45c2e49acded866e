"""Pictures labelled in a browser: by clicks or by keyboard alone, through reloads and restarts, by two at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page_world import Process, Window, astronaut_pictures, running, start_page, start_server

from exalign_client.formats import FORMATS

#: A click lands on a pixel of the screen; positions are kept to a thousandth.
NEAR = 0.02


def document(project: Path, picture: Path) -> dict[str, Any]:
    """The annotation file of a picture."""
    found: dict[str, Any] = json.loads((project / f"{picture.name}.json").read_text("utf-8"))
    return found


def face_of(project: Path, picture: Path) -> dict[str, Any]:
    """What is kept of the one face of a picture."""
    (face,) = document(project, picture)["annotations"]
    found: dict[str, Any] = face["exalign"]
    return found


def clicks(project: Path, picture: Path) -> dict[int, tuple[float, float]]:
    """Of the one face of a picture."""
    (face,) = document(project, picture)["annotations"]
    return {one["landmark"]: (one["x"], one["y"]) for one in face["exalign"]["evidence"] if one["kind"] == "click"}


def exported(window: Window, tmp_path: Path, form: str) -> Path:
    """The file that the menu gives."""
    window.page.locator(".menu summary").click()
    with window.page.expect_download() as download:
        window.page.locator(f'.menu a[href$="/{form}"]').click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    window.page.keyboard.press("Escape")
    return path


# Long: one story, as a person lives it.
def test_ten_faces_with_clicks_only(model: Process, window: Callable[..., Window], tmp_path: Path) -> None:
    """Undo, a reload and a restart of the page's server in the middle; the export is what was clicked."""
    pictures, project = astronaut_pictures(tmp_path / "pictures", 10), tmp_path / "project"
    address = model.event["address"]
    page = start_page([tmp_path / "pictures"], project, address)
    port = page.event["url"].split(":")[-1].strip("/")
    clicked: dict[str, dict[int, tuple[float, float]]] = {}
    with running(page):
        here = window().open(page.event["url"])
        for number, picture in enumerate(pictures):
            if number:
                here.choose(picture.name)
            clicked[picture.name] = {}
            for dx, dy in ((6, 4), (-5, 3)):
                landmark = here.active()
                x, y = (round(at + by) for at, by in zip(here.place_of(landmark), (dx, dy), strict=True))
                here.saved_after(lambda x=x, y=y: here.page.mouse.click(x, y))
                clicked[picture.name][landmark] = here.in_picture(x, y)
            if number == 2:  # a slip, and back
                here.saved_after(lambda: here.page.mouse.click(*here.place_of(here.active())))
                here.saved_after(lambda: here.page.get_by_role("button", name="Undo", exact=True).click())
            if number == 4:
                here.page.reload()
                here.settled()
                assert here.page.locator(".mark.clicked").count() == 2
                assert here.page.get_by_role("button", name="Undo", exact=True).is_enabled()
            if number == 6:
                page.stop()
                landmark = here.active()
                clicked[picture.name][landmark] = here.drop(landmark, 9, 9)
                here.page.wait_for_selector("#banner:not([hidden])")
                assert here.page.locator("#saved").text_content() == "not saved yet"
                page = start_page([tmp_path / "pictures"], project, address, "--port", port)
                here.page.wait_for_selector("#banner", state="hidden")
                here.settled()
            here.saved_after(lambda: here.page.get_by_role("button", name="Done", exact=True).click())
        assert here.page.locator("#items .done").count() == 10
        file = exported(here, tmp_path, "coco")
    with running(page):
        for labelled in FORMATS["coco"].read(file):
            (face,) = labelled.faces
            for landmark, place in clicked[labelled.name].items():
                assert face.points[landmark] == pytest.approx(place, abs=NEAR), (labelled.name, landmark)
                assert face.visibility[landmark] == 2
        assert all(set(clicks(project, picture)) == set(clicked[picture.name]) for picture in pictures)


def test_a_click_moves_the_whole_face(model: Process, window: Callable[..., Window], tmp_path: Path) -> None:
    pictures, project = astronaut_pictures(tmp_path / "pictures", 1), tmp_path / "project"
    with running(start_page(pictures, project, model.event["address"])) as page:
        here = window().open(page.event["url"])
        before = [here.place_of(n) for n in range(68)]
        x, y = here.place_of(33)
        here.page.mouse.move(x, y)
        here.page.mouse.down()
        here.page.mouse.move(x + 60, y, steps=4)
        here.saved_after(here.page.mouse.up)
        after = [here.place_of(n) for n in range(68)]
        moved = sum(abs(a[0] - b[0]) > 1 for a, b in zip(before, after, strict=True))
        assert moved > 34
        assert after[33] == pytest.approx((x + 60, y), abs=1.0)


def test_all_of_it_by_keyboard(model: Process, window: Callable[..., Window], tmp_path: Path) -> None:
    """Place, undo, redo, hide, a region, an exclusion, a face taken out and one drawn, the next picture, done."""
    pictures, project = astronaut_pictures(tmp_path / "pictures", 2), tmp_path / "project"
    with running(start_page(pictures, project, model.event["address"])) as page:
        here = window().open(page.event["url"])
        keys = here.page.keyboard

        def press(key: str, times: int = 1) -> None:
            for _ in range(times):
                keys.press(key)

        def saved(key: str) -> None:
            here.saved_after(lambda: press(key))

        before = here.active()
        press("s")
        landmark = here.active_but(before)
        press("ArrowRight", 3)
        press("Shift+ArrowDown")
        saved("Enter")
        assert set(clicks(project, pictures[0])) == {landmark}
        saved("z")
        assert clicks(project, pictures[0]) == {}
        saved("Shift+z")
        assert set(clicks(project, pictures[0])) == {landmark}

        press("n")
        saved("h")
        press("r")
        press("Alt+ArrowRight", 2)
        saved("Enter")
        press("x")
        press("Shift+ArrowRight", 2)
        saved("Enter")
        (face,) = document(project, pictures[0])["annotations"]
        assert [one["kind"] for one in face["exalign"]["evidence"]] == ["click", "inside", "outside"]
        assert len(face["exalign"]["hidden"]) == 1
        assert face["keypoints"][3 * face["exalign"]["hidden"][0] + 2] == 1

        press("j")
        here.page.locator('#items [aria-current][title="face 1.jpg"]').wait_for()
        here.settled()
        saved("Shift+Delete")
        assert document(project, pictures[1])["annotations"] == []
        press("b")
        press("Shift+ArrowUp", 12)
        here.saved_after(lambda: press("Enter"))
        assert len(document(project, pictures[1])["annotations"]) == 1
        saved("e")
        assert document(project, pictures[1])["exalign"]["done"] is True
        press("?")
        assert here.page.get_by_role("dialog").is_visible()
        press("Escape")


def test_the_model_is_restarted_in_the_middle(window: Callable[..., Window], tmp_path: Path) -> None:
    pictures, project = astronaut_pictures(tmp_path / "pictures", 1), tmp_path / "project"
    server = start_server()
    address = server.event["address"]
    with running(server), running(start_page(pictures, project, address)) as page:
        here = window().open(page.event["url"])
        first = here.active()
        x, y = here.place_of(first)
        here.saved_after(lambda: here.page.mouse.click(x + 5, y))
        server.stop()
        with running(start_server(int(address.rpartition(":")[2]))):
            second = here.active()
            x, y = here.place_of(second)
            here.saved_after(lambda: here.page.mouse.click(x, y + 5))
            assert set(clicks(project, pictures[0])) == {first, second}


def test_two_browsers_do_not_overwrite_each_other(
    model: Process, window: Callable[..., Window], tmp_path: Path
) -> None:
    """One labels, the other sees it and that it is not theirs; taken over, it is the other way about."""
    pictures, project = astronaut_pictures(tmp_path / "pictures", 1), tmp_path / "project"
    address = model.event["address"]
    with running(start_page(pictures, project, address)) as one, running(start_page(pictures, project, address)) as two:
        mine = window().open(one.event["url"])
        theirs = window()
        theirs.page.goto(two.event["url"])
        theirs.page.get_by_text("works on this picture in another window").wait_for()
        assert theirs.page.get_by_role("button", name="Inside").is_disabled()
        x, y = mine.place_of(mine.active())
        mine.saved_after(lambda: mine.page.mouse.click(x + 5, y + 5))
        theirs.page.locator(".mark.clicked").wait_for()  # what was saved is seen, without a reload

        theirs.page.get_by_role("button", name="Take it over").click()
        theirs.settled()
        mine.refusals = True
        before = clicks(project, pictures[0])
        mine.page.mouse.click(*mine.place_of(mine.active()))
        mine.page.get_by_text("works on this picture in another window").wait_for()
        assert clicks(project, pictures[0]) == before
        x, y = theirs.place_of(theirs.active())
        theirs.saved_after(lambda: theirs.page.mouse.click(x + 4, y))
        assert len(clicks(project, pictures[0])) == 2


def test_a_newcomer_drops_a_picture_and_sees_the_answer(
    model: Process, window: Callable[..., Window], tmp_path: Path
) -> None:
    (picture,) = astronaut_pictures(tmp_path / "elsewhere", 1)
    project = tmp_path / "project"
    with running(start_page([], project, model.event["address"])) as page:
        here = window()
        here.page.goto(page.event["url"])
        here.page.get_by_text("Drop a picture of a face here").wait_for()
        here.page.locator("#welcome input").set_input_files(str(picture))
        here.page.locator(".mark.suggested").wait_for(state="attached")
        here.settled()
        assert (project / "pictures" / "face_0.jpg").read_bytes() == picture.read_bytes()
        assert (project / "face_0.jpg.json").exists()


def test_a_range_of_the_pose(model: Process, window: Callable[..., Window], tmp_path: Path) -> None:
    """Dragged over the map, and written by keyboard; the answer's pose keeps to it, and each can be taken back."""
    pictures, project = astronaut_pictures(tmp_path / "pictures", 1), tmp_path / "project"
    with running(start_page(pictures, project, model.event["address"])) as page:
        here = window().open(page.event["url"])
        box = here.page.locator("#panel .map").bounding_box()
        assert box is not None

        def drag() -> None:
            here.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.3)
            here.page.mouse.down()
            here.page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.7, steps=3)
            here.page.mouse.up()

        here.saved_after(drag)
        (dragged,) = face_of(project, pictures[0])["evidence"]
        assert dragged["kind"] == "pose"
        low, high = dragged["yaw"]
        assert 0 < low < high
        assert low - 1 <= face_of(project, pictures[0])["pose"][0] <= high + 1
        here.page.get_by_role("button", name="Take back: yaw").wait_for()

        here.page.get_by_label("Angle").select_option("pitch")
        here.page.get_by_label("From, degrees").fill("-5")
        here.page.get_by_label("To, degrees").fill("20")
        here.saved_after(lambda: here.page.keyboard.press("Enter"))
        assert face_of(project, pictures[0])["evidence"] == [dragged, {"kind": "pose", "pitch": [-5.0, 20.0]}]
        here.saved_after(here.page.get_by_role("button", name="Take all back").click)
        assert face_of(project, pictures[0])["evidence"] == []
