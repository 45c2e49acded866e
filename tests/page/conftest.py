"""The page in a real browser. Asked for by `make page` alone: it needs Chromium, Playwright and a real model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from page_world import Process, Window
    from playwright.sync_api import Browser

# Long runs of a browser are no part of `make test`, on whatever machine.
collect_ignore_glob = [] if os.environ.get("EXALIGN_PAGE") else ["test_*.py"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    from page_world import browser_environment, chromium
    from playwright.sync_api import sync_playwright

    path = chromium()
    assert path is not None, "no Chromium: apt-get install chromium, or tests/page/chromium.sh"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], env=browser_environment())
        yield found
        found.close()


@pytest.fixture(scope="session")
def model() -> Iterator[Process]:
    """A server with the default model, for all tests."""
    from page_world import running, start_server

    with running(start_server()) as server:
        yield server


@pytest.fixture
def window(browser: Browser) -> Iterator[Callable[..., Window]]:
    """Opens windows; in none of them anything may go wrong."""
    from page_world import Window

    opened: list[Window] = []

    def make(size: tuple[int, int] = (1280, 800)) -> Window:
        opened.append(Window(browser, size))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
