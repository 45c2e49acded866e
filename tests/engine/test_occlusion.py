"""Hidden landmarks: the head against a slow float64 twin, how it is learnt, its file, and who answers by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from drawn_faces import write_prepared
from exalign_engine import Aligner
from exalign_engine.bundle.bundle import Bundle, seal
from exalign_engine.bundle.occlusion_file import OCCLUSION, read_occlusion, write_occlusion
from exalign_engine.calibration import occlusion as fitting
from exalign_engine.calibration.occlusion_learning import Looks, learn, loss_and_slope, sureness
from exalign_engine.cli import main
from exalign_engine.errors import BundleError
from exalign_engine.evaluation.occlusion.kinds import UNSEEN
from exalign_engine.geometry.landmarks import MIRROR, mirror_shapes
from exalign_engine.metrics.occlusion import occlusion_report
from exalign_engine.posterior.occlusion import PLACES, OcclusionHead, seen_at
from exalign_engine.posterior.residual import ImageFeatures
from exalign_engine.runtime import create_runtime
from map_twin import sample_twin

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

N, MARGIN, CHANNELS, EMBEDDING, SUMMARY, HIDDEN = 68, 1.3, 3, 5, 4, 6


def made(channels: int = CHANNELS, embedding: int = EMBEDDING, seed: int = 0) -> OcclusionHead:
    """A random head; what is kept in half precision is exact there."""
    rng = np.random.default_rng(seed)

    def half(*shape: int) -> F32:
        return rng.normal(0, 0.3, shape).astype(np.float16).astype(np.float32)

    return OcclusionHead(
        summary_weight=half(SUMMARY, channels * N + embedding + 2 * N),
        summary_bias=half(SUMMARY),
        weight=half(HIDDEN, channels * len(PLACES)),
        bias=half(N, HIDDEN),
        summary_into=half(HIDDEN, SUMMARY),
        out=half(N, HIDDEN),
        offset=half(N),
        summary_out=half(N, SUMMARY),
        sureness=np.array([0.7, -0.2], np.float32),
        margin=MARGIN,
    )


def look(seed: int) -> ImageFeatures:
    rng = np.random.default_rng([seed, 1])
    local = rng.normal(0, 1, (CHANNELS, 6, 7)).astype(np.float32)
    return ImageFeatures(rng.normal(0, 1, EMBEDDING).astype(np.float32), local)


def both(first: ImageFeatures, second: ImageFeatures) -> ImageFeatures:
    """What a network that looks twice gives."""
    return ImageFeatures(
        np.concatenate([first.embedding, second.embedding]), np.concatenate([first.local, second.local])
    )


def twin(head: OcclusionHead, image: ImageFeatures, shape: F64) -> F64:
    """z of Eq. O1 to O3, float64 throughout, one look."""
    at = [np.stack([sample_twin(image.local, x, y, MARGIN) for x, y in shape + MARGIN * place]) for place in PLACES]
    read = np.concatenate([at[0].T.ravel(), image.embedding, shape.ravel() - 0.5])
    j = np.maximum(head.summary_weight.astype(np.float64) @ read + head.summary_bias, 0)
    h = np.maximum(np.concatenate(at, axis=1) @ head.weight.T + head.bias + head.summary_into @ j, 0)
    return np.asarray((h * head.out).sum(axis=1) + head.offset + head.summary_out @ j)


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_agree_with_float64(seed: int) -> None:
    # Far beyond the crop too: the border goes on.
    shape = 0.5 + np.random.default_rng([seed, 2]).normal(0, 0.5, (N, 2))
    head, image = made(seed=seed), look(seed)
    z = twin(head, image, shape)
    np.testing.assert_allclose(head.scores_of(seen_at(image, 1, shape, MARGIN)), z, atol=2e-5)
    np.testing.assert_allclose(head.probabilities(image, shape), 1 / (1 + np.exp(0.2 - 0.7 * z)), atol=1e-5)


def test_of_two_looks_it_is_the_mean_and_mirrors_with_the_picture() -> None:
    shape = np.random.default_rng(3).uniform(0, 1, (N, 2))
    head, one, other = made(), look(1), look(2)
    z = (twin(head, one, shape) + twin(head, other, mirror_shapes(shape))[MIRROR]) / 2
    found = head.probabilities(both(one, other), shape)
    np.testing.assert_allclose(found, head.sure(z), atol=1e-5)
    np.testing.assert_allclose(head.probabilities(both(other, one), mirror_shapes(shape)), found[MIRROR], atol=1e-6)


def test_the_slope_of_the_loss_is_its_derivative() -> None:
    rng, head = np.random.default_rng(0), made()
    names = [f.name for f in fields(head) if f.name not in ("sureness", "margin")]
    p: dict[str, Any] = {name: getattr(head, name).astype(np.float64) for name in names}
    x, u = rng.normal(0, 1, (5, N, head.weight.shape[1])), rng.normal(0, 1, (5, head.summary_weight.shape[1]))
    hidden = rng.random((5, N)) < 0.3
    _, slope = loss_and_slope(p, x, u, hidden)
    for name in names:
        at = np.unravel_index(int(np.abs(slope[name]).argmax()), p[name].shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = {**p, name: p[name].copy()}
            moved[name][at] += step
            ends.append(loss_and_slope(moved, x, u, hidden)[0])
        assert slope[name][at] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3), name


def test_what_is_hidden_is_learnt_and_features_are_read_as_they_are() -> None:
    """Hidden is what the first channel says at the landmark; its scale is far from 1, and its mean from 0."""
    rng, b = np.random.default_rng(0), 600
    hidden = rng.random((b, N)) < 0.3
    places = rng.normal(0, 1, (b, N, 2 * len(PLACES)))
    places[:, :, 0] = 40 + 10 * (hidden + rng.normal(0, 0.25, (b, N)))
    summary = rng.normal(0, 1, (b, 2 * N + 3 + 2 * N))
    head = learn(Looks(places.astype(np.float16), summary.astype(np.float16), hidden), MARGIN, batch=16)
    j = np.maximum(summary @ head.summary_weight.T + head.summary_bias, 0)
    h = np.maximum(places @ head.weight.T + head.bias + (j @ head.summary_into.T)[:, None], 0)
    z = (h * head.out).sum(axis=2) + head.offset + j @ head.summary_out.T
    assert ((z > 0) == hidden).mean() > 0.93


def test_sureness_is_found_from_scores_that_claim_too_much() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(0, 3, (600, N))
    hidden = rng.random(z.shape) < 1 / (1 + np.exp(-(0.4 * z - 1)))
    assert sureness(z, hidden) == pytest.approx((0.4, -1.0), abs=0.02)


def test_figures_of_what_is_known_and_of_what_is_not() -> None:
    rng = np.random.default_rng(0)
    hidden = np.zeros((400, N), bool)
    hidden[200:] = rng.random((200, N)) < 0.4
    kinds = ["clean"] * 200 + ["hand", "mask"] * 100
    known = occlusion_report(np.where(hidden, 0.9, 0.04), hidden, kinds)
    assert (known["roc_auc"], known["roc_auc_least"], known["flagged_clean"]) == (1, 1, 0)
    assert known["expected_calibration_error"] == pytest.approx(0.04 * 0.8 + 0.1 * 0.2, abs=5e-3)
    assert {k: row["crops"] for k, row in known["kinds"].items()} == {"hand": 100, "mask": 100}
    blind = occlusion_report(np.full(hidden.shape, 0.6), hidden, kinds)
    assert (blind["roc_auc"], blind["flagged_clean"], blind["found"]) == (0.5, 100, 100)
    assert "roc_auc" not in occlusion_report(np.zeros((3, N)), hidden[:3], kinds[:3])


def test_a_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    head = made()
    write_occlusion(tmp_path / OCCLUSION, head)
    held = read_occlusion(tmp_path / OCCLUSION, MARGIN)
    for f in fields(head):
        np.testing.assert_array_equal(getattr(held, f.name), getattr(head, f.name))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.pop("out"), "no array 'out'"),
        (
            lambda a: a.update(bias=a["bias"][:, :2]),
            "bias has shape (68, 2), weight and summary_weight ask for (68, 6)",
        ),
        (lambda a: a.update(offset=a["offset"][:9]), "offset has shape (9,), expected (68,)"),
        (lambda a: a.update(sureness=np.array([np.nan, 0])), "sureness holds a value that is not finite"),
        (
            lambda a: a.update(
                {
                    k: v[:0]
                    if k == "weight"
                    else v[:, :0]
                    if k in ("bias", "out")
                    else v[:0]
                    if k == "summary_into"
                    else v
                    for k, v in a.items()
                }
            ),
            "has no row",
        ),
    ],
)
def test_every_damage_is_named(tmp_path: Path, change: Callable[[dict[str, Any]], Any], says: str) -> None:
    arrays: dict[str, Any] = dict(made().to_arrays())
    change(arrays)
    np.savez(tmp_path / OCCLUSION, **arrays)
    with pytest.raises(BundleError) as caught:
        read_occlusion(tmp_path / OCCLUSION, MARGIN)
    assert says in str(caught.value)
    assert OCCLUSION in str(caught.value)


def test_a_head_of_another_network_is_refused(toy_bundle_copy: Path) -> None:
    bundle = Bundle.load(toy_bundle_copy)
    assert bundle.occlusion is None
    write_occlusion(toy_bundle_copy / OCCLUSION, made())
    seal(toy_bundle_copy, bundle.manifest)
    with pytest.raises(BundleError, match=r"does not fit occlusion\.npz"):
        Aligner.default(toy_bundle_copy)


def test_a_bundle_is_taught_and_everything_else_stays(
    toy_bundle_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("ROUNDS", 1), ("TURNED_FACES", 3), ("LEAST_FACES", 20)):
        monkeypatch.setattr(fitting, name, value)
    write_prepared(tmp_path / "faces", 24, 12, 12, 3)
    before = Bundle.load(toy_bundle_copy)
    files = {f.name: f.read_bytes() for f in toy_bundle_copy.iterdir()}
    runtime = create_runtime("onnxruntime", before.network)
    picture = np.random.default_rng(0).integers(0, 255, (90, 80, 3), np.uint8)
    (old,) = Aligner(before, runtime, {}).align(picture, [(10, 15, 70, 75)])
    assert old.occluded is None
    arguments = ["--bundle", str(toy_bundle_copy), "--data", str(tmp_path / "faces"), "--runtime", "onnxruntime"]
    assert main(["calibrate", "--occlusion", *arguments]) == 0
    assert "hidden landmarks of val: ROC AUC" in capsys.readouterr().err
    after = Bundle.load(toy_bundle_copy)
    changed = {f.name for f in toy_bundle_copy.iterdir() if files.get(f.name) != f.read_bytes()}
    assert changed == {OCCLUSION, "calibration.json", "manifest.json"}
    assert replace(after.calibration, card={}) == replace(before.calibration, card={})
    assert after.calibration.card["occlusion"]["crops_taught"] >= 24
    (new,) = Aligner(after, runtime, {}).align(picture, [(10, 15, 70, 75)])
    np.testing.assert_array_equal(new.landmarks, old.landmarks)
    assert new.occluded is not None
    assert new.occluded.shape == (N,)
    assert (np.abs(new.occluded - 0.5) <= 0.5).all()
    assert main(["evaluate", "--suite", "occlusion", "--json", "--limit", "3", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["kinds"]) == set(UNSEEN)
    assert (found["faces"], found["occluded"]) == (3, 3 * len(UNSEEN))


def test_few_faces_teach_nothing(toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_prepared(tmp_path, 4, 2, 2, 3)
    assert main(["calibrate", "--occlusion", "--bundle", str(toy_bundle), "--data", str(tmp_path)]) == 1
    assert "--data: has 4 faces of train, must have 200 at least" in capsys.readouterr().err


def test_a_bundle_that_cannot_tell_is_not_judged(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_prepared(tmp_path, 2, 2, 2, 3)
    assert main(["evaluate", "--suite", "occlusion", "--bundle", str(toy_bundle), "--data", str(tmp_path)]) == 1
    assert "has no occlusion.npz" in capsys.readouterr().err
