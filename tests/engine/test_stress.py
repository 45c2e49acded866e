"""The stress suite: deterministic, independent of the rows' order, and every row is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.cli import main
from exalign_engine.data import open_faces
from exalign_engine.data.face_source import FaceSource
from exalign_engine.evaluation.stress.suite import Key, comparisons, run_suite, stress_report
from exalign_engine.face.click_policies import RANDOM_ORDERS
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.corruptions import CORRUPTIONS, OCCLUDER, PICTURE, SEVERITIES, seeded, stress

if TYPE_CHECKING:
    from toy_faces import MakePrepared

FACES = 3


class Reversed:
    """Faces in the opposite order."""

    def __init__(self, faces: FaceSource) -> None:
        self.ids, self.origins = faces.ids[::-1], faces.origins[::-1]
        self.landmarks = faces.landmarks[::-1]
        self._faces = faces

    def __len__(self) -> int:
        return len(self._faces)

    def image(self, index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return self._faces.image(len(self) - 1 - index)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, make_prepared: MakePrepared) -> Path:
    folder = tmp_path_factory.mktemp("stress")
    make_prepared(folder, ["test"] * FACES)
    return folder


def run(bundle: Path, faces: FaceSource, limit: int = 0) -> dict[Key, list[float]]:
    loaded = Bundle.load(bundle)
    return run_suite(loaded, create_runtime("onnxruntime", loaded.network), faces, limit=limit)


@pytest.fixture(scope="module")
def errors(toy_bundle: Path, data: Path) -> dict[Key, list[float]]:
    """The whole suite."""
    return run(toy_bundle, open_faces(data, "test"))


def test_the_order_of_the_rows_changes_nothing(toy_bundle: Path, data: Path, errors: dict[Key, list[float]]) -> None:
    backward = run(toy_bundle, Reversed(open_faces(data, "test")))
    assert list(errors) == list(backward)
    for key, forward in errors.items():
        # A face's errors stay together, also where there are several.
        there, back = (np.reshape(e, (FACES, -1)) for e in (forward, backward[key]))
        np.testing.assert_allclose(there, back[::-1], atol=1e-5, err_msg=str(key))


def test_the_report_has_every_row_and_the_oracle_bounds_each_first_click(errors: dict[Key, list[float]]) -> None:
    rows = stress_report(errors)["rows"]
    # 22 conditions with two answers each; five of them with translate and four policies of three clicks.
    assert len(rows) == 22 * 2 + 5 * 13
    assert {r["n"] for r in rows} == {FACES}
    assert {len(e) for key, e in errors.items() if key[2] == "random"} == {FACES * RANDOM_ORDERS}
    for corruption, severity in (("clean", 0), ("occluder", 3), ("mixed", 3)):
        best = np.array(errors[corruption, severity, "oracle", 1])
        for policy in ("nose", "random", "suggested"):
            others = np.reshape(errors[corruption, severity, policy, 1], (FACES, -1))
            assert (best[:, None] <= others + 1e-6).all()


def test_a_policy_is_compared_with_the_mean_over_random_orders() -> None:
    e: dict[Key, list[float]] = {("clean", 0, p, 1): [0.04, 0.02] for p in ("suggested", "nose", "oracle")}
    e["clean", 0, "random", 1] = [0.08, 0.04] * (RANDOM_ORDERS // 2) + [0.02, 0.10] * (RANDOM_ORDERS // 2)
    random = next(c for c in comparisons(e) if c["other"] == "random")
    # Shares of AUC: .5 and .75 against the means of (0, .5) and (.75, 0).
    assert random["auc"]["mean"] == pytest.approx((0.25 + 0.375) / 2)
    assert random["failure_rate"]["mean"] == pytest.approx(-25.0)


def test_the_command_prints_one_object_and_draws(
    toy_bundle: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--suite", "stress", "--bundle", str(toy_bundle), "--data", str(data)]
    out = tmp_path / "out.png"
    assert main([*command, "--limit", "2", "--json", "--picture", str(out), "--runtime", "onnxruntime"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["suite"] == "stress"
    assert {r["n"] for r in printed["rows"]} == {2}
    assert set(printed["rows"][0]) == {
        "corruption",
        "severity",
        "policy",
        "clicks",
        "n",
        "failure_rate",
        "auc",
        "nrmse_mean",
    }
    assert out.stat().st_size > 10_000


def test_wrong_options_are_named_together(toy_bundle: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--suite", "stress", "--bundle", str(toy_bundle), "--data", str(data)]
    assert main([*command, "--limit", "-1", "--frames"]) == 1
    err = capsys.readouterr().err
    assert "--limit: is -1" in err
    assert "--frames" in err


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_corruption_depends_on_the_id_alone(data: Path, corruption: str, severity: int) -> None:
    faces = open_faces(data, "test")
    image, points = faces.image(0), faces.landmarks[0]
    one, again = (stress(image, points, "a", corruption, severity) for _ in range(2))
    assert (one.picture == again.picture).all()
    assert one.given == again.given
    clean = stress(image, points, "a", "clean", 0)
    assert (one.picture != clean.picture).any() or one.given != clean.given
    assert one.picture.shape == (PICTURE, PICTURE, 3)


def test_the_occluder_hides_its_share_of_the_box(data: Path) -> None:
    faces = open_faces(data, "test")
    for severity, share in zip(SEVERITIES, OCCLUDER, strict=True):
        clean = stress(faces.image(1), faces.landmarks[1], "b", "clean", 0)
        hidden = stress(faces.image(1), faces.landmarks[1], "b", "occluder", severity)
        changed = (hidden.picture != clean.picture).any(axis=2).sum() / clean.given.side**2
        assert changed == pytest.approx(share, abs=0.05)


def test_an_unknown_corruption_is_refused(data: Path) -> None:
    faces = open_faces(data, "test")
    with pytest.raises(ValueError, match="'fog' of severity 1 is unknown"):
        stress(faces.image(0), faces.landmarks[0], "a", "fog", 1)


def test_seeds_differ_by_id_and_purpose() -> None:
    draws = {float(seeded(i, p).random()) for i in ("a", "b") for p in ("box", "clicks")}
    assert len(draws) == 4
