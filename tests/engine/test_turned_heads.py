"""Turned heads: the map from the pose that the mean face says, faces turned far, and presence of turned faces."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from drawn_faces import write_prepared
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.calibration.presence import fit_presence, fit_presence_of_turned
from exalign_engine.calibration.turned import (
    PICTURES,
    TurnedAnswers,
    fit_beside,
    fit_map,
    stated,
    turned_answers,
    turned_rows,
)
from exalign_engine.cli import main
from exalign_engine.data.source import open_faces
from exalign_engine.exemplars.poses import Poses
from exalign_engine.geometry.canonical_face import CANONICAL_FACE, skull
from exalign_engine.geometry.head_pose import project, solve_pose
from exalign_engine.geometry.landmarks import MIRROR
from exalign_engine.geometry.pose_map import REACH, UNIT_YAW, PoseMap, fit_pose_map
from exalign_engine.metrics.presence import PresenceCrops
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.pose_calibrated import TURNS, calibrated_poses, turn_of
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.covered import LEAST, MOST, covered_crops
from exalign_engine.sampling.faces import FaceMemory, load_faces
from exalign_engine.sampling.profiled import (
    MOST_PITCH,
    MOST_YAW,
    drawn_pose,
    level_face,
    profiled_crops,
    straight_faces,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exalign_engine.network.outputs import Runtime

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BENT = PoseMap((1.3, 0.05, 0.02, -0.1), (-1.0, 1.8, 0.05, -0.3, 0.1, 2.0))
FLIP = np.array([-1.0, 1.0, -1.0])


def poses_within(degrees: Sequence[float], n: int, seed: int = 0) -> F64:
    return np.random.default_rng(seed).uniform(-1, 1, (n, 3)) * degrees


def test_without_a_map_a_head_has_the_pose_that_the_mean_face_says() -> None:
    pose = poses_within((90, 60, 180), 20)
    np.testing.assert_array_equal(PoseMap()(pose), pose)
    np.testing.assert_allclose(PoseMap().widening(pose), 1.0)


def test_a_mirrored_face_gets_the_mirrored_pose() -> None:
    pose = poses_within((60, 40, 90), 50)
    np.testing.assert_allclose(BENT(pose * FLIP), BENT(pose) * FLIP, atol=1e-12)


def test_the_map_is_found_from_pairs_of_poses() -> None:
    read = poses_within((45, 30, 20), 400)
    found = fit_pose_map(read, BENT(read) + np.random.default_rng(1).normal(0, 0.5, (400, 3)))
    np.testing.assert_allclose(found(read), BENT(read), atol=0.4)


def test_the_map_stretches_as_its_slope_says_and_is_held_beyond_its_reach() -> None:
    here, there = np.array([20.0, 10.0, 0.0]), np.array([21.0, 10.0, 0.0])
    assert BENT.widening((here + there) / 2)[0] == pytest.approx(BENT(there)[0] - BENT(here)[0], abs=0.01)
    up = np.array([0.0, 1.0, 0.0])
    assert BENT.widening(here + up / 2)[1] == pytest.approx(BENT(here + up)[1] - BENT(here)[1], abs=0.01)
    edge = REACH * UNIT_YAW
    factor = BENT(np.array([edge, 0.0, 0.0]))[0] / edge
    assert BENT(np.array([edge + 1, 0.0, 0.0]))[0] == pytest.approx(min((edge + 1) * factor, 90.0))
    assert BENT(np.array([90.0, 0.0, 0.0]))[0] == 90


def test_exemplars_are_mapped_from_what_the_mean_face_says_however_often() -> None:
    said = poses_within((40, 20, 30), 30).astype(np.float32)
    plain = Poses(CANONICAL_FACE, said, np.full((30, 3), 4.0, np.float32))
    assert plain.mapped(PoseMap()) is plain
    once = plain.mapped(BENT)
    np.testing.assert_allclose(once.pose, BENT(said), rtol=1e-6)
    np.testing.assert_allclose(once.variance, 4 * BENT.widening(said) ** 2, rtol=1e-6)
    np.testing.assert_array_equal(once.mapped(BENT).pose, once.pose)
    assert once.mapped(PoseMap()) is plain
    shapes = project(CANONICAL_FACE, poses_within((30, 20, 30), 5))
    np.testing.assert_array_equal(once.of(shapes), BENT(solve_pose(shapes, CANONICAL_FACE)))


def test_a_turned_head_is_known_less_well() -> None:
    beside = np.array([[1, 2, 3, 4, 6], [2, 2, 2, 2, 2], [0, 0, 0, 0, 0]], float)
    calibration = Calibration(pose_turned=tuple(beside.ravel()))
    pose = np.array([[37.5, 0, 0]], np.float32)
    _, variance = calibrated_poses(np.ones(1, np.float32), Poses(CANONICAL_FACE, pose, 0 * pose + 1), calibration)
    np.testing.assert_allclose(variance, [[1 + 3.5**2, 1 + 4, 1]], rtol=1e-6)
    assert turn_of(np.array([10.0, -30.0, 0.0])) == 45


def test_the_canonical_face_and_its_skull_are_symmetric() -> None:
    np.testing.assert_array_equal(CANONICAL_FACE, CANONICAL_FACE[list(MIRROR)] * (-1, 1, 1))
    eyes = CANONICAL_FACE[36:42].mean(axis=0) - CANONICAL_FACE[42:48].mean(axis=0)
    assert np.linalg.norm(eyes) == pytest.approx(1, abs=2e-3)
    head = skull(CANONICAL_FACE)
    assert head[:, 1].max() < CANONICAL_FACE[36:48, 1].max(), "it ends at the brows"
    np.testing.assert_allclose(np.linalg.norm(head[:, 3:], axis=1), 1)
    assert (head[:, 5] > 0).mean() > 0.8, "the viewer sees it"
    np.testing.assert_allclose(np.sort(head[:, 0]), np.sort(-head[:, 0]), atol=1e-12)


def test_poses_are_drawn_to_both_sides_and_no_farther_than_they_may() -> None:
    drawn = np.stack([drawn_pose(np.random.default_rng(i)) for i in range(400)])
    assert np.abs(drawn[:, 0]).max() <= MOST_YAW
    assert np.abs(drawn[:, 1]).max() <= MOST_PITCH
    assert drawn[:, :2].min(axis=0) == pytest.approx([-MOST_YAW, -MOST_PITCH], abs=8)
    assert drawn[:, :2].max(axis=0) == pytest.approx([MOST_YAW, MOST_PITCH], abs=8)


def test_a_profiled_crop_shows_its_face_in_the_pose_that_it_states(tmp_path: Path) -> None:
    write_prepared(tmp_path, 12, 0, 0, 3)
    faces = load_faces(open_faces(tmp_path, "train"))
    face = level_face(faces.landmarks)
    assert np.median(solve_pose(faces.landmarks, face)[:, 1]) == pytest.approx(0, abs=0.5)
    crops = list(profiled_crops(faces, face, 64, 1.3, limit=4, pictures=3, seed=1))
    again = list(profiled_crops(faces, face, 64, 1.3, limit=4, pictures=3, seed=1))
    assert len(crops) == 12
    for crop, same in zip(crops, again, strict=True):
        assert crop.crop.shape == (64, 64, 3)
        np.testing.assert_array_equal(crop.crop, same.crop)
        # The drawn face is not quite the canonical one: its own features turn with it.
        np.testing.assert_allclose(solve_pose(crop.shape[None], face)[0], crop.pose, atol=12)


def test_no_head_is_turned_where_so_few_would_teach_nothing(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor does the network look at one: there is none here."""
    write_prepared(tmp_path, 12, 0, 0, 3)
    faces, bundle = load_faces(open_faces(tmp_path, "train")), Bundle.load(toy_bundle)
    face = level_face(faces.landmarks)
    found = turned_answers(bundle, bundle.calibration, cast("Runtime", None), faces, face, val=False)
    assert len(found.known) == len(found.turns) == len(found.crops) == 0
    assert fit_map(found, bundle.poses.mean_face) == PoseMap()
    many = PICTURES * len(straight_faces(faces, face))
    assert f"no heads are turned: {many} pictures" in capsys.readouterr().err


def test_a_piece_of_another_photograph_covers_a_part_or_all() -> None:
    """Twenty faces of one colour each: what is of another colour is covered."""
    n, size, margin = 20, 52, 1.3
    images = [np.full((90, 90, 3), 10 * i, np.uint8) for i in range(n)]
    shape = np.stack([np.linspace(20, 70, 68), np.linspace(70, 20, 68)], axis=1)
    faces = FaceMemory(images, np.repeat(shape[None], n, axis=0), [str(i) for i in range(n)])
    augmenter = Augmenter(AugmentConfig(), size, margin)
    box = slice(6, 46)
    half, whole = (list(covered_crops(faces, augmenter, 3, wholly=wholly)) for wholly in (False, True))
    covered = np.array([(crop[box, box, 0] != 10 * i).mean() for i, crop in enumerate(half)])
    by_another = covered > 0
    assert by_another.sum() > n / 2
    assert (covered[by_another] > LEAST - 0.05).all()
    assert (covered < MOST + 0.05).all()
    assert np.mean([(crop != 10 * i).all() for i, crop in enumerate(whole)]) > 0.5
    assert all(len(np.unique(crop)) == 1 for crop in whole)


def answers_of(known: F64, read: F64, poses: Poses) -> TurnedAnswers:
    """Answers whose landmarks are read as ``read``, each certain of the exemplar that lies nearest."""
    shapes = project(poses.mean_face, read)
    turns: list[tuple[NDArray[np.intp], F32, F64]] = []
    for pose, shape in zip(read, shapes, strict=True):
        nearest = int(np.abs(poses.pose - pose).sum(axis=1).argmin())
        turns.append((np.array([nearest]), np.ones(1, np.float32), np.stack([shape, shape])))
    crops = PresenceCrops(np.full(len(known), 5.0), np.zeros((len(known), 0), np.float32))
    return TurnedAnswers(known, shapes, turns, crops)


def test_the_map_is_learnt_from_answers_about_turned_heads() -> None:
    read = poses_within((45, 25, 15), 300)
    poses = Poses(CANONICAL_FACE, read.astype(np.float32), np.ones((300, 3), np.float32))
    found = fit_map(answers_of(BENT(read), read, poses), CANONICAL_FACE)
    np.testing.assert_allclose(found(read), BENT(read), atol=0.2)
    few = answers_of(BENT(read)[:20], read[:20], poses)
    assert fit_map(few, CANONICAL_FACE) == PoseMap()
    assert fit_beside(few, poses, Calibration()) == Calibration().pose_turned
    assert turned_rows(answers_of(read[:0], read[:0], poses), poses, Calibration()) == []


def test_intervals_of_turned_heads_are_made_to_hold_their_mass() -> None:
    rng, n = np.random.default_rng(3), 1500
    known = poses_within((70, 5, 5), n, 4)
    spread = 2 + 0.05 * np.abs(known[:, 0])
    read = known + rng.normal(0, 1, (n, 3)) * np.stack([spread, np.full(n, 3.0), np.zeros(n)], axis=1)
    poses = Poses(CANONICAL_FACE, read.astype(np.float32), np.full((n, 3), 0.25, np.float32))
    answers = answers_of(known, read, poses)
    calibration = Calibration()
    calibration = Calibration(pose_turned=fit_beside(answers, poses, calibration))
    beside = np.reshape(calibration.pose_turned, (3, len(TURNS)))
    assert (np.diff(beside[0]) > 0).all(), "the farther, the less is known"
    assert (beside[2] == 0).all(), "roll was known"
    mean, variance = stated(answers, poses, calibration)
    held = np.abs(mean - known) <= 1.6449 * np.sqrt(variance)
    for low in (0, 15, 30, 45):
        here = (np.abs(known[:, 0]) >= low) & (np.abs(known[:, 0]) < low + 15)
        assert held[here, 0].mean() == pytest.approx(0.9, abs=0.06), low
    rows = turned_rows(answers, poses, calibration)
    assert [r["from"] for r in rows if r["angle"] == "yaw"] == [0, 15, 30, 45, 60]
    assert all(r["held_90"] == pytest.approx(0.9, abs=0.06) for r in rows if r["angle"] == "yaw" and r["from"] < 60)
    assert all(r["present"] == 1 for r in rows)


def looks(n: int, mass: float, side: float, seed: int) -> PresenceCrops:
    """Crops of a mass, whose embedding's first number says more; two looks."""
    rng = np.random.default_rng(seed)
    embedding = rng.normal(0, 1, (n, 2, 3))
    embedding[:, :, 0] += side
    return PresenceCrops(rng.normal(mass, 1, n), embedding.reshape(n, 6).astype(np.float32))


def test_presence_of_turned_faces_is_seen_in_the_embedding() -> None:
    train = [looks(400, 6, 2, 0), looks(400, 0, 2, 1)]
    val = [looks(200, 5, 2, 2), looks(200, 0, 2, 3)]
    empty, val_empty = looks(400, 0, -2, 4), looks(200, 0, -2, 5)
    fit = fit_presence_of_turned(train, empty, val, val_empty, looks=2)
    assert len(fit.weights) == 3
    by_both = Calibration(presence_embedding=(fit.slope, fit.offset, *fit.weights))
    mass = fit_presence(np.concatenate([c.mass for c in val]), val_empty.mass)
    by_mass = Calibration(presence_slope=mass.slope, presence_offset=mass.offset)

    def found(calibration: Calibration, crops: PresenceCrops) -> float:
        return float(np.mean([calibration.presence_of(*crop) >= 0.5 for crop in crops]))

    assert found(by_both, val[1]) > 0.97
    assert found(by_both, val_empty) < 0.03
    assert found(by_mass, val[1]) < 0.8


def test_presence_reads_the_mean_of_both_looks() -> None:
    calibration = Calibration(presence_embedding=(0.5, 0.25, 1.0, -2.0))
    scores = np.full(1, 3.0, np.float32)
    both = np.array([3.0, 1.0, 1.0, 2.0], np.float32)
    expected = 1 / (1 + math.exp(-(0.5 * 3 + 0.25 + 2.0 - 2 * 1.5)))
    assert calibration.presence(scores, both) == pytest.approx(expected)
    assert calibration.presence(scores, both[[2, 3, 0, 1]]) == pytest.approx(expected)
    assert calibration.presence(scores, np.array([2.0, 1.5], np.float32)) == pytest.approx(expected)
    for nothing in (None, np.zeros(0, np.float32)):
        assert calibration.presence(scores, nothing) == Calibration().presence(scores)


def test_an_embedding_of_another_size_is_refused() -> None:
    calibration = Calibration(presence_embedding=(1.0, 0.0, 1.0, 1.0))
    assert [calibration.reads(np.zeros(n, np.float32)) for n in (2, 3, 4)] == [True, False, True]
    with pytest.raises(ValueError, match="embedding of 2 numbers, there are 3"):
        calibration.presence(np.zeros(1, np.float32), np.zeros(3, np.float32))


def test_a_calibration_from_before_turned_heads_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    Calibration(temperature=0.3).write(path)
    raw = json.loads(path.read_text())
    for name in ("pose_yaw", "pose_pitch", "pose_turned", "presence_embedding"):
        del raw[name]
    path.write_text(json.dumps(raw))
    assert Calibration.read(path) == Calibration(temperature=0.3)


def test_what_is_fitted_alone_is_one_thing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "--data", "none", "--heads", "--detector", "blazeface"]) == 1
    assert "--detector: does not go with --heads" in capsys.readouterr().err
    assert main(["calibrate", "--data", "none", "--heads", "--report", "a.html"]) == 1
    assert "--heads: does not go with --report" in capsys.readouterr().err
