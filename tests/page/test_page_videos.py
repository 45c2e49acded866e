"""A video labelled in a browser: one click, which goes both ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from page_world import PATIENCE, Process, Window, astronaut_video, running, start_page
from playwright.sync_api import Route

FRAMES, HIDDEN = 24, range(10, 15)


def points(project: Path, clip: Path) -> np.ndarray:
    """(frames, 68, 2), as they are kept."""
    kept = json.loads((project / f"{clip.name}.frames.json").read_text("utf-8"))["exalign"]
    return np.array([frame["answer"]["points"] for frame in kept["frames"]])


def kept_revision(project: Path, clip: Path) -> int:
    return int(json.loads((project / f"{clip.name}.frames.json").read_text("utf-8"))["exalign"]["revision"])


def test_one_click_goes_through_the_video_both_ways(
    model: Process, window: Callable[..., Window], tmp_path: Path
) -> None:
    clip, project = astronaut_video(tmp_path / "clip.mp4", FRAMES, HIDDEN), tmp_path / "project"
    with running(start_page([clip], project, model.event["address"])) as page:
        here = window()
        here.page.goto(page.event["url"])
        here.at_frame(f"frame 1 of {FRAMES}")
        before = points(project, clip)

        button = here.page.get_by_role("button", name="Next: frame")  # where a click helps most
        wanted = int((button.text_content() or "").split()[2].strip(","))
        button.click()
        here.at_frame(f"frame {wanted} of {FRAMES}")
        frame, slider = HIDDEN[2], here.page.get_by_role("slider")
        box = slider.bounding_box()
        assert box is not None
        here.page.mouse.click(box["x"] + box["width"] * (frame + 0.5) / FRAMES, box["y"] + 20)
        # The panel is busy until the frame has its own face, and the landmark to click in it.
        here.at_frame(f"frame {frame + 1} of {FRAMES}, hidden")
        here.page.locator("#panel[aria-busy=false]").wait_for(state="attached")
        landmark = here.active()
        clicked = here.drag(landmark, 16, 10)
        here.until(lambda: kept_revision(project, clip) == 1)

        after = points(project, clip)
        moved = np.linalg.norm(after - before, axis=2).mean(axis=1)
        assert np.abs(after[frame, landmark] - clicked).max() < 1.0
        assert moved[frame] > 0.2
        assert moved[frame - 1] > 0.02
        assert moved[frame + 1] > 0.02

        here.page.reload()
        here.at_frame(f"frame {frame + 1} of {FRAMES}")
        here.page.locator(f'.mark.clicked[data-landmark="{landmark}"]').wait_for(state="attached")


def test_a_video_by_keyboard(model: Process, window: Callable[..., Window], tmp_path: Path) -> None:
    clip, project = astronaut_video(tmp_path / "clip.mp4", 12), tmp_path / "project"
    with running(start_page([clip], project, model.event["address"])) as page:
        here = window()
        here.page.goto(page.event["url"])
        here.at_frame("frame 1 of 12")
        for _ in range(3):
            here.page.keyboard.press(".")
        here.at_frame("frame 4 of 12")
        here.page.keyboard.press("s")
        here.page.locator(".mark.active").wait_for(state="attached", timeout=PATIENCE)
        here.page.keyboard.press("Shift+ArrowDown")
        here.saved_after(lambda: here.page.keyboard.press("Enter"))
        here.page.keyboard.press(",")
        here.at_frame("frame 3 of 12")
        here.page.keyboard.press("t")
        here.at_frame("frame 4 of 12")
        here.saved_after(lambda: here.page.keyboard.press("z"))
        assert json.loads((project / "clip.mp4.json").read_text("utf-8"))["exalign"]["frames"] == []
        here.page.get_by_role("slider").focus()
        here.page.keyboard.press("ArrowRight")
        here.at_frame("frame 5 of 12")


def test_a_click_is_about_the_frame_that_is_shown(
    model: Process, window: Callable[..., Window], tmp_path: Path
) -> None:
    """Whatever the network delays: no click before the frame's own face is there, and none pulls anybody back."""
    clip, project = astronaut_video(tmp_path / "clip.mp4", 12), tmp_path / "project"
    with running(start_page([clip], project, model.event["address"])) as page:
        here = window()
        here.page.goto(page.event["url"])
        here.at_frame("frame 1 of 12")
        here.page.locator("#panel[aria-busy=false]").wait_for(state="attached")
        held: list[Route] = []
        saves: list[str] = []
        here.page.on("request", lambda request: saves.append(request.url) if request.method == "PUT" else None)

        here.page.route("**/frames/4/face", lambda route: held.append(route))  # playwright wants to mark it
        for frame in range(2, 6):
            here.page.keyboard.press(".")
            here.at_frame(f"frame {frame} of 12")
        here.drop(30, 12, 8)
        for route in held:
            route.continue_()
        here.page.locator("#panel[aria-busy=false]").wait_for(state="attached")
        assert saves == []

        held.clear()
        here.page.unroute("**/frames/4/face")
        here.page.route("**/frames/4/face", lambda route: held.append(route))  # playwright wants to mark it
        here.drop(30, 12, 8)
        here.page.locator("#panel[aria-busy=true]").wait_for(state="attached")
        here.page.keyboard.press(".")
        here.at_frame("frame 6 of 12")
        with here.page.expect_response("**/frames/5/face"):
            for route in held:
                route.continue_()
        here.settled()
        here.at_frame("frame 6 of 12")
        assert not here.page.locator(".mark.clicked").count()
        kept = json.loads((project / "clip.mp4.json").read_text("utf-8"))["exalign"]["frames"]
        assert [one["frame"] for one in kept] == [4]
        here.page.keyboard.press("z")
        here.at_frame("frame 5 of 12")
