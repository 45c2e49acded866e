"""Figures: pages say what the files say, and the one command that makes them goes on, leaves out and stamps."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.figures import listing, making, pages
from benchmarks.figures.__main__ import main
from benchmarks.figures.figure import NEEDS, ROOT, Figure, Shown
from benchmarks.figures.making import Options, make, words
from benchmarks.figures.registry import FIGURES
from benchmarks.machine import Machine

QUIET = Machine("abc", "a processor", 2, 0.01, 0.2)
BUSY = replace(QUIET, busy=0.4)

#: Put together by hand of several runs: docs/annotate.md. `page` makes page-speed.json.
BY_HAND = {"page.json"}


def test_pages_say_what_the_files_say() -> None:
    assert pages.disagreements(FIGURES) == []


def test_the_list_of_figures_is_that_of_the_files() -> None:
    assert listing.PAGE.read_text("utf-8") == listing.page(FIGURES), "python -m benchmarks.figures --write"


def test_every_figure_has_a_name_a_command_and_a_file_of_its_own() -> None:
    assert len({figure.name for figure in FIGURES}) == len({figure.path for figure in FIGURES}) == len(FIGURES) > 30
    for figure in FIGURES:
        assert set(figure.needs) <= set(NEEDS), figure.name
        assert "data" in figure.needs or "{data}" not in figure.command, figure.name
        program, *rest = words(figure, None, Path("out.json"))
        if program == "make":
            assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE), figure.name
            continue
        module = rest[1] if rest[0] == "-m" else rest[0]
        files = [ROOT / module, *(ROOT / room / (module.replace(".", "/")) for room in (".", "engine"))]
        assert program == sys.executable, figure.name
        assert any(path.is_file() or path.with_suffix(".py").is_file() or path.is_dir() for path in files), module
        ours = figure.written or figure.prints_text or "{out}" in figure.command or "--json" in rest
        assert ours, f"{figure.name} writes no JSON"


def test_every_file_of_figures_has_its_command() -> None:
    known = {figure.path for figure in FIGURES} | {ROOT / "docs" / "benchmarks" / name for name in BY_HAND}
    others = sorted(set((ROOT / "docs" / "benchmarks").rglob("*.json")) - known)
    assert not others, f"{others[0].name} needs an entry in benchmarks/figures/registry.toml"


@pytest.mark.parametrize(
    ("path", "form", "said"),
    [
        ("a/b", ".3f", "0.799"),
        ("a/b", ".3fz", ".799"),
        ("a/b*100", ".1f", "79.9"),
        ("rows/1/n", ".0f", "9"),
        ("rows/kind=x,size=2/n", ".1fz", "9.0"),
        ("less", ".2fz", "-.25"),
    ],
)
def test_a_template_reads_a_number(path: str, form: str, said: str) -> None:
    rows = [{"kind": "x", "size": 1, "n": 3}, {"kind": "x", "size": 2, "n": 9}]
    result = {"a": {"b": 0.7994}, "rows": rows, "less": -0.25}
    assert pages.written(pages.value_at(result, path), form) == said


def test_a_path_that_leads_nowhere_is_named() -> None:
    with pytest.raises(LookupError, match="no row of 'rows/kind=z/n' has kind=z"):
        pages.value_at({"rows": [{"kind": "x", "n": 1}]}, "rows/kind=z/n")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one page; figures made by `make` lie in it."""
    for module in (making, pages, sys.modules[Figure.__module__]):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "docs" / "benchmarks").mkdir(parents=True)
    (tmp_path / "docs" / "page.md").write_text("It takes **4.0\nms** a face, of 1,000.\n")
    return tmp_path


def figure(code: str, **fields: Any) -> Figure:
    """One whose command is a line of Python."""
    shown = (Shown("docs/page.md", "It takes **{ms:.1f} ms** a face"),)
    return Figure("one", "a test", f'python -c "{code}"', 0.1, shown=shown, **fields)


#: Prints {"ms": 3.21}.
PRINTS = "import json; print(json.dumps(dict(ms=3.21)))"


def makes(
    one: Figure, options: Options | None = None, now: str = "source", look: Machine = QUIET
) -> tuple[list[str], list[str]]:
    """What failed, and what was said."""
    said: list[str] = []
    return make([one], options or Options(), now, lambda: look, said.append), said


def test_a_figure_is_stamped_and_written_into_its_page(tree: Path) -> None:
    one = figure(PRINTS)
    assert pages.disagreements([one]) == []  # there is no file yet
    assert makes(one)[0] == []
    found = json.loads(one.path.read_text())
    assert found["ms"] == 3.21
    stamp = found["measured"]
    assert (stamp["commit"], stamp["cpu"], stamp["load"], stamp["source"]) == ("abc", "a processor", 0.2, "source")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", stamp["date"])
    (problem,) = pages.disagreements([one])
    assert problem.startswith("docs/page.md says 4.0 where one has 3.2: ")
    assert pages.write([one], tree) == ["docs/page.md"]
    assert (tree / "docs" / "page.md").read_text() == "It takes **3.2\nms** a face, of 1,000.\n"
    assert pages.disagreements([one]) == pages.write([one], tree) == []


def test_what_is_there_of_this_source_is_not_made_again(tree: Path) -> None:
    one = figure(PRINTS)
    makes(one)
    assert makes(one)[1] == ["one: is there, of this source"]
    for options, now in ((Options(fresh=True), "source"), (Options(), "another"), (Options(), "source+")):
        assert makes(one, options, now)[1][0].startswith("one: python -c")


def test_a_time_is_no_claim_on_a_busy_machine(tree: Path) -> None:
    one = figure(PRINTS, timing=True)
    assert makes(one, look=BUSY)[1] == ["one: left out, others use 40% of the processors; no time is a claim here"]
    assert not one.path.exists()
    makes(one, Options(busy=True), look=BUSY)
    assert not one.is_claim
    assert pages.disagreements([one]) == pages.write([one], tree) == []
    assert makes(one, look=BUSY)[1][0].startswith("one: left out")  # a quiet machine's is still wanted


def test_a_busy_machines_figure_takes_no_better_ones_place(tree: Path) -> None:
    one = figure(PRINTS, timing=True)
    one.path.write_text('{"ms": 4.0}')  # of an earlier run
    makes(one, Options(busy=True), look=BUSY)
    assert json.loads(one.path.read_text()) == {"ms": 4.0}
    assert json.loads((tree / "out" / "figures" / "one.json").read_text())["measured"]["claim"] is False


@pytest.mark.parametrize(
    ("code", "problem"), [("exit(3)", "exit code 3"), ("print('no JSON')", "no JSON: Expecting value")]
)
def test_what_fails_is_said_and_the_others_are_made(tree: Path, code: str, problem: str) -> None:
    said: list[str] = []
    bad, good = replace(figure(code), name="bad"), figure(PRINTS)
    assert make([bad, good], Options(), "source", lambda: QUIET, said.append) == ["bad"]
    assert any(line.startswith(f"bad: FAILED: {problem}") for line in said)
    assert good.path.is_file()
    assert not bad.path.exists()


def test_what_is_needed_and_not_here_is_left_out(tree: Path) -> None:
    assert makes(figure(PRINTS, needs=("data", "cuda")))[1] == ["one: left out, needs data and cuda"]
    assert makes(figure(PRINTS, needs=("data",)), Options(data=tree))[0] == []


def test_other_files_are_named_by_their_content(tree: Path) -> None:
    one = figure("open('docs/t.csv', 'w').write('a')", prints_text=True, also=("docs/t.csv",))
    makes(one)
    found = json.loads(one.path.read_text())
    assert found["text"] == []
    assert found["measured"]["files"] == {"docs/t.csv": making.digest(tree / "docs" / "t.csv")}


@pytest.mark.parametrize("text", ["nothing", "It takes **1 ms** a face. It takes **2 ms** a face."])
def test_a_page_must_have_one_place_for_a_template(tree: Path, text: str) -> None:
    (tree / "docs" / "page.md").write_text(text)
    (problem,) = pages.disagreements([figure(PRINTS)])
    assert re.match(r"one: docs/page.md has [02] places, must have one: It takes", problem)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SystemExit, match="no figure 'nothing'; known: accuracy, "):
        main(["accuracy,nothing", "--check"])
