"""NoC@τ: how many clicks a face needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from exalign_engine.cli import main
from exalign_engine.evaluation.stress.noc import (
    CONDITIONS,
    MOST_CLICKS,
    POINT,
    SHIFT,
    clicks_needed,
    control_answers,
    noc_report,
)
from exalign_engine.face.click_policies import CLICKING, Case
from exalign_engine.geometry.landmarks import N_LANDMARKS

if TYPE_CHECKING:
    from exalign_engine.posterior.posterior import Posterior
    from toy_faces import MakePrepared


class Answer:
    """As much of a posterior as the controls look at."""

    def __init__(self, mean: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
        self.mean = mean


def case(offsets: dict[int, float], everywhere: float = 0.0) -> Case:
    """A face whose answer is off to the right by so much, at some landmarks by more; clicks are exact."""
    truth = np.random.default_rng(0).uniform(0, 1, (N_LANDMARKS, 2))
    mean = truth + np.array((everywhere, 0.0))
    for landmark, offset in offsets.items():
        mean[landmark, 0] += offset
    posterior: Posterior = Answer(mean)  # type: ignore[assignment]
    return Case(posterior, truth, truth, 0.01, "a face")


def test_no_answer_is_asked_for_that_is_not_needed() -> None:
    asked = []

    def errors() -> Iterator[float]:
        for error in (0.05, 0.03, 0.025, 0.019, 0.5):
            asked.append(error)
            yield error

    assert clicks_needed(errors(), (0.02, 0.03)) == [3, 2]  # .03 is not below .03
    assert asked == [0.05, 0.03, 0.025, 0.019]


def test_a_face_that_is_right_needs_none_and_one_that_never_gets_there_has_no_number() -> None:
    assert clicks_needed(iter([0.01, 0.0]), (0.02,)) == [0]
    assert clicks_needed(iter([0.04, 0.021]), (0.02, 0.03)) == [None, 1]


def test_where_points_move_alone_the_farthest_are_clicked_first() -> None:
    face = case({3: 0.2, 7: 0.4, 9: 0.1}, everywhere=0.01)
    errors = [face.error(points) * N_LANDMARKS for points in control_answers(POINT, face, 3)]
    total = 0.01 * N_LANDMARKS + 0.7
    np.testing.assert_allclose(errors, [total - 0.41, total - 0.62, total - 0.73], atol=1e-9)


def test_a_shape_that_shifts_is_right_where_it_is_off_by_the_same_everywhere() -> None:
    face = case({}, everywhere=0.3)
    for points in control_answers(SHIFT, face, 2):
        assert face.error(points) == pytest.approx(0.0, abs=1e-9)
    # Two clicks say .5 and .3: by their mean it shifts.
    answers = list(control_answers(SHIFT, case({5: 0.2}, everywhere=0.3), 2))
    np.testing.assert_allclose(answers[1] - answers[0], np.tile((0.1, 0.0), (N_LANDMARKS, 1)), atol=1e-9)


def test_the_report_counts_who_never_gets_there_as_ten() -> None:
    rows = noc_report({("mixed", 3, "suggested"): [[None, 2], [4, 0]]})["rows"]
    assert [(row["threshold"], row["noc"], row["never"], row["n"]) for row in rows] == [
        (0.02, (MOST_CLICKS + 4) / 2, 50.0, 2),
        (0.03, 1.0, 0.0, 2),
    ]


def test_the_command_prints_every_policy(
    toy_bundle: Path, tmp_path: Path, make_prepared: MakePrepared, capsys: pytest.CaptureFixture[str]
) -> None:
    make_prepared(tmp_path, ["test"])
    command = ["evaluate", "--suite", "clicks", "--bundle", str(toy_bundle), "--data", str(tmp_path)]
    assert main([*command, "--json", "--runtime", "onnxruntime"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == 2 * len(CONDITIONS) * (len(CLICKING) + 2)
    for row in rows:
        assert 0 <= row["noc"] <= MOST_CLICKS
        assert row["n"] == 1
    assert main([*command, "--picture", str(tmp_path / "x.png")]) == 1
    assert "--picture" in capsys.readouterr().err
