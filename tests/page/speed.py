"""From the click to the frame with the new face, in Debian's Chromium; beside another checkout, in turns.

    python tests/page/speed.py [--beside DIR] [--pictures 4] [--clicks 15] [--json FILE]

One server answers both pages. Each face is clicked in the one page, then in the other: what else the machine does falls
on both alike. A page is built and committed, so that another checkout needs no npm.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).parent)]

import numpy as np
from page_world import Window, astronaut_pictures, browser_environment, chromium, running, start_page, start_server
from playwright.sync_api import sync_playwright

TOOK = "performance.getEntriesByName('click-to-redraw').map(one => one.duration)"
CLEAR = "performance.clearMeasures('click-to-redraw')"


def clicked(window: Window, clicks: int) -> list[float]:
    """Milliseconds of each click, all on the face that is open."""
    window.page.evaluate(CLEAR)
    for turn in range(clicks):
        x, y = window.place_of(window.active())
        window.saved_after(lambda x=x + turn % 3, y=y + turn % 2: window.page.mouse.click(x, y))
    window.page.wait_for_timeout(50)
    found: list[float] = window.page.evaluate(TOOK)
    assert len(found) == clicks
    return found


def figures(took: list[float]) -> dict[str, float]:
    """Milliseconds."""
    return {f"p{q}": round(float(np.percentile(took, q)), 1) for q in (50, 95, 100)}


def measure(trees: dict[str, Path], pictures: int, clicks: int) -> dict[str, Any]:
    """Figures of each checkout, and the median of the ratios of pairs of clicks."""
    took: dict[str, list[float]] = {name: [] for name in trees}
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running(start_server()))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox"], env=browser_environment()
        )
        stack.callback(browser.close)
        faces = astronaut_pictures(work / "pictures", pictures)
        windows = {}
        for name, tree in trees.items():
            # Whoever is first in the path is imported; the rest is shared.
            paths = os.pathsep.join([str(tree / "annotator"), os.environ.get("PYTHONPATH", "")])
            page = start_page(faces, work / name, server.event["address"], variables={"PYTHONPATH": paths})
            stack.enter_context(running(page))
            windows[name] = Window(browser)
            stack.callback(windows[name].close)
            windows[name].open(page.event["url"])
        for number, face in enumerate(faces):
            for name, window in windows.items():
                window.page.bring_to_front()
                if number:
                    window.choose(face.name)
                took[name] += clicked(window, clicks)
    found: dict[str, Any] = {
        "clicks": pictures * clicks,
        "click_to_redraw_ms": {n: figures(t) for n, t in took.items()},
    }
    if len(took) == 2:
        ours, other = (np.array(one) for one in took.values())
        found["ratio"] = {
            "median_of_pairs": round(float(np.median(ours / other)), 3),
            "of_p50": round(float(np.percentile(ours, 50) / np.percentile(other, 50)), 3),
            "of_p95": round(float(np.percentile(ours, 95) / np.percentile(other, 95)), 3),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, help="another checkout")
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--clicks", type=int, default=15, help="of each picture")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    trees = {"this": ROOT} | ({} if arguments.beside is None else {"beside": arguments.beside.resolve()})
    found = measure(trees, arguments.pictures, arguments.clicks)
    print(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
