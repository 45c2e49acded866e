"""What the cascade learns from: crops, their mirror images, starts that are off, and the pose classes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from benchmarks.cascade.examples import Examples, collect, disturbed_crops, perturbed, plain_crops, pose_classes
from numpy.typing import NDArray

from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.landmarks import mirror_shapes
from exalign_engine.network.outputs import Outputs
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import FaceMemory

if TYPE_CHECKING:
    from toy_faces import MakeShapes

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

N = 68


def test_the_classes_mirror_one_another(toy_exemplars: Exemplars) -> None:
    centres = pose_classes(toy_exemplars, 10)
    np.testing.assert_allclose(centres[5:], mirror_shapes(centres[:5]), atol=1e-6)
    assert centres.dtype == np.float32
    np.testing.assert_array_equal(pose_classes(toy_exemplars, 10), centres)


@pytest.mark.parametrize("classes", [0, 7, 62])
def test_a_number_of_classes_that_cannot_be_is_refused(toy_exemplars: Exemplars, classes: int) -> None:
    with pytest.raises(ValueError, match=f"classes is {classes}, must be even and from 2 to 60"):
        pose_classes(toy_exemplars, classes)


def test_perturbed_starts_are_off_by_the_amount_and_the_examples_stay(make_shapes: MakeShapes) -> None:
    shapes = make_shapes(30, 2).astype(np.float32)
    val = Examples(np.zeros((30, 1, 2, 2), np.float16), np.zeros((30, 1), np.float32), shapes, shapes)
    before = val.starts.copy()
    moved = perturbed(val, 1.0, 3)
    np.testing.assert_array_equal(val.starts, before)
    np.testing.assert_array_equal(perturbed(val, 1.0, 3).starts, moved.starts)
    np.testing.assert_allclose(perturbed(val, 0.0, 3).starts, before, atol=1e-6)
    off = np.sqrt(((moved.starts - before) ** 2).sum(axis=2).mean(axis=1))
    assert 0.02 < off.mean() < 0.06
    np.testing.assert_array_equal(moved.truths, val.truths)


class FakeRuntime:
    """Scores exemplars by the first pixel; local and embedding tell the mean of the crop's left half."""

    def __init__(self, k: int, looks: int = 1, local: bool = True) -> None:
        self.k, self.looks, self.local = k, looks, local

    def infer(self, crops: U8) -> Outputs:
        b = len(crops)
        scores = np.zeros((b, self.k), np.float32)
        scores[np.arange(b), crops[:, 0, 0, 0] % self.k] = 60.0
        seen = crops[:, :, : crops.shape[2] // 2].mean(axis=(1, 2, 3), dtype=np.float32)
        local = np.tile(seen[:, None, None, None], (1, 2, 3, 3))
        embedding = np.tile(seen[:, None], (1, 4))
        if self.looks == 2:
            local, embedding = np.concatenate([local, -local], axis=1), np.concatenate([embedding, -embedding], axis=1)
        return Outputs(scores, embedding, np.zeros((b, 1, 1, 1), np.float32), local if self.local else None)


@cache
def crop_samples() -> list[tuple[U8, F32]]:
    rng = np.random.default_rng(4)
    return [(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), rng.random((N, 2)).astype(np.float32)) for _ in range(21)]


@pytest.mark.parametrize("looks", [1, 2])
def test_collected_examples_are_crops_and_their_mirror_images(toy_exemplars: Exemplars, looks: int) -> None:
    model, seen = PosteriorModel(toy_exemplars, Calibration()), list[int]()
    runtime = FakeRuntime(toy_exemplars.count, looks)
    found = collect(runtime, model, crop_samples(), looks=looks, flips=True, progress=seen.append)  # type: ignore[arg-type]
    assert len(found) == seen[-1] == 42
    assert (found.local.shape, found.embedding.shape) == ((42, 2, 3, 3), (42, 4))
    for i, (crop, truth) in enumerate(crop_samples()):
        np.testing.assert_array_equal(found.truths[2 * i], truth)
        np.testing.assert_allclose(found.truths[2 * i + 1], mirror_shapes(truth), atol=1e-6)
        assert found.embedding[2 * i, 0] == pytest.approx(crop[:, :4].mean())
        assert found.embedding[2 * i + 1, 0] == pytest.approx(crop[:, 4:].mean())
        assert found.local[2 * i + 1, 0, 0, 0] == pytest.approx(crop[:, 4:].mean(), rel=1e-3)
        np.testing.assert_allclose(found.starts[2 * i], toy_exemplars.shapes[crop[0, 0, 0] % 60], atol=1e-4)
        np.testing.assert_allclose(found.starts[2 * i + 1], toy_exemplars.shapes[crop[0, -1, 0] % 60], atol=1e-4)


def test_collecting_needs_crops_and_a_map(toy_exemplars: Exemplars) -> None:
    model = PosteriorModel(toy_exemplars, Calibration())
    with pytest.raises(ValueError, match="has no output 'local'"):
        collect(FakeRuntime(60, local=False), model, crop_samples())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no crops"):
        collect(FakeRuntime(60), model, [])  # type: ignore[arg-type]


def test_crops_are_plain_or_disturbed_anew_for_each_draw_and_depend_on_the_seed_alone(make_shapes: MakeShapes) -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (96, 96, 3), dtype=np.uint8) for _ in range(3)]
    points = make_shapes(3, 1) * 53 + 21
    faces, augmenter = FaceMemory(images, points, ["a", "b", "c"]), Augmenter(AugmentConfig(), 32, 1.3)
    drawn = list(disturbed_crops(faces, augmenter, 2, 7))
    assert len(drawn) == 6
    for (crop, shape), (again, shape_again) in zip(drawn, disturbed_crops(faces, augmenter, 2, 7), strict=True):
        np.testing.assert_array_equal(crop, again)
        np.testing.assert_array_equal(shape, shape_again)
    assert not np.array_equal(drawn[0][0], drawn[3][0])
    plain = list(plain_crops(faces, augmenter))
    for (crop, shape), image, landmarks in zip(plain, images, points, strict=True):
        expected = augmenter.plain(image, landmarks)
        np.testing.assert_array_equal(crop, expected.crop)
        np.testing.assert_array_equal(shape, expected.shape)
