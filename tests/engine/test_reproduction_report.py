"""The report is made of CSV files alone: what is there is shown, what is missing or wrong is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="matplotlib draws the report (extra 'train')")

from exalign_engine.cli import main
from exalign_engine.errors import DataError
from exalign_engine.evaluation.reproduction.checklist import CHECKLIST
from exalign_engine.evaluation.reproduction.page import report_text, write_report
from exalign_engine.evaluation.reproduction.results import Results
from exalign_engine.evaluation.reproduction.runs import EPOCHS, LOSSES, TAU
from exalign_engine.evaluation.reproduction.tables import ACCURACY, REFINEMENT, RUN, read_table, write_table

Row = dict[str, Any]

#: Validation error of the best exemplar that the synthetic runs have, by loss.
TOP = {"multilabel": 0.02, "soft-target": 0.03, "softmax": 0.05}


def run_rows(loss: str, k: int, seed: int = 1, **changed: Any) -> list[Row]:
    head = {"loss": loss, "k": k, "seed": seed, "sharing": True, "synthetic": True, "tau": TAU, "epochs": EPOCHS}
    head |= {"temperature": 0.3} | changed
    figures = {"n": 10, "top1_nrmse": TOP[loss] + 1e-3 * seed, "mean_nrmse": 0.02, "random_nrmse": 0.1}
    figures |= {"class_error": 50.0, "member_error": 5.0, "failure_rate": 1.0}
    parts = [("train", "all"), ("val", "all"), ("val", "large_yaw"), ("val", "large_roll"), ("val", "hard")]
    return [head | {"split": split, "subset": subset} | figures for split, subset in parts]


def write_everything(folder: Path) -> None:
    """One of every CSV file that the report reads."""
    for loss in LOSSES:
        write_table(folder / f"runs/{loss}-k10-seed1.csv", run_rows(loss, 10))
        for seed in (1, 2):
            write_table(folder / f"runs/{loss}-every4-seed{seed}.csv", run_rows(loss, 33_736, seed))
        write_table(folder / f"runs/{loss}-every4-seed1-passes3.csv", run_rows(loss, 33_736, epochs=3 * EPOCHS))
    write_table(folder / "runs/a-unshared.csv", run_rows("multilabel", 33_736, sharing=False))
    write_table(folder / "runs/a-real.csv", run_rows("multilabel", 8_434, synthetic=False))
    write_table(folder / "runs/a-tau0.1.csv", run_rows("multilabel", 33_736, tau=0.1))
    methods = ("linear classifier", "nearest weights w", "nearest features s")
    ends = {f"{name}{end}": 0.01 for name in ("nrmse", "minus_linear") for end in ("", "_lower", "_upper")}
    rows = [{"method": m, "classes": "real", "seed": 1, "n": 10} | ends for m in methods]
    write_table(folder / "neighbours/multilabel-every4-seed1.csv", rows)
    times = {"backbone_ms": 4.0, "head_mib": 1.0, "shapes_mib": 1.0}
    write_table(
        folder / "cost.csv", [{"k": k, "head_ms": k / 1e4, "posterior_ms": k / 1e5} | times for k in (10, 100_000)]
    )
    members = {"yaw": 3.0, "roll": 2.0, "deviation": 0.1, "least": 1, "most": 9}
    write_table(
        folder / "membership.csv",
        [{"rank_from": a, "rank_to": a + 4, "members": 9 - a} | members for a in (1, 5)],
    )
    figures = {"n": 10, "nrmse_mean": 0.02, "auc": 0.75, "failure_rate": 0.0}
    accuracy = [
        {"bundle": "b", "split": "val", "method": m, "boxes": "truth", "points": p, "subset": s} | figures
        for m in ("classification", "mixture", "residual")
        for p in (68, 66)
        for s in ("all", "hard", "large_yaw")
    ]
    write_table(folder / "accuracy-val.csv", accuracy)
    curves = [{k: row[k] for k in ("split", "method", "points", "subset")} for row in accuracy]
    write_table(
        folder / "curves-val.csv", [c | {"error": e, "share": 1e3 * e} for c in curves for e in (0.0, 0.04, 0.08)]
    )
    rows = [
        {"condition": "mtcnn", "severity": 0, "round": n, "box_error": 0.06 / (n + 1), "worse": 0.5} | figures
        for n in (0, 1)
    ]
    write_table(folder / "refinement-val.csv", rows)
    video = {"boxes": "given", "yaw_interval_deg": 20.0, "yaw_coverage": 91.0} | figures
    rows = [
        {"method": m, "phase": p} | video
        for m in ("per_frame", "low_pass", "filter", "smoother", "viterbi", "hold")
        for p in ("visible", "hidden", "all")
    ]
    write_table(folder / "video-val.csv", rows)
    clicks = [("none", 0, 4.0), ("regression", 0, 5.0), ("nose", 1, 1.5), ("oracle", 1, 0.6)]
    rows = [
        {"corruption": "clean", "severity": 0, "policy": p, "clicks": c, "n": 10, "auc": 1 - f / 10, "failure_rate": f}
        for p, c, f in clicks
    ]
    write_table(folder / "stress-val.csv", rows)
    peer = {"pictures": "crops", "source": "all", "corruption": "clean", "severity": 0, "boxes": "given", "n": 10}
    peer |= {"contestant": "dlib", "points": "all68", "auc": 0.7, "auc_lower": 0.6, "auc_upper": 0.8}
    write_table(folder / "peers.csv", [peer | {"failure_rate": 1.0, "missed": 0.5, "cpu_ms_median": 2.0}])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_everything(tmp_path)
    return tmp_path


def test_the_checklist_has_the_22_items_of_the_notes() -> None:
    assert [item.number for item in CHECKLIST] == list(range(1, 23))


@pytest.mark.parametrize("complete", [True, False])
def test_every_item_of_the_checklist_is_in_the_report_by_its_number(tmp_path: Path, complete: bool) -> None:
    if complete:
        write_everything(tmp_path)
    text = report_text(tmp_path)
    listed = text[text.index("## The checklist") : text.index("## In short")]
    for item in CHECKLIST:
        (row,) = re.findall(rf"^\| {item.number} \| (.+) \| (.+) \|$", listed, re.MULTILINE)
        assert row[0] == item.what
        for anchor in re.findall(r"\(#([\w-]+)\)", row[1]):
            assert f'<a id="{anchor}">' in text


def test_a_report_of_everything_misses_nothing(results: Path) -> None:
    assert "Not measured here" not in report_text(results)


def test_what_is_missing_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    text = report_text(tmp_path)
    for only in ("losses", "sharing", "synthetic", "tau", "cost", "membership", "accuracy", "video", "stress"):
        assert f"--from-scratch --data FACES --only {only}`" in text
    assert "python -m benchmarks.peers" in text


def test_the_same_rows_give_the_same_bytes(results: Path) -> None:
    first = {path.name: path.read_bytes() for path in write_report(results, results / "one")}
    second = {path.name: path.read_bytes() for path in write_report(results, results / "two")}
    assert first == second
    assert {"README.md", "report.html", "fig-2-cost.svg", "fig-3-losses.svg", "fig-7-curves.svg"} <= set(first)


def test_the_page_stands_by_itself(results: Path) -> None:
    write_report(results, results)
    assert (results / "README.md").read_text(encoding="utf-8") == report_text(results)
    page = (results / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == page.count("<figure>") > 5
    assert not re.findall(r'(?:src|href)="(?!#)', page.replace('xlink:href="#', ""))


def test_the_order_of_the_losses_is_told_with_its_error_bars(results: Path) -> None:
    text = report_text(results)
    expected = "multi-label 2.15 ± 0.07 < soft target 3.15 ± 0.07 < softmax 5.15 ± 0.07 (2 seeds); as in the paper"
    assert expected in text


def test_another_order_of_the_losses_is_told_too(results: Path) -> None:
    for seed in (1, 2):
        path = results / f"runs/multilabel-every4-seed{seed}.csv"
        write_table(path, [row | {"top1_nrmse": 0.04} for row in run_rows("multilabel", 33_736, seed)])
    assert "not the paper's order" in report_text(results)


def test_losses_within_each_others_error_bars_are_not_told_apart(results: Path) -> None:
    for seed in (1, 2):
        path = results / f"runs/multilabel-every4-seed{seed}.csv"
        rows = [row | {"top1_nrmse": 0.0295 + 1e-3 * seed} for row in run_rows("multilabel", 33_736, seed)]
        write_table(path, rows)
    assert "multi-label and soft target are within each other's error bars" in report_text(results)


def test_the_outcome_of_fig_3_is_of_the_largest_k_with_several_seeds(results: Path) -> None:
    for loss in LOSSES:
        write_table(results / f"runs/{loss}-every17-seed1.csv", run_rows(loss, 143_378))
    text = report_text(results)
    outcome = text[text.index("| Fig. 3: three losses") :].splitlines()[0]
    assert "K = 33,736" in outcome
    assert "softmax comes last, as in the paper; multi-label comes first, as in the paper" in outcome
    for seed in (1, 2):
        path = results / f"runs/soft-target-every4-seed{seed}.csv"
        write_table(path, [row | {"top1_nrmse": 0.01} for row in run_rows("soft-target", 33_736, seed)])
    assert "soft target comes first, outside of the error bars, not multi-label as in the paper" in report_text(results)


def test_longer_training_stands_beside_the_usual(results: Path) -> None:
    longer = [row | {"top1_nrmse": 0.015} for row in run_rows("multilabel", 33_736, epochs=3 * EPOCHS)]
    write_table(results / "runs/multilabel-every4-seed1-passes3.csv", longer)
    assert "| multi-label | 33,736 | 2.10 → 1.50 | 2.00 → 2.00 |" in report_text(results)


@pytest.mark.parametrize(
    ("weights", "features", "expected"),
    [
        ((-0.001, 0.001), (0.002, 0.004), "w cannot be told from the classifier and s is worse: as in the paper"),
        ((0.001, 0.002), (0.002, 0.004), "w can be told from the classifier and s is worse: not as in the paper"),
        ((-0.001, 0.001), (-0.002, 0.004), "w cannot be told from the classifier and s is not worse: not as in"),
    ],
)
def test_table_1_is_judged_by_its_paired_intervals_in_every_seed(
    results: Path, weights: tuple[float, float], features: tuple[float, float], expected: str
) -> None:
    ends = {"linear classifier": (0.0, 0.0), "nearest weights w": weights, "nearest features s": features}
    nrmse = {"n": 10, "nrmse": 0.03, "nrmse_lower": 0.029, "nrmse_upper": 0.031, "minus_linear": 0.0}
    for seed in (1, 2):
        usual = {name: (0.0, 0.0) if name == "linear classifier" else (-0.001, 0.001) for name in ends}
        usual["nearest features s"] = (0.002, 0.004)
        rows = [
            {"method": method, "classes": "real", "seed": seed, "minus_linear_lower": a, "minus_linear_upper": b}
            | nrmse
            for method, (a, b) in (ends if seed == 2 else usual).items()
        ]
        write_table(results / f"neighbours/multilabel-every4-seed{seed}.csv", rows)
    assert f"in each of 2 seeds, {expected}" in report_text(results)


def test_table_2_has_methods_side_by_side_and_a_dash_where_none_was_measured(results: Path) -> None:
    rows = read_table(results / "accuracy-val.csv", ACCURACY)
    detected = [row | {"boxes": "detector"} for row in rows if row["method"] != "classification"]
    write_table(results / "accuracy-val.csv", rows + detected)
    text = report_text(results)
    assert "| true | 68 | all faces | 10 | 0.750 (2.00, 0.00) | 0.750 (2.00, 0.00) | 0.750 (2.00, 0.00) |" in text
    assert "| detector, refined | 68 | hard tenth | 10 | – | 0.750 (2.00, 0.00) | 0.750 (2.00, 0.00) |" in text


def test_what_the_hmm_does_for_hidden_faces_stands_at_the_top(results: Path) -> None:
    text = report_text(results)
    expected = "each frame by itself 2.0 (20°; 91 %), HMM smoother 2.0 (20°; 91 %), errors in %."
    assert expected in text[text.index("## In short") : text.index('<a id="fig-2">')]


def test_boxes_that_are_not_refined_have_one_figure(results: Path) -> None:
    path = results / "refinement-val.csv"
    rows = read_table(path, REFINEMENT)
    write_table(path, [*rows, rows[0] | {"condition": "mtcnn as drawn"}])
    assert "| mtcnn | 10 | 6.0 → 3.0 | 0.750 → 0.750 | 0.00 → 0.00 | 0.50 |" in report_text(results)
    assert "| mtcnn as drawn | 10 | 6.0 | 0.750 | 0.00 | – |" in report_text(results)


def test_the_order_of_table_3_is_judged_in_every_column(results: Path) -> None:
    assert "holds in every column" in report_text(results)
    rows = [row | {"auc": 0.1} if row["policy"] == "oracle" else row for row in Results(results).stress.rows]
    write_table(results / "stress-val.csv", rows)
    assert "does not hold for: clean" in report_text(results)


def test_test_is_reported_before_val_and_a_part_of_it_last(results: Path) -> None:
    rows = read_table(results / "accuracy-val.csv", ACCURACY)
    write_table(results / "accuracy-val-limit5.csv", rows)
    assert Results(results).accuracy.name == "accuracy-val.csv"
    write_table(results / "accuracy-test.csv", [row | {"split": "test"} for row in rows])
    assert Results(results).accuracy.name == "accuracy-test.csv"
    for name in ("accuracy-test.csv", "accuracy-val.csv"):
        (results / name).unlink()
    assert Results(results).accuracy.name == "accuracy-val-limit5.csv"


def test_all_columns_that_a_file_lacks_are_named(tmp_path: Path) -> None:
    path = tmp_path / "runs/x.csv"
    write_table(path, [{k: v for k, v in run_rows("softmax", 10)[0].items() if k not in ("k", "tau")}])
    with pytest.raises(DataError, match=r"x\.csv.*lacks the columns k, tau"):
        report_text(tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("k", "many", "k is 'many', must be a whole number"),
        ("top1_nrmse", "nan", "top1_nrmse is 'nan', must be a finite number"),
        ("sharing", "1", "sharing is '1', must be True or False"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path: Path, column: str, value: str, message: str) -> None:
    rows = run_rows("softmax", 10)
    rows[1][column] = value
    write_table(tmp_path / "x.csv", rows)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        read_table(tmp_path / "x.csv", RUN)
    assert caught.value.line == 3


def test_a_row_of_another_length_and_an_empty_table_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_table(path, run_rows("softmax", 10)[:1])
    text = path.read_text()
    path.write_text(text.splitlines()[0] + "\n")
    with pytest.raises(DataError, match="holds no rows"):
        read_table(path, RUN)
    path.write_text(text + "softmax,10\n")
    with pytest.raises(DataError, match="another number of values"):
        read_table(path, RUN)


def test_the_command_prints_what_it_wrote(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--results", str(results), "--out", str(results / "out")]) == 0
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert results / "out/README.md" in printed
    assert all(path.is_file() for path in printed)


def test_the_command_names_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--results", str(tmp_path / "none")]) == 1
    assert "no such folder; --from-scratch --data FACES makes it" in capsys.readouterr().err


def test_the_command_names_all_wrong_options_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["--only", "nonsense", "--limit", "-1", "--split", "test"]
    assert main(["reproduce", "--results", str(tmp_path), *wrong]) == 1
    said = capsys.readouterr().err
    for part in ("'nonsense' is unknown", "is -1, must be at least 0", "--split", "--only"):
        assert part in said
    assert main(["reproduce", "--results", str(tmp_path), "--from-scratch"]) == 1
    assert "--data must be given with --from-scratch" in " ".join(capsys.readouterr().err.replace(":", "").split())
