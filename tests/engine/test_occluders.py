"""Occluders: what is drawn over a landmark hides it, and the kinds that judge are not those that teach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drawn_faces import mean_face, write_prepared
from exalign_engine.data.source import open_faces
from exalign_engine.evaluation.occlusion.kinds import UNSEEN
from exalign_engine.sampling.faces import load_faces
from exalign_engine.sampling.occluded import CLEAN, disturbed_crops, plain_crops
from exalign_engine.sampling.occluders import TAUGHT, Occluder
from exalign_engine.sampling.profiled import level_face, profiled_crops

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

SIZE = 64
POINTS = 8 + 48 * mean_face()
OTHERS = [np.random.default_rng(i).integers(0, 255, (90, 80, 3), np.uint8) for i in range(3)]


def left_half(rng: np.random.Generator, crop: U8, points: NDArray[np.float64], others: Sequence[U8]) -> tuple[F32, F32]:
    cover = np.zeros(crop.shape[:2], np.float32)
    cover[:, :32] = 1
    return np.full(crop.shape, 200, np.float32), cover


def test_a_landmark_is_hidden_where_the_cover_lies_over_it() -> None:
    crop = np.full((SIZE, SIZE, 3), 90, np.uint8)
    out, hidden = Occluder({"half": left_half}, OTHERS).cover(crop, POINTS, np.random.default_rng(1), "half")
    sure = np.abs(POINTS[:, 0] - 31.5) > 1
    np.testing.assert_array_equal(hidden[sure], POINTS[sure, 0] < 31.5)
    assert (out[:, :29] != 90).any(axis=2).all()
    # Beyond the cover there is a shadow at most.
    assert out[:, 36:].max() <= 90


@pytest.mark.parametrize("name", [*TAUGHT, *UNSEEN])
def test_every_kind_hides_landmarks_and_no_other_is_touched_by_it(name: str) -> None:
    kinds = TAUGHT if name in TAUGHT else UNSEEN
    face = np.full((SIZE, SIZE, 3), 90, np.uint8)
    counts = []
    for seed in range(12):
        colours, cover = kinds[name](np.random.default_rng(seed), face, POINTS, OTHERS)
        assert colours.shape == (SIZE, SIZE, 3)
        assert cover.shape == (SIZE, SIZE)
        assert np.isfinite(colours).all()
        assert (cover.min(), cover.max()) >= (0, 0)
        assert cover.max() <= 1 + 1e-6
        again = kinds[name](np.random.default_rng(seed), face, POINTS, OTHERS)
        np.testing.assert_array_equal(cover, again[1])
        _, hidden = Occluder({name: kinds[name]}, OTHERS).cover(face, POINTS, np.random.default_rng(seed), name)
        counts.append(int(hidden.sum()))
    assert max(counts) > 5
    assert np.mean(counts) < 60


def test_what_judges_was_never_taught() -> None:
    assert not set(TAUGHT) & set(UNSEEN)
    assert not set(TAUGHT.values()) & set(UNSEEN.values())


def test_crops_depend_on_seed_round_and_row_alone(tmp_path: Path) -> None:
    write_prepared(tmp_path, 8, 0, 0, 3)
    faces = load_faces(open_faces(tmp_path, "train"))
    first, again, other = (list(disturbed_crops(faces, SIZE, 1.3, r, 5)) for r in (0, 0, 1))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.crop, b.crop)
        np.testing.assert_array_equal(a.hidden, b.hidden)
    assert any((a.crop != b.crop).any() for a, b in zip(first, other, strict=True))
    assert not any(c.hidden.any() for c in first if c.kind == CLEAN)


def test_each_face_is_seen_clean_and_behind_what_is_asked_for(tmp_path: Path) -> None:
    write_prepared(tmp_path, 3, 0, 0, 3)
    faces = load_faces(open_faces(tmp_path, "train"))
    kinds = [c.kind for c in plain_crops(faces, SIZE, 1.3, UNSEEN, ["bars", "scarf"], 1)]
    assert kinds == [CLEAN, "bars", "scarf"] * 3
    in_turn = [c.kind for c in plain_crops(faces, SIZE, 1.3, UNSEEN, None, 1)]
    assert in_turn == [k for kind in sorted(UNSEEN)[:3] for k in (CLEAN, kind)]


def test_a_head_that_turns_away_hides_its_far_side(tmp_path: Path) -> None:
    write_prepared(tmp_path, 12, 0, 0, 3)
    faces = load_faces(open_faces(tmp_path, "train"))
    crops = list(profiled_crops(faces, level_face(faces.landmarks), SIZE, 1.3, limit=8, pictures=8, seed=1))
    far = [c for c in crops if abs(c.pose[0]) > 45]
    near = [c for c in crops if abs(c.pose[0]) < 15 and abs(c.pose[1]) < 15]
    assert far
    assert near
    assert np.mean([c.hidden.mean() for c in near]) < 0.03
    assert np.mean([c.hidden.mean() for c in far]) > 0.05
    for crop in far:
        # Looking to the picture's right, a head hides what is on that side.
        right, left = crop.hidden[9:17].sum(), crop.hidden[:8].sum()
        assert (right >= left) if crop.pose[0] > 0 else (left >= right)
