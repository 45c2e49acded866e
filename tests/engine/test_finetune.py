"""Fine-tuning: the last level as a regression, its fit beside faces that are not there, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle, default_bundle_path, sha256
from exalign_engine.bundle.moments_file import MOMENTS, Moments, read_moments, write_moments
from exalign_engine.calibration.last_level import LastLevel, MomentsMeter, last_weight, moved_rms, see_last_level
from exalign_engine.cli import main
from exalign_engine.data.source import open_faces
from exalign_engine.errors import BundleError
from exalign_engine.finetune.fitting import FOLDS, MOST_MOVED, Sums, Tried, best, choose, fit, folds, try_strengths
from exalign_engine.finetune.run import LEAST_FACES, moments_of
from exalign_engine.geometry.landmarks import mirror_shapes
from exalign_engine.network.batches import score
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.posterior.residual import STEP, ResidualHead
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import FaceMemory, load_faces
from toy_faces import MakePrepared

F64 = NDArray[np.float64]

INPUTS, LOOKS = 9, 2


def rows(count: int, seed: int, weight: F64, off: float = 0.0) -> LastLevel:
    """Crops whose truth is what a last level says, and ``off`` box sides beside it."""
    rng = np.random.default_rng(seed)
    hidden = np.maximum(rng.normal(0, 1, (count, LOOKS, INPUTS)), 0).astype(np.float32)
    hidden[:, 1], hidden[..., -1] = hidden[:, 0], 1  # a mirrored look that sees the same
    before = rng.uniform(0.2, 0.8, (count, 68, 2))
    said = before + STEP * (hidden[:, 0] @ weight.T).reshape(count, 68, 2)
    looks = np.stack([before, mirror_shapes(before)], axis=1).astype(np.float32)
    seen = LastLevel(hidden, looks, before, np.ones(count), said)
    # Both looks say their mean, so that mean is the truth here.
    return replace(seen, truth=seen.means(weight) + off)


def weights(seed: int, scale: float = 0.1) -> F64:
    return np.random.default_rng(seed).normal(0, scale, (136, INPUTS))


def test_the_fit_is_that_to_both_kinds_of_faces_without_the_others() -> None:
    weight, strength = weights(1), 0.7
    mine, others = rows(40, 2, weights(3)), rows(60, 4, weight)
    h = others.hidden.reshape(-1, INPUTS).astype(float)
    moments = h.T @ h / len(h)
    change = fit(Sums.of(mine), weight, moments, strength)
    x = mine.hidden.reshape(-1, INPUTS).astype(float)
    wrong = mine.target.reshape(len(x), -1) - x @ weight.T
    # Each face of theirs is asked to stay where it was; a weak ridge holds what neither has.
    ridge = np.sqrt(strength * 1e-3 * np.trace(moments) / INPUTS) * np.eye(INPUTS)
    stacked = np.concatenate([x / np.sqrt(len(x)), np.sqrt(strength) * h / np.sqrt(len(h)), ridge])
    asked = np.concatenate([wrong / np.sqrt(len(x)), np.zeros((len(h) + INPUTS, 136))])
    expected = np.linalg.lstsq(stacked, asked, rcond=None)[0].T
    np.testing.assert_allclose(change, expected, atol=1e-8)


def test_how_far_others_move_is_known_without_them() -> None:
    weight, change = weights(1), weights(2, 0.01)
    others = replace(rows(50, 3, weight), share=np.ones(50))
    h = others.hidden.reshape(-1, INPUTS).astype(float)
    one_look = LastLevel(others.hidden[:, :1], others.before[:, :1], others.start, others.share, others.truth)
    moved = one_look.means(weight + change) - one_look.means(weight)
    assert moved_rms(change, h.T @ h / len(h)) == pytest.approx(np.sqrt((moved**2).sum(axis=2).mean()), rel=1e-4)


def test_neighbours_are_left_out_together() -> None:
    held = folds(62)
    assert len(held) == FOLDS
    assert [face for fold in held for face in fold] == list(range(62))
    assert {len(fold) for fold in held} == {10, 11}


def test_each_face_is_judged_by_a_fit_that_had_not_seen_it() -> None:
    """Faces of one fold that are unlike all others gain nothing, however well they could be learned by heart."""
    weight = np.zeros((136, INPUTS))
    mine = rows(36, 5, weight)
    odd = folds(36)[2]
    truth = mine.truth.copy()
    truth[odd.start : odd.stop] += 0.05
    mine = replace(mine, truth=truth)
    moments = np.eye(INPUTS)
    for tried in try_strengths([mine.part(fold) for fold in folds(36)], mine, weight, moments):
        assert tried.errors[odd.start : odd.stop].min() > 0.02
        assert len(tried.left_out) == FOLDS


def test_what_would_move_others_is_not_chosen() -> None:
    def tried(moved: float, error: float) -> Tried:
        return Tried(1.0, np.zeros((136, INPUTS)), moved, np.full(20, error), ())

    far, near, nearest = tried(2 * MOST_MOVED, 0.01), tried(MOST_MOVED, 0.02), tried(0.1 * MOST_MOVED, 0.03)
    assert best([far, near, nearest], MOST_MOVED) is near
    assert best([far, tried(3 * MOST_MOVED, 0.001)], MOST_MOVED) is far


def test_no_face_has_a_say_in_the_strength_that_answers_it() -> None:
    """The first fold alone needs care, and would be answered carefully if it were asked."""
    held = folds(36)
    bold, careful = np.full(36, 0.02), np.full(36, 0.03)
    bold[held[0].start : held[0].stop], careful[held[0].start : held[0].stop] = 0.5, 0.01
    tried = [
        Tried(1.0, np.ones((136, INPUTS)), 0.0, error, [np.full(1, i)] * FOLDS)
        for i, error in enumerate((bold, careful))
    ]
    chosen = choose(tried)
    assert chosen.taken is tried[1]
    assert chosen.errors[: len(held[0])].tolist() == [0.5] * len(held[0])
    assert chosen.left_out[0] == 0
    assert [int(fit_[0]) for fit_ in chosen.left_out[1:]] == [1] * (FOLDS - 1)


def measure(bundle: Path, data: Path) -> list[str]:
    return ["calibrate", "--moments", "--bundle", str(bundle), "--data", str(data), "--threads", "1"]


@pytest.fixture(scope="module")
def measured(
    toy_bundle: Path, make_prepared: MakePrepared, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A bundle that keeps what it needs of its training faces, and a folder of faces; never to be changed."""
    folder = tmp_path_factory.mktemp("measured")
    bundle, data = Path(shutil.copytree(toy_bundle, folder / "bundle")), folder / "faces"
    make_prepared(data, ["train"] * 24)
    before = Bundle.load(bundle)
    assert main(measure(bundle, data)) == 0
    assert Bundle.load(bundle).id == before.id
    return bundle, data


@pytest.fixture
def ready(measured: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Path]:
    """Copies that a test may change."""
    capsys.readouterr()
    bundle, data = (Path(shutil.copytree(one, tmp_path / one.name)) for one in measured)
    return bundle, data


def seen(bundle: Bundle, memory: FaceMemory):  # type: ignore[no-untyped-def]
    head = bundle.residual
    assert head is not None
    augmenter = Augmenter(AugmentConfig(), bundle.manifest.input_size, bundle.manifest.margin)
    samples = [augmenter.plain(i, p) for i, p in zip(memory.images, memory.landmarks, strict=True)]
    outputs = score(create_runtime("auto", bundle.network, threads=1), (s.crop for s in samples))
    model = PosteriorModel(bundle.exemplars, bundle.calibration, head)
    return model, head, outputs, np.stack([s.shape for s in samples])


def test_what_the_last_level_sees_gives_the_posteriors_mean(measured: tuple[Path, Path]) -> None:
    bundle = Bundle.load(measured[0])
    model, head, outputs, shapes = seen(bundle, load_faces(open_faces(measured[1], "train")))
    level = see_last_level(model, head, outputs.rows(), shapes)
    expected = [model.posterior(row.scores, row.image).mean for row in outputs.rows()]
    np.testing.assert_allclose(level.means(last_weight(head)), expected, atol=1e-5)


def test_moments_are_those_of_each_training_face_once(measured: tuple[Path, Path]) -> None:
    bundle = Bundle.load(measured[0])
    model, head, outputs, shapes = seen(bundle, load_faces(open_faces(measured[1], "train")))
    meter = MomentsMeter(model, head, 20)
    meter.see(outputs, shapes)
    meter.see(outputs, shapes)  # is no more asked for
    h = see_last_level(model, head, outputs.rows()[:20], shapes[:20]).hidden.reshape(20, -1).astype(np.float64)
    np.testing.assert_allclose(meter.moments.second, h.T @ h / 20, rtol=1e-6)
    assert (meter.moments.rows, moments_of(bundle).rows) == (20, 24)


def command(bundle: Path, data: Path, out: Path, *more: str) -> list[str]:
    return ["finetune", "--from", str(bundle), "--data", str(data), "--out", str(out), "--threads", "1", *more]


def with_another_convention(data: Path) -> None:
    """Annotators who place the mouth lower than those of the bundle's faces; the boxes stay."""
    landmarks = np.load(data / "landmarks.npy")
    landmarks[:, 48:, 1] += 0.1 * np.ptp(landmarks[:, :, 1], axis=1)[:, None]
    np.save(data / "landmarks.npy", landmarks)


def test_faces_that_gain_make_a_bundle_that_differs_in_nothing_else(
    ready: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle, data), out = ready, tmp_path / "tuned"
    with_another_convention(data)
    old = Bundle.load(bundle)
    assert main(command(bundle, data, out, "--json", "--most-moved", "2")) == 0
    printed = capsys.readouterr()
    figures = json.loads(printed.out)
    assert figures["gained"]
    assert figures["auc"] > figures["auc_before"]
    assert 0 < figures["moved_elsewhere"] <= 0.02
    assert "each answered by a fit that had not seen it" in printed.err
    new = Bundle.load(out)
    changed = {name for name, value in new.manifest.files.items() if old.manifest.files[name] != value}
    assert changed == {"residual.npz", "calibration.json"}
    assert new.manifest.licences == old.manifest.licences
    assert new.manifest.training_data == "none; its residual was fine-tuned to 24 faces of faces"
    figures.pop("gained")
    assert new.calibration.card["fine_tuning"] == new.manifest.metrics["fine_tuning"] == figures
    narrowed = old.calibration.kernel_scale * figures["kernel_factor"]
    assert new.calibration.kernel_scale == pytest.approx(narrowed, rel=1e-3)
    assert (out / MOMENTS).is_file()
    assert Bundle.load(bundle).id == old.id
    assert main(command(bundle, data, out, "--most-moved", "nan")) == 1
    said = capsys.readouterr().err
    assert "exists already" in said
    assert "--most-moved: is nan" in said


def test_faces_that_gain_nothing_leave_the_old_bundle(
    ready: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pictures are noise, and the shapes are like those that the bundle has: there is nothing to learn."""
    out = tmp_path / "runs" / "tuned"
    assert main(command(*ready, out)) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"no gain beyond chance; nothing was written, {ready[0]} stays" in said
    assert not out.parent.exists()


def remove(bundle: Path) -> None:
    (bundle / MOMENTS).unlink()


def of_another(bundle: Path) -> None:
    write_moments(bundle, Moments(np.eye(257), 3), "0" * 64)


def of_other_size(bundle: Path) -> None:
    write_moments(bundle, Moments(np.eye(5), 3), sha256(bundle / "residual.npz"))


def garbage(bundle: Path) -> None:
    (bundle / MOMENTS).write_bytes(b"PK\x03\x04 no archive")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (remove, "exalign-model calibrate writes it"),
        (of_another, "is of another residual.npz"),
        (of_other_size, "upper has shape (15,)"),
        (garbage, "cannot be read"),
    ],
)
def test_a_bundle_that_keeps_nothing_of_its_training_is_refused_in_one_line(
    ready: tuple[Path, Path],
    tmp_path: Path,
    damage: Callable[[Path], None],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(ready[0])
    assert main(command(*ready, tmp_path / "tuned")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert MOMENTS in line
    assert says in line


def test_too_few_faces_are_refused(
    ready: tuple[Path, Path], make_prepared: MakePrepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_prepared(tmp_path / "few", ["train"] * (LEAST_FACES - 1))
    assert main(command(ready[0], tmp_path / "few", tmp_path / "tuned")) == 1
    assert f"at least {LEAST_FACES}" in capsys.readouterr().err
    assert main(command(*ready, ready[1] / "faces.npz")) == 2


def test_what_is_calibrated_alone_is_alone(ready: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*measure(*ready), "--report", "page.html"]) == 1
    assert "--moments: does not go with --report" in capsys.readouterr().err


def test_moments_survive_their_file(tmp_path: Path) -> None:
    root = np.random.default_rng(3).normal(0, 1, (7, 7))
    moments = Moments(root @ root.T, 12)
    write_moments(tmp_path, moments, "a" * 64)
    back = read_moments(tmp_path, "a" * 64, 7)
    np.testing.assert_allclose(back.second, moments.second, rtol=1e-6)
    assert back.rows == 12
    with pytest.raises(BundleError, match="of another"):
        read_moments(tmp_path, "b" * 64, 7)


def test_the_shipped_bundle_can_be_fine_tuned() -> None:
    bundle = Bundle.load(default_bundle_path())
    moments = moments_of(bundle)
    assert moments.rows >= 4000
    assert np.linalg.eigvalsh(moments.second).min() > -1e-3 * np.trace(moments.second)
    assert isinstance(bundle.residual, ResidualHead)
