"""The claims about today's peers are judged on rows, and what does not hold is listed with its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="matplotlib draws the report (extra 'train')")

from exalign_engine.errors import DataError
from exalign_engine.evaluation.reproduction.blocks import Figure, Table, Text
from exalign_engine.evaluation.reproduction.peers_figures import peers_section
from exalign_engine.evaluation.reproduction.peers_verdict import (
    ABOVE,
    LOWEST,
    NEAR_BEST,
    Judgement,
    Place,
    failures_among_found,
    judge,
)
from exalign_engine.evaluation.reproduction.results import Results
from exalign_engine.evaluation.reproduction.tables import write_table

Row = dict[str, Any]


def row(contestant: str, auc: float = 0.7, **changed: Any) -> Row:
    """A row on undisturbed crops about given boxes; its interval is 0.02 wide."""
    head = {"pictures": "crops", "source": "all", "corruption": "clean", "severity": 0, "boxes": "given", "n": 100}
    figures = {"contestant": contestant, "points": "all68", "auc": auc, "auc_lower": auc - 0.01}
    figures |= {"auc_upper": auc + 0.01, "failure_rate": 0.0, "missed": 0.0, "cpu_ms_median": 3.0}
    return head | figures | changed


def three(ours: Row, dlib: Row, mediapipe: Row, **place: Any) -> list[Row]:
    """All contestants in one place."""
    return [row(name) | r | place for name, r in (("exalign", ours), ("dlib", dlib), ("mediapipe", mediapipe))]


def auc(value: float) -> Row:
    return {"auc": value, "auc_lower": value - 0.01, "auc_upper": value + 0.01}


def failures(rate: float, missed: float = 0.0) -> Row:
    return {"failure_rate": rate, "missed": missed}


def only(rows: list[Row]) -> Judgement:
    (found,) = judge(rows)
    return found


@pytest.mark.parametrize(("ours", "holds"), [(0.81, True), (0.8, False), (0.79, False)])
def test_ours_must_be_above_every_peer_over_68_points(ours: float, holds: bool) -> None:
    found = only(three(auc(ours), auc(0.7), auc(0.8)))
    assert (found.claim, found.holds, found.peer["contestant"]) == (ABOVE, holds, "mediapipe")


@pytest.mark.parametrize(("ours", "holds"), [(0.79, True), (0.781, True), (0.775, False)])
def test_ours_may_be_little_below_the_best_over_the_inner_51(ours: float, holds: bool) -> None:
    found = only(three(auc(ours), auc(0.8), auc(0.7), points="inner51"))
    assert (found.claim, found.holds) == (NEAR_BEST, holds)


@pytest.mark.parametrize(("ours", "holds"), [(1.0, True), (2.0, True), (2.5, False)])
def test_no_peer_may_fail_less_and_a_tie_is_no_loss(ours: float, holds: bool) -> None:
    found = only(three(failures(ours), failures(9.0), failures(2.0), corruption="roll", severity=3))
    assert (found.claim, found.holds) == (LOWEST, holds)


@pytest.mark.parametrize(
    ("place", "judged"),
    [
        ({"corruption": "roll", "severity": 1}, 0),
        ({"corruption": "roll", "severity": 2}, 1),
        ({"corruption": "box", "severity": 3}, 1),
        ({"corruption": "box", "severity": 3, "boxes": "detector"}, 0),
        ({"source": "ytf"}, 1),
        ({"pictures": "photos"}, 1),
    ],
)
def test_only_the_places_that_a_claim_is_about_are_judged(place: Row, judged: int) -> None:
    assert len(judge(three({}, {}, {}, **place))) == judged


def test_a_place_without_us_or_without_a_peer_is_not_judged() -> None:
    assert judge([row("dlib"), row("mediapipe")]) == []
    assert judge([row("exalign")]) == []


def test_the_reason_tells_misses_from_wrong_answers() -> None:
    place = {"corruption": "darkness", "severity": 3, "boxes": "detector"}
    missed = only(three(failures(12.5, 12.0), failures(20.0), failures(1.0, 0.5), **place))
    assert missed.reason.startswith("misses of our detector: 12.00 % missed (MediaPipe 0.50 %)")
    wrong = only(three(failures(12.5, 1.0), failures(20.0), failures(1.0, 0.5), **place))
    assert wrong.reason.startswith("wrong answers: 1.00 % missed")


def test_failures_among_the_faces_found_leave_the_missed_out() -> None:
    assert failures_among_found(failures(60.0, 50.0)) == pytest.approx(20.0)
    assert failures_among_found(failures(100.0, 100.0)) == 0.0


def test_the_reason_names_what_a_peer_learned_from_only_where_that_is_all_there_is() -> None:
    lfpw = only(three(auc(0.70), auc(0.75), auc(0.6), source="lfpw"))
    assert lfpw.reason == "dlib learned from 300-W, which includes these collections"
    ytf = only(three(auc(0.70), auc(0.75), auc(0.6), source="ytf"))
    assert ytf.reason == "dlib is more accurate here"
    photos = three(auc(0.70), auc(0.75), auc(0.6), pictures="photos")
    parts = [r | {"source": source} for source in ("helen", "lfpw") for r in photos]
    assert all("300-W" in j.reason for j in judge(photos + parts))
    with_others = [r | {"source": "ytf"} for r in photos]
    assert "300-W" not in judge(photos + parts + with_others)[0].reason


def test_the_reason_says_where_the_intervals_overlap() -> None:
    assert "intervals overlap" in only(three(auc(0.74), auc(0.75), auc(0.6), source="ytf")).reason


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (Place("crops", "all", "clean", 0, "given", "all68"), "all crops"),
        (Place("photos", "lfpw", "clean", 0, "given", "all68"), "lfpw photos"),
        (Place("crops", "all", "low_resolution", 2, "given", "all68"), "low resolution 2"),
    ],
)
def test_a_place_is_named_for_people(place: Place, name: str) -> None:
    assert place.name == name


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Given boxes: everything holds. Own detectors: ours misses turned faces."""
    rows = []
    for boxes in ("given", "detector"):
        for points in ("all68", "inner51"):
            rows += three(auc(0.8), auc(0.7), auc(0.6), boxes=boxes, points=points)
            ours = failures(9.0, 9.0) if boxes == "detector" else failures(0.0)
            for severity in (2, 3):
                at = {"boxes": boxes, "points": points, "corruption": "roll", "severity": severity}
                rows += three(ours, failures(30.0), failures(1.0), **at)
    write_table(tmp_path / "peers.csv", rows)
    return tmp_path


def tables(folder: Path) -> list[Table]:
    return [block for block in peers_section(Results(folder)).blocks if isinstance(block, Table)]


def test_the_section_counts_what_holds_and_lists_what_does_not(results: Path) -> None:
    verdict, failing = tables(results)[:2]
    held = {(r[0].split(",")[0], r[1]): r[2:] for r in verdict.rows if "inner 51)" not in r[0]}
    assert held["no peer has fewer failures", "given"] == ("2 of 2 conditions", "none")
    assert held["no peer has fewer failures", "own detector"] == ("0 of 2 conditions", "roll 2, roll 3")
    assert [r[:3] for r in failing.rows] == [
        ("failures, 68 points", "roll 2", "own detector"),
        ("failures, 68 points", "roll 3", "own detector"),
    ]


def test_accuracy_has_a_row_for_everyone_and_failures_one_for_every_condition(results: Path) -> None:
    accuracy, conditions = tables(results)[2:]
    assert [r[1:3] for r in accuracy.rows] == [
        (boxes, who) for boxes in ("given", "own detector") for who in ("exalign", "dlib", "MediaPipe")
    ]
    assert {r[0]: r[4] for r in conditions.rows} == {"clean": "0.0", "roll 2": "9.0 (9.0)", "roll 3": "9.0 (9.0)"}


def test_where_everything_holds_nothing_is_listed(results: Path) -> None:
    kept = [r for r in Results(results).peers if r["boxes"] == "given"]
    write_table(results / "peers.csv", kept)
    section = peers_section(Results(results))
    assert not any("does not hold, and why" in b.text for b in section.blocks if isinstance(b, Text))
    assert "2 of 2 strong corruptions" in section.summary
    assert [b.name for b in section.blocks if isinstance(b, Figure)] == ["peers-failures"]


def test_versions_are_told_from_the_json_file(results: Path) -> None:
    ours = {"bundle_id": "0123456789abcdef", "classes": 143_378, "runtime": "openvino"}
    head = {"split": "test", "contestants": {"exalign": ours, "dlib": {"version": "20.0.1"}}}
    (results / "peers.json").write_text(json.dumps(head))
    first = peers_section(Results(results)).blocks[0]
    assert isinstance(first, Text)
    for part in ("split `test`", "143,378 classes", "`0123456789ab`", "dlib 20.0.1"):
        assert part in first.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "is not what `benchmarks.peers` writes"),
        ('{"contestants": {}}', "'split'"),
        ('{"split": "test", "contestants": {"dlib": {}}}', "'version'"),
    ],
)
def test_a_damaged_json_file_is_named(results: Path, text: str, message: str) -> None:
    (results / "peers.json").write_text(text)
    with pytest.raises(DataError, match=rf"peers\.json.*{message}"):
        peers_section(Results(results))
