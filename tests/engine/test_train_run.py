"""A whole training run in one process: what it reads, and how often."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drawn_faces import write_prepared
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.data.prepared import PreparedFaces
from exalign_engine.detect import RawDetection
from exalign_engine.sampling.faces import LoadedFaces, SharedPictures, load_faces

TOML = """\
epochs = 1
batch_size = 8
warmup = 1
threads = 1

[exemplars]
variants = 2
tau = 0.1
turned = 0.3

[network]
input_size = 32
widths = [4, 4, 4, 4]
feature_channels = 2
embedding = 4
local_width = 4
local_channels = 2
residual_hidden = 8

[augment]
turned = 0.5
turned_pictures = 1
"""


class CentralFace:
    """Finds one face, in the middle of every picture; 1.8 sides of it are the picture's."""

    name, min_score = "central", 0.5

    def detect(self, image: NDArray[np.uint8]) -> list[RawDetection]:
        side = len(image)
        low, high = side / 2 * (1 - 1 / 1.8), side / 2 * (1 + 1 / 1.8)
        return [RawDetection(np.array([low, low, high, high]), 1.0)]


def test_a_run_opens_each_split_once_and_decodes_each_face_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    from exalign_engine.train.run import TrainRun, train

    opened: Counter[str] = Counter()
    decoded: Counter[tuple[str, int]] = Counter()

    class Counted(PreparedFaces):
        def __init__(self, root: Path, split: str) -> None:
            super().__init__(root, split)
            self.split = split
            opened[split] += 1

        def image(self, index: int) -> NDArray[np.uint8]:
            decoded[self.split, index] += 1
            return super().image(index)

    monkeypatch.setattr("exalign_engine.data.prepared.PreparedFaces", Counted)
    write_prepared(tmp_path / "data", 16, 8, 1, 5)
    toml = tmp_path / "run.toml"
    toml.write_text(TOML)
    out = train(TrainRun(toml, tmp_path / "data", tmp_path / "run"), [CentralFace()])
    assert out is not None
    assert list(Bundle.load(out).detectors) == ["central"]
    assert opened == {"train": 1, "val": 1}
    assert decoded == {("train", i): 1 for i in range(16)} | {("val", i): 1 for i in range(8)}


def test_a_picture_is_decoded_again_once_nobody_holds_it(tmp_path: Path) -> None:
    write_prepared(tmp_path, 2, 0, 0, 5)
    decoded: list[int] = []

    class Counted(PreparedFaces):
        def image(self, index: int) -> NDArray[np.uint8]:
            decoded.append(index)
            return super().image(index)

    shared = SharedPictures(Counted(tmp_path, "train"))
    first = shared.image(0)
    assert shared.image(0) is first
    copy = first.copy()
    del first
    np.testing.assert_array_equal(shared.image(0), copy)
    assert decoded == [0, 0]


def test_loaded_faces_are_those_of_the_source(tmp_path: Path) -> None:
    write_prepared(tmp_path, 7, 0, 0, 5)
    loaded, source = LoadedFaces.open(tmp_path, "train", 3), PreparedFaces(tmp_path, "train")
    assert (loaded.limit, len(loaded.memory), len(loaded.source)) == (3, 3, 7)
    expected = load_faces(source, 3)
    assert loaded.memory.ids == expected.ids == ["drawn_0", "drawn_3", "drawn_6"]
    assert loaded.source.ids == source.ids
    assert loaded.source.origins == source.origins
    np.testing.assert_array_equal(loaded.memory.landmarks, expected.landmarks)
    np.testing.assert_array_equal(loaded.source.image(5), source.image(5))
