"""The calibration report: a page that stands by itself and a picture, from the card of a bundle."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import pytest

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.calibration.report import write_report
from exalign_engine.cli import main
from exalign_engine.geometry.landmarks import GROUPS

#: Elements without an end.
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Balanced(HTMLParser):
    """Fails where elements are not closed in order, and keeps ids and what refers to them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        self.outside += [str(v) for k, v in attrs if k in ("src", "href", "xlink:href") and not str(v).startswith("#")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(default_bundle_path())


@pytest.fixture(scope="module")
def page(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("report") / "out.html"
    write_report(bundle, out)
    return out.read_text(encoding="utf-8")


def test_the_page_is_whole_and_fetches_nothing(page: str) -> None:
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert parser.outside == []
    assert "<script" not in page
    assert "@import" not in page
    assert page.count("<svg") == 6


def test_ids_of_one_drawing_are_not_those_of_another(page: str) -> None:
    parser = Balanced()
    parser.feed(page)
    assert len(parser.ids) == len(set(parser.ids))
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', page))
    assert used
    assert used <= set(parser.ids)


def test_the_page_tells_what_was_measured(bundle: Bundle, page: str) -> None:
    card = bundle.calibration.card
    assert bundle.id in page
    for name in ("all", *GROUPS, "yaw", "pitch", "roll"):
        assert f"<td>{name}</td>" in page
    (row,) = [r for r in card["coverage"] if (r["group"], r["yaw"], r["nominal"]) == ("eyes", None, 0.9)]
    assert f">{100 * row['observed']:.1f}</td>" in page
    assert f"{card['presence']['roc_auc']:.4f}" in page


def test_the_same_bundle_gives_the_same_page(bundle: Bundle, page: str, tmp_path: Path) -> None:
    write_report(bundle, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_the_picture_can_be_opened(bundle: Bundle, tmp_path: Path) -> None:
    write_report(bundle, tmp_path / "out.png")
    picture = cv2.imread(str(tmp_path / "out.png"))
    assert picture is not None
    assert picture.shape[1] > 1000
    assert picture.std() > 10


def test_what_cannot_be_written_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must end in"):
        write_report(bundle, tmp_path / "out.pdf")
    never = replace(bundle, calibration=replace(bundle.calibration, card={}))
    with pytest.raises(ValueError, match="never calibrated"):
        write_report(never, tmp_path / "out.html")


def test_another_ending_is_refused_before_anything_is_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "--data", str(tmp_path / "none"), "--report", "out.pdf"]) == 1
    error = capsys.readouterr().err
    assert "--report" in error
    assert "out.pdf" in error
    assert ".html or .png" in error
