"""The sweeps and suites behind the report, on tiny made-up faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the sweeps train (extra 'train')")

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.data.source import open_faces
from exalign_engine.evaluation.reproduction import (
    pieces,
    suites,
)
from exalign_engine.evaluation.reproduction.cost import cost_rows
from exalign_engine.evaluation.reproduction.faces import SweepFaces
from exalign_engine.evaluation.reproduction.measures import measure, shape_errors
from exalign_engine.evaluation.reproduction.membership import membership_rows, membership_sizes
from exalign_engine.evaluation.reproduction.neighbours import regression
from exalign_engine.evaluation.reproduction.runs import MAIN, PIECES, Run
from exalign_engine.evaluation.reproduction.sweep import do_run, open_runs
from exalign_engine.evaluation.reproduction.tables import (
    ACCURACY,
    COST,
    CURVES,
    MEMBERSHIP,
    NEIGHBOURS,
    RUN,
    STRESS,
    VIDEO,
    read_table,
    write_table,
)
from exalign_engine.evaluation.video.methods import FrameOutcome
from exalign_engine.exemplars.exemplars import squared_distances
from exalign_engine.face.aligner import Aligner  # torch first
from exalign_engine.runtime import create_runtime
from exalign_engine.train.fixed_samples import Classes, own_classes

MakePrepared = Callable[..., Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, make_prepared: MakePrepared) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    make_prepared(folder, ["train"] * 66 + ["val"] * 4)
    return folder


@pytest.fixture(scope="module")
def faces(data: Path) -> SweepFaces:
    return SweepFaces(open_faces(data, "train"), open_faces(data, "val"), epochs=1)


@pytest.fixture
def setting(toy_bundle: Path, data: Path) -> suites.SuiteInputs:
    bundle = Bundle.load(toy_bundle)
    return suites.SuiteInputs(bundle, create_runtime("onnxruntime", bundle.network), open_faces(data, "val"), "val")


def request_of(folder: Path, data: Path, bundle: Path, *only: str, said: list[str] | None = None) -> pieces.Request:
    return pieces.Request(
        folder=folder,
        data=data,
        bundle=bundle,
        split="val",
        only=only,
        limit=0,
        threads=1,
        runtime="onnxruntime",
        precision="auto",
        bar=lambda total, what: lambda done: None,
        say=(said if said is not None else []).append,
    )


def test_no_two_runs_share_a_file() -> None:
    runs = {run for piece in PIECES.values() for run in piece}
    assert len({run.name for run in runs}) == len(runs)


def test_every_face_is_a_member_of_its_nearest_class_however_far() -> None:
    d = torch.tensor([[0.04, 0.09, 0.16], [0.001, 0.002, 0.9]])
    shared = own_classes(d, tau=0.1, sharing=True) <= 0.01
    assert shared.tolist() == [[True, False, False], [True, True, False]]


def test_without_sharing_a_face_has_one_class() -> None:
    d = torch.tensor([[0.04, 0.09, 0.16], [0.001, 0.002, 0.9]])
    alone = own_classes(d, tau=0.1, sharing=False) <= 0.01
    assert alone.tolist() == [[True, False, False], [True, False, False]]


def test_distances_to_classes_are_those_of_the_engine(faces: SweepFaces) -> None:
    exemplars, shapes = faces.exemplars(MAIN), faces.plain_val.shapes
    found = Classes(exemplars).squared_distances(shapes).numpy()
    np.testing.assert_allclose(found, squared_distances(shapes, exemplars.shapes), atol=1e-6)


def test_regression_finds_a_linear_map() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((500, 3)).astype(np.float32), rng.standard_normal((3, 136)).astype(np.float32)
    y = (x @ w + 1).reshape(-1, 68, 2)
    np.testing.assert_allclose(regression(x, y, x[:5]), y[:5], atol=0.05)


@pytest.mark.parametrize("run", [MAIN, Run("softmax", k=6), Run("multilabel", variants=1, synthetic=False)])
def test_a_run_writes_a_csv_that_the_report_reads(tmp_path: Path, faces: SweepFaces, run: Run) -> None:
    do_run(tmp_path, run, faces)
    rows = read_table(tmp_path / f"runs/{run.name}.csv", RUN)
    assert [(r["split"], r["subset"]) for r in rows[:2]] == [("train", "all"), ("val", "all")]
    assert {r["subset"] for r in rows} == {"all", "hard", "large_yaw", "large_roll"}
    assert {r["k"] for r in rows} == {run.k or 2 * 66 * run.variants}
    assert all(0 < r["mean_nrmse"] < 1 and 0 <= r["member_error"] <= r["class_error"] <= 100 for r in rows)
    table_1 = tmp_path / f"neighbours/{run.name}.csv"
    assert table_1.is_file() == (run == MAIN)
    if run == MAIN:
        methods = {r["method"] for r in read_table(table_1, NEIGHBOURS) if r["classes"] == "real"}
        assert methods == {"linear classifier", "nearest weights w", "nearest features s", "linear regression on s"}


def test_equal_runs_end_in_equal_figures(tmp_path: Path, faces: SweepFaces) -> None:
    run = Run("soft-target", k=6)
    for folder in ("a", "b"):
        do_run(tmp_path / folder, run, faces)
    first, second = (tmp_path / folder / f"runs/{run.name}.csv" for folder in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_what_is_done_is_not_run_again(
    tmp_path: Path, data: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def do(folder: Path, run: Run, *_: object) -> None:
        done.append(run.name)
        if len(done) == 2:
            raise KeyboardInterrupt
        write_table(folder / f"runs/{run.name}.csv", [{"any": 1}])

    monkeypatch.setattr("exalign_engine.evaluation.reproduction.sweep.do_run", do)
    request = request_of(tmp_path, data, toy_bundle, "sharing", "tau")
    with pytest.raises(KeyboardInterrupt):
        pieces.run_pieces(request)
    pieces.run_pieces(request)
    names = [run.name for run in (*PIECES["sharing"], *PIECES["tau"])]
    assert done == [names[0], names[1], *names[1:]]
    assert open_runs(tmp_path, [*PIECES["sharing"], *PIECES["tau"]]) == []


def test_a_run_of_two_pieces_is_run_once(tmp_path: Path) -> None:
    assert open_runs(tmp_path, [MAIN, replace(MAIN), Run("softmax")]) == [MAIN, Run("softmax")]


def test_suites_write_what_the_report_reads_and_are_not_run_again(tmp_path: Path, data: Path, toy_bundle: Path) -> None:
    said: list[str] = []
    request = replace(
        request_of(tmp_path, data, toy_bundle, "membership", "accuracy", "refinement", "stress", said=said), limit=2
    )
    pieces.run_pieces(request)
    assert read_table(tmp_path / "membership.csv", MEMBERSHIP)[0]["rank_from"] == 1
    accuracy = read_table(tmp_path / "accuracy-val-limit2.csv", ACCURACY)
    assert {r["points"] for r in accuracy} == {68, 66, 51}
    curves = read_table(tmp_path / "curves-val-limit2.csv", CURVES)
    assert [r["error"] for r in curves[:2]] == [0.0, 0.002]
    assert read_table(tmp_path / "stress-val-limit2.csv", STRESS)[0]["n"] == 2
    assert not (tmp_path / "refinement-val-limit2.csv").exists()  # the toy has no refiner
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.csv")}
    pieces.run_pieces(request)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.csv")} == times
    assert sum("is there already" in line for line in said) == 3


def test_membership_ranks_faces_by_what_lies_within_tau(toy_bundle: Path) -> None:
    bundle = Bundle.load(toy_bundle)
    shapes, sizes = membership_sizes(bundle)
    apart = np.sqrt(((shapes[:, None] - bundle.exemplars.shapes[None]) ** 2).sum(axis=3).mean(axis=2))
    assert sizes.tolist() == (apart <= bundle.manifest.tau).sum(axis=1).tolist()
    rows = membership_rows(bundle)
    assert rows[-1]["rank_to"] == len(shapes)
    assert [r["members"] for r in rows] == sorted((r["members"] for r in rows), reverse=True)


def test_cost_is_measured_for_fewer_and_for_more_classes_than_there_are(
    tmp_path: Path, setting: suites.SuiteInputs
) -> None:
    crops = [np.zeros((32, 32, 3), np.uint8)]
    known = setting.bundle.exemplars.count
    write_table(tmp_path / "cost.csv", cost_rows(setting.bundle, setting.runtime, crops, (4, 2 * known + 1)))
    few, many = read_table(tmp_path / "cost.csv", COST)
    assert (few["k"], many["k"]) == (4, 2 * known + 1)
    assert many["head_mib"] > few["head_mib"] > 0
    assert few["backbone_ms"] == many["backbone_ms"] > 0


def test_video_rows_have_an_auc_and_all_frames_as_a_phase(
    tmp_path: Path, setting: suites.SuiteInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        FrameOutcome("per_frame", "visible", 0.02, (-5.0, 5.0)),
        FrameOutcome("per_frame", "hidden", 0.04, (1.0, 9.0)),
        FrameOutcome("per_frame", "hidden", np.inf, None),
    ]
    monkeypatch.setattr(suites, "run_video_suite", lambda *_, **__: {"given": found, "own": []})
    monkeypatch.setattr(suites, "create_default_detector", lambda known: {})
    monkeypatch.setattr(suites, "Aligner", lambda *a: Aligner(a[0], a[1], {}))
    write_table(tmp_path / "video.csv", suites.video_rows(setting))
    rows = {r["phase"]: r for r in read_table(tmp_path / "video.csv", VIDEO)}
    assert rows["visible"]["auc"] == 0.75
    assert rows["hidden"]["auc"] == 0.25
    assert rows["all"]["auc"] == pytest.approx(1.25 / 3, abs=1e-6)
    assert rows["all"]["n"] == 3
    assert rows["all"]["yaw_coverage"] is None


def test_an_answer_outside_a_membership_set_counts_unless_it_is_the_nearest(faces: SweepFaces) -> None:
    exemplars, val = faces.exemplars(Run("softmax", k=6)), faces.plain_val

    class Knows:
        """Scores every class by its nearness, or by its distance."""

        def __init__(self, sign: float) -> None:
            self.sign = sign

        def scores(self, crops: np.ndarray) -> np.ndarray:
            return self.sign * squared_distances(val.shapes, exemplars.shapes)

    best, worst = (measure(Knows(sign), Run("softmax", k=6, tau=1e-4), exemplars, val) for sign in (-1.0, 1.0))
    assert not best.wrong_class.any()
    assert not best.no_member.any()
    assert worst.wrong_class.all()
    assert worst.no_member.all()
    assert (best.top1 < worst.top1).all()
    np.testing.assert_allclose(best.top1, shape_errors(nearest(val.shapes, exemplars.shapes), val.shapes))


def nearest(shapes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return classes[((shapes[:, None] - classes[None]) ** 2).sum(axis=(2, 3)).argmin(axis=1)]
