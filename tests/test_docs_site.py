"""The site is built strictly: every link leads somewhere, and the reader's browser fetches nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: What a browser fetches by itself: by these elements and attributes.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}

#: Of a link, these only say where something is.
NOT_FETCHED = {"canonical", "next", "prev", "alternate"}


class Fetches(HTMLParser):
    """What a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        given = dict(attrs)
        if tag in FETCHED and not (tag == "link" and set((given.get("rel") or "").split()) & NOT_FETCHED):
            self.found.append(given.get(FETCHED[tag]) or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("mkdocs", "material", "mkdocstrings", "latex2mathml", "grpc_tools"):
        pytest.importorskip(module, reason="needs mkdocs-material (extra 'docs')")
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(place)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def pages(site: Path) -> Iterator[tuple[Path, str]]:
    for path in site.rglob("*.html"):
        yield path, path.read_text("utf-8")


def test_the_readers_browser_fetches_nothing_from_elsewhere(site: Path) -> None:
    for path, text in pages(site):
        parser = Fetches()
        parser.feed(text)
        assert len(parser.found) > 3, path
        elsewhere = [address for address in parser.found if re.match(r"(https?:)?//", address)]
        assert not elsewhere, (path, elsewhere)
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text("utf-8")), style


def test_equations_and_references_are_there(site: Path) -> None:
    found = {str(path.relative_to(site)): text for path, text in pages(site)}
    assert found["concepts.html"].count("<math") >= 5
    assert "$$" not in re.sub(r"<code>.*?</code>", "", found["concepts.html"], flags=re.DOTALL)
    for name in ("Client.track", "methods.predict", "methods.condition", "errors.InvalidRequestError"):
        assert 'id="exalign_client.' in found["api/client.html"]
        assert f'{name}"' in found["api/client.html"], name
    assert "Aligner" in found["api/engine.html"]
    for message in ("PredictLandmarksRequest", "TrackVideo", "Limits"):
        assert f'id="{message.lower()}"' in found["api/contract.html"] or message in found["api/contract.html"]
