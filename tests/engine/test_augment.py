"""Training crops: the truth moves with the picture, and a sample depends on (seed, epoch, index) alone."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.geometry.landmarks import MIRROR, N_LANDMARKS
from exalign_engine.sampling.augment import Augmenter, CropSample
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import FaceMemory, load_faces
from exalign_engine.train.batches import plain_batches, training_batches

if TYPE_CHECKING:
    from toy_faces import MakeShapes

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]

SIZE, MARGIN = 96, 1.3
#: Geometry only: whatever changes colours is off.
CLEAN = AugmentConfig(colour=0, dark=0, blur=0, occluder=0, low_resolution=0, noise=0, exact_box=0, wide_box=0)
LANDMARKS = (0, 8, 16, 19, 30, 36, 45, 48, 54)


def dotted(points: F64, n: int) -> U8:
    """A black picture with a bright dot of about 3 pixels at landmark n."""
    y, x = np.mgrid[:160, :160]
    d = (x - points[n, 0]) ** 2 + (y - points[n, 1]) ** 2
    return np.repeat((255 * np.exp(-d / (2 * 1.5**2)))[..., None], 3, axis=2).astype(np.uint8)


def dot(crop: U8) -> F64:
    """(2,) centre of mass of the brightness, crop pixels."""
    w = crop[..., 0].astype(np.float64)
    y, x = np.mgrid[: crop.shape[0], : crop.shape[1]]
    return np.asarray([(w * x).sum() / w.sum(), (w * y).sum() / w.sum()], dtype=np.float64)


def in_crop(shape: NDArray[np.floating]) -> F64:
    """(68, 2) box frame → crop pixels, by its definition."""
    return np.asarray((shape.astype(np.float64) - 0.5) * SIZE / MARGIN + (SIZE - 1) / 2, dtype=np.float64)


@pytest.fixture(scope="module")
def points(make_shapes: MakeShapes) -> F64:
    """(68, 2) of a face in the middle of a 160-pixel picture."""
    return np.asarray((make_shapes(1, 0)[0] - 0.5) * 90 + (81.3, 78.6), dtype=np.float64)


def check_dot(sample: CropSample, n: int) -> None:
    place = in_crop(sample.shape)[n]
    assert np.linalg.norm(dot(sample.crop) - place) < 0.5, f"dot at {dot(sample.crop)}, truth says {place}"


@pytest.mark.parametrize("n", LANDMARKS)
def test_the_plain_crop_has_the_landmark_where_its_shape_says(points: F64, n: int) -> None:
    sample = Augmenter(CLEAN, SIZE, MARGIN).plain(dotted(points, n), points)
    check_dot(sample, n)
    assert sample.shape.min() == pytest.approx(0, abs=0.2)
    assert np.ptp(sample.shape, axis=0).max() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(CLEAN, roll_deg=0, shift=0, log_scale=0),  # the mirror alone
        dataclasses.replace(CLEAN, shift=0, log_scale=0, roll_deg=25),
        dataclasses.replace(CLEAN, roll_deg=0),
        CLEAN,
    ],
    ids=["mirror", "roll", "jitter", "all"],
)
@pytest.mark.parametrize("n", LANDMARKS)
def test_a_disturbed_crop_has_the_landmark_where_its_shape_says(points: F64, n: int, config: AugmentConfig) -> None:
    augmenter = Augmenter(config, SIZE, MARGIN)
    from_left, from_right = 0, 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        mirrored = np.random.default_rng(seed).random() < 0.5  # the augmenter's own first draw
        if mirrored:
            other, from_right = int(MIRROR[n]), from_right + 1
        else:
            other, from_left = n, from_left + 1
        check_dot_inside(augmenter.face(dotted(points, n), points, rng), other)
    assert from_left
    assert from_right


def check_dot_inside(sample: CropSample, n: int) -> None:
    """As `check_dot`, unless the dot has left the crop."""
    place = in_crop(sample.shape)[n]
    if (place > 5).all() and (place < SIZE - 6).all():
        check_dot(sample, n)


@pytest.mark.parametrize("seed", range(6))
def test_a_disturbed_crop_is_bytes_and_its_shape_stays_a_face(points: F64, seed: int) -> None:
    every = AugmentConfig(colour=1, dark=1, blur=1, occluder=1, low_resolution=1, noise=1)
    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    sample = Augmenter(every, SIZE, MARGIN).face(image, points, np.random.default_rng(seed))
    assert sample.crop.shape == (SIZE, SIZE, 3)
    assert sample.crop.dtype == np.uint8
    assert sample.shape.shape == (N_LANDMARKS, 2)
    assert sample.shape.dtype == np.float32
    assert np.abs(sample.shape - 0.5).max() < 1.2
    assert sample.is_face


def test_a_negative_is_no_face_and_every_kind_of_it_is_a_crop(points: F64) -> None:
    image = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    augmenter, kinds = Augmenter(AugmentConfig(), SIZE, MARGIN), set()
    for seed in range(40):
        kinds.add(int(np.random.default_rng(seed).integers(5)))  # the augmenter's own first draw
        sample = augmenter.negative(image, points, np.random.default_rng(seed))
        assert not sample.is_face
        assert sample.crop.shape == (SIZE, SIZE, 3)
        assert sample.crop.dtype == np.uint8
    assert kinds == set(range(5))


@pytest.fixture(scope="module")
def faces(make_shapes: MakeShapes) -> FaceMemory:
    images = list(np.random.default_rng(1).integers(0, 256, (20, 160, 160, 3), dtype=np.uint8))
    return FaceMemory(images, (make_shapes(20, 3) - 0.5) * 90 + 79.5, [f"f{i}" for i in range(20)])


def by_content(faces: FaceMemory, batch_size: int, threads: int, epoch: int = 0) -> list[bytes]:
    """Samples of one epoch, in order, as bytes."""
    augmenter = Augmenter(AugmentConfig(negatives=0.3), 32, MARGIN)
    return [
        c.tobytes() + s.tobytes() + f.tobytes()
        for batch in training_batches(faces, augmenter, 5, epoch, batch_size, threads)
        for c, s, f in zip(batch.crops, batch.shapes, batch.is_face, strict=True)
    ]


@pytest.mark.parametrize(("batch_size", "threads"), [(20, 1), (10, 4), (5, 2), (4, 9), (1, 3)])
def test_a_sample_is_the_same_whatever_the_batch_and_the_threads(
    faces: FaceMemory, batch_size: int, threads: int
) -> None:
    alone = by_content(faces, 2, 1)
    assert len(set(alone)) == len(faces)  # every face once, each differently
    assert by_content(faces, batch_size, threads) == alone


def test_another_epoch_gives_other_samples(faces: FaceMemory) -> None:
    assert not set(by_content(faces, 4, 2, epoch=0)) & set(by_content(faces, 4, 2, epoch=1))


def test_equal_faces_are_disturbed_differently(faces: FaceMemory) -> None:
    equal = FaceMemory(faces.images[:1] * 20, np.repeat(faces.landmarks[:1], 20, axis=0), faces.ids)
    assert len(set(by_content(equal, 4, 2))) == 20


def test_a_last_incomplete_batch_is_left_out(faces: FaceMemory) -> None:
    assert len(by_content(faces, 8, 2)) == 16


def test_validation_sees_every_face_once_in_order(faces: FaceMemory) -> None:
    augmenter = Augmenter(AugmentConfig(), 32, MARGIN)
    batches = list(plain_batches(faces, augmenter, 8))
    assert [len(b.crops) for b in batches] == [8, 8, 4]
    plain = [augmenter.plain(i, p).crop for i, p in zip(faces.images, faces.landmarks, strict=True)]
    np.testing.assert_array_equal(np.concatenate([b.crops for b in batches]), plain)


class Pictures:
    """A `FaceSource` of equal faces in dotted pictures of any size."""

    def __init__(self, points: F64, count: int, scale: int) -> None:
        self.landmarks = np.repeat(points[None] * scale + (scale - 1) / 2, count, axis=0)
        self.ids = [f"f{i}" for i in range(count)]
        self.origins = ["here"] * count
        picture = dotted(points, 30)
        self.picture = np.kron(picture, np.ones((scale, scale, 1), np.uint8))

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> U8:
        return self.picture


@pytest.mark.parametrize(("limit", "expected"), [(0, 5), (2, 2), (5, 5), (9, 5)])
def test_a_limit_takes_at_most_so_many_different_faces(points: F64, limit: int, expected: int) -> None:
    memory = load_faces(Pictures(points, 5, 1), limit)
    assert len(memory) == len(set(memory.ids)) == expected


def test_a_large_picture_is_cut_down_with_its_landmarks(points: F64) -> None:
    memory = load_faces(Pictures(points, 1, 4))
    assert memory.images[0].shape == (160, 160, 3)
    assert np.linalg.norm(dot(memory.images[0]) - memory.landmarks[0, 30]) < 0.5
