"""What the tests of the page share: servers as a person starts them, pictures that may ship, a watched browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import av
import cv2
import numpy as np
import skimage.data
from playwright.sync_api import Browser, Locator, Page, Request

from outside_programs import UNPACKED, environment, program

#: Milliseconds: machines of CI are slow, and share their cores.
PATIENCE = 240_000

#: By so much the page's own thread is slowed down, to look for what hangs on the order of things.
SLOWER = float(os.environ.get("EXALIGN_PAGE_SLOWER", "1"))

#: The browser's own words about a server that a test has stopped: no fault of the page.
OF_A_STOPPED_SERVER = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")

#: The browser's own words about a refusal that a test brings about.
OF_A_REFUSAL = ("status of 401", "status of 409", "status of 503")


def chromium() -> str | None:
    """The browser: unpacked, or installed. Debian's script looks under /usr alone."""
    unpacked = UNPACKED / "usr/lib/chromium/chromium"
    return str(unpacked) if unpacked.exists() else program("chromium")


def browser_environment() -> dict[str, str]:
    """With the libraries that were unpacked beside it."""
    found = environment()
    found["LD_LIBRARY_PATH"] += "".join(f":{p}" for p in (UNPACKED / "usr/lib").glob("*-linux-gnu/pulseaudio"))
    return found


def astronaut_pictures(folder: Path, count: int) -> list[Path]:
    """So many pictures of the one face that may ship: turned, mirrored, nearer, darker."""
    picture = skimage.data.astronaut()[..., ::-1]
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for number in range(count):
        turn = cv2.getRotationMatrix2D((224, 128), 4.0 * (number % 5 - 2), 1.0 + 0.12 * (number % 4))
        made = cv2.warpAffine(picture, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
        made = made[:, ::-1] if number % 2 else made
        made = np.clip(made * (1.0 - 0.05 * (number % 3)), 0, 255).astype(np.uint8)
        path = folder / f"face {number}.jpg"
        assert cv2.imwrite(str(path), made)
        found.append(path)
    return found


def astronaut_video(path: Path, frames: int, hidden: range = range(0)) -> Path:
    """A video of that face, which moves and is covered for a while."""
    picture = skimage.data.astronaut()
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 480, 360, "yuv420p"
        for number in range(frames):
            turn = cv2.getRotationMatrix2D((224, 128), 6 * np.sin(number / 6), 1.3)
            turn[:, 2] += 16 + 20 * np.sin(number / 9), 60
            made = cv2.warpAffine(picture, turn, (480, 360), borderMode=cv2.BORDER_REPLICATE)
            if number in hidden:
                cv2.rectangle(made, (180, 100), (340, 300), (90, 90, 90), -1)
            for packet in stream.encode(av.VideoFrame.from_ndarray(made, format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


@dataclass
class Process:
    """A server of ours.

    Attributes:
        process: it.
        event: what it said when it served.
        log: what it wrote to standard error.
    """

    process: subprocess.Popen[bytes]
    event: dict[str, Any]
    log: list[str] = field(default_factory=list)

    def stop(self, how: int = signal.SIGTERM) -> int:
        """End it."""
        self.process.send_signal(how)
        return self.process.wait(60)


def start(module: str, *arguments: str, variables: Mapping[str, str] | None = None) -> Process:
    """Start a command, and wait until it serves; ``variables`` are added to its environment."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    log: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    threading.Thread(target=_read, args=(process.stderr, log), daemon=True).start()
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "serving":
            return Process(process, event, log)
    raise AssertionError("\n".join(log))


def _read(stream: IO[bytes], log: list[str]) -> None:
    for line in stream:
        log.append(line.decode(errors="replace").rstrip())


def start_server(port: int = 0) -> Process:
    """The model, behind gRPC."""
    arguments = ["--address", f"127.0.0.1:{port}", "--metrics-address", "127.0.0.1:0"]
    return start("exalign_service.cli", "serve", *arguments)


def start_page(
    paths: Sequence[Path], project: Path, server: str | None, *more: str, variables: Mapping[str, str] | None = None
) -> Process:
    """``exalign annotate``."""
    of_server = [] if server is None else ["--server", server]
    return start(
        "exalign_client.commands.cli",
        "annotate",
        *map(str, paths),
        "--project",
        str(project),
        "--no-browser",
        *of_server,
        *more,
        variables=variables,
    )


@contextmanager
def running(process: Process) -> Iterator[Process]:
    """End it with the block."""
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.process.kill()
            process.process.wait(30)


def _saves(request: Request) -> bool:
    """Whether a request changes a document."""
    return request.method in ("PUT", "DELETE") or request.url.endswith(("/faces", "/done", "/detect"))


class Window:
    """A page that is open in a browser, and everything that went wrong in it.

    Args:
        browser: that it opens in.
        size: of the window, pixels.
    """

    def __init__(self, browser: Browser, size: tuple[int, int] = (1280, 800)) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        if SLOWER > 1:
            self.context.new_cdp_session(self.page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        self.wrong: list[str] = []
        #: Whether a refusal is expected.
        self.refusals = False
        self.page.on("console", lambda message: self._said(message.type, message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))

    def _said(self, kind: str, text: str) -> None:
        expected = any(word in text for word in OF_A_STOPPED_SERVER)
        expected |= self.refusals and any(word in text for word in OF_A_REFUSAL)
        if kind in ("error", "warning") and not expected:
            self.wrong.append(f"{kind}: {text}")

    def open(self, url: str) -> Window:
        """Go there, and wait for the answer about the first face."""
        self.page.goto(url)
        self.settled()
        return self

    def settled(self) -> None:
        """Wait until all is saved, and the next click is suggested."""
        self.page.locator("#saved").get_by_text("saved", exact=True).wait_for()
        self.page.locator("#panel[aria-busy=false]").wait_for(state="attached")

    def choose(self, item: str) -> None:
        """Open an item of the list; what is settled then is that one."""
        self.page.locator(f'#items button[title="{item}"]').click()
        self.page.locator(f'#items [aria-current][title="{item}"]').wait_for()
        self.settled()

    def at_frame(self, text: str) -> None:
        """Wait until a video is followed to its end, and the line over its timeline begins like this."""
        self.page.locator("#timeline .figure").filter(has_text=re.compile(f"^{re.escape(text)}")).wait_for()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the page does not show; the browser goes on meanwhile."""
        end = time.monotonic() + PATIENCE / 1000
        while not condition():
            assert time.monotonic() < end
            self.page.wait_for_timeout(50)

    def drag(self, landmark: int, dx: int, dy: int) -> tuple[float, float]:
        """Drag a landmark by pixels of the screen, and wait until that is saved; where to, in the picture."""
        found: list[tuple[float, float]] = []
        self.saved_after(lambda: found.append(self.drop(landmark, dx, dy)))
        return found[0]

    def drop(self, landmark: int, dx: int, dy: int) -> tuple[float, float]:
        """Drag a landmark by pixels of the screen; where to, in the picture."""
        x, y = self.place_of(landmark)
        to = round(x + dx), round(y + dy)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(*to, steps=4)
        self.page.mouse.up()
        return self.in_picture(*to)

    def place_of(self, landmark: int) -> tuple[float, float]:
        """Where a landmark is on the screen."""
        box = self.mark(landmark).locator(".dot").bounding_box()
        assert box is not None
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def mark(self, landmark: int) -> Locator:
        """A landmark of the face."""
        return self.page.locator(f'.mark[data-landmark="{landmark}"]')

    def active(self) -> int:
        """The landmark that a click places."""
        return int(self.page.locator(".mark.active").get_attribute("data-landmark") or -1)

    def active_but(self, before: int) -> int:
        """The landmark that a click places, once it is another one: a key is seen with the next frame."""
        self.page.locator(f'.mark.active:not([data-landmark="{before}"])').wait_for(state="attached")
        return self.active()

    def in_picture(self, x: float, y: float) -> tuple[float, float]:
        """A place on the screen as pixels of the picture, by the browser's own word on where it draws."""
        found: dict[str, float] = self.page.evaluate(
            "([x, y]) => { const p = new DOMPoint(x, y)"
            ".matrixTransform(document.querySelector('#stage svg').getScreenCTM().inverse());"
            " return {x: p.x, y: p.y}; }",
            [x, y],
        )
        return found["x"], found["y"]

    def saved_after(self, action: Any) -> None:
        """Do something, and wait until it is saved, and that is seen."""
        with self.page.expect_response(lambda answer: _saves(answer.request)):
            action()
        # Where the answer comes before a frame was drawn, the page still says "saved" of what was before.
        self.drawn()
        self.settled()

    def drawn(self) -> None:
        """Wait until what has happened so far is drawn: the face, and a frame later what is beside it."""
        self.page.evaluate(
            "async () => { for (const turn of [1, 2])"
            " await new Promise(done => requestAnimationFrame(() => setTimeout(done))); }"
        )

    def close(self) -> None:
        """Close it; nothing must have gone wrong in it."""
        self.context.close()
        assert not self.wrong, "\n".join(self.wrong)
