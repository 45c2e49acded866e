"""With a clock: from `pip install` of the wheels to a first face that is labelled and exported, as a new user would.

    python tests/page/newcomer.py [--work DIR] [--json FILE]

The wheels are built first, without the clock. Then, in a fresh environment and an empty folder: install, start
`exalign annotate`, drop a picture, click once, export. Needs an index of packages, and Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).parent)]

from page_world import Window, astronaut_pictures, browser_environment, chromium
from playwright.sync_api import sync_playwright

from install.environments import build

#: Built from their own folders.
BESIDE = ("gateway", "annotator")


def wheels(folder: Path) -> list[str]:
    """What a new user installs."""
    found = build(folder)
    for name in BESIDE:
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
        subprocess.run([*pip, str(ROOT / name)], check=True)
    beside = [str(next(folder.glob(f"exalign_{name}-*.whl"))) for name in BESIDE]
    return [f"{found.code}[serve]", str(found.model), *beside]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder to work in; removed afterwards without it")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        (work / "wheels").mkdir(parents=True)
        (work / "home").mkdir()
        (picture,) = astronaut_pictures(work / "pictures", 1)
        packages = wheels(work / "wheels")
        outside = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and not k.startswith("EXALIGN_")}
        started, marks = time.monotonic(), dict[str, float]()

        def mark(what: str) -> None:
            marks[what] = round(time.monotonic() - started, 1)
            print(f"{marks[what]:6.1f} s  {what}", flush=True)

        subprocess.run([sys.executable, "-m", "venv", str(work / "env")], check=True)
        pip = [str(work / "env" / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True, env=outside)
        mark("installed")
        command = [str(work / "env" / "bin" / "exalign"), "annotate", "--no-browser", "--port", "0"]
        with subprocess.Popen(command, cwd=work / "home", env=outside, stdout=subprocess.PIPE, text=True) as page:
            assert page.stdout is not None
            url = json.loads(page.stdout.readline())["url"]
            mark("the page is there")
            with sync_playwright() as playwright:
                path = chromium()
                browser = playwright.chromium.launch(
                    executable_path=path, args=["--no-sandbox"], env=browser_environment()
                )
                here = Window(browser)
                here.page.goto(url)
                here.page.locator("#welcome input").set_input_files(str(picture))
                here.page.locator(".mark.suggested").wait_for(state="attached", timeout=600_000)
                mark("the first answer is seen")
                here.settled()
                x, y = here.place_of(here.active())
                here.saved_after(lambda: here.page.mouse.click(x + 3, y + 2))
                mark("a click has moved the face, and is saved")
                here.page.locator(".menu summary").click()
                with here.page.expect_download() as download:
                    here.page.locator('.menu a[href$="/coco"]').click()
                kept = json.loads(Path(download.value.path()).read_text("utf-8"))
                assert len(kept["annotations"]) == 1
                mark("exported")
                here.close()
                browser.close()
            page.terminate()
            assert page.wait(60) == 0, "exalign annotate did not end in good order"
        if arguments.json:
            arguments.json.write_text(json.dumps({"seconds_since_pip_install": marks}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
