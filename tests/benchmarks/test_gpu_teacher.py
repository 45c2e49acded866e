"""A teacher on a CPU, with toy sizes: it ends with its time, and its targets are what its networks say."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra 'train')")
from benchmarks.gpu import packed_faces, train_teacher
from benchmarks.gpu.packed_faces import Packing, pack
from benchmarks.gpu.teacher import TRIAL, UNKNOWN, train_member

from drawn_faces import write_prepared
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.data.source import open_faces
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.faces import FaceMemory, load_faces
from exalign_engine.train.config import TrainConfig
from exalign_engine.train.ranks import ALONE

CONFIG = """
epochs = 1
batch_size = 4
warmup = 2
threads = 1
[network]
input_size = 32
widths = [8, 8, 8, 8]
blocks = [1, 1, 1, 1]
feature_channels = 4
embedding = 8
local_width = 8
local_channels = 4
residual_hidden = 8
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "toy.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces, packed: 8 of train, 4 of val."""
    work = tmp_path_factory.mktemp("faces")
    write_prepared(work / "drawn", 8, 4, 2, seed=2)
    assert train_teacher.main(["pack", "--data", str(work / "drawn"), "--out", str(work / "packed")]) == 0
    return work / "packed"


@pytest.fixture
def faces(folder: Path) -> tuple[FaceMemory, FaceMemory]:
    return load_faces(open_faces(folder, "train")), load_faces(open_faces(folder, "val"))


def test_packed_faces_are_small_and_their_landmarks_where_they_were(tmp_path: Path) -> None:
    truth = write_prepared(tmp_path / "drawn", 2, 1, 1, seed=3)
    found = pack(tmp_path / "drawn", tmp_path / "packed", Packing(pixels=96))
    assert (found["train"], found["val"]) == (2, 1)
    source = open_faces(tmp_path / "packed", "train")
    assert source.image(0).shape == (96, 96, 3)
    for ours, right in zip(source.landmarks, truth, strict=False):
        shapes = [BoxFrame.from_box(tight_box(p)).from_image(p) for p in (ours, right)]
        np.testing.assert_allclose(*shapes, atol=1e-5)
    with pytest.raises(Exception, match="no row of split 'test'"):
        open_faces(tmp_path / "packed", "test")


def test_faces_that_are_too_large_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    write_prepared(tmp_path / "drawn", 2, 1, 1, seed=3)
    with pytest.raises(ValueError, match=r"3 faces take .* MB, at most 0.001"):
        pack(tmp_path / "drawn", tmp_path / "packed", Packing(most_mb=0.001))
    assert not (tmp_path / "packed").exists()


class OneFace:
    """Finds a face in every picture but the second."""

    def __init__(self) -> None:
        self.asked = 0

    def align(self, picture: Any, max_faces: int) -> list[Any]:
        self.asked += 1
        face = type("Found", (), {"landmarks": np.random.default_rng(1).uniform(20, 70, (68, 2))})
        return [] if self.asked == 2 else [face]


def test_pictures_without_annotation_have_a_split_of_their_own(tmp_path: Path) -> None:
    write_prepared(tmp_path / "drawn", 2, 1, 1, seed=3)
    write_prepared(tmp_path / "others", 3, 0, 0, seed=4)
    (tmp_path / "others" / "index.csv").write_text("row,identity,file\n0,a,a0\n1,a,a1\n2,b,b0\n")
    finder: Any = OneFace()
    found = pack(tmp_path / "drawn", tmp_path / "packed", Packing(), tmp_path / "others", finder)
    assert (found["unlabelled"], found["without_face"]) == (2, 1)
    assert list(open_faces(tmp_path / "packed", packed_faces.UNLABELLED).ids) == ["a0", "b0"]


def seconds(step: float) -> Any:
    """A clock on which each look takes so long."""
    ticks = itertools.count(0.0, step)
    return lambda: next(ticks)


def test_a_run_ends_with_its_time_and_goes_on_to_what_was_planned(
    faces: tuple[FaceMemory, FaceMemory], config: Path, toy_exemplars: Exemplars, tmp_path: Path
) -> None:
    base = TrainConfig.read(config)

    def run(limit: float, step: float) -> Any:
        return train_member(base, 5, faces, toy_exemplars, tmp_path / "run", limit, ALONE, seconds(step))

    # An epoch lasts a second; before TRIAL of them there is no plan.
    first = run(2.5, 1.0)
    assert first.trained.epoch < TRIAL
    assert first.trained.config.epochs == UNKNOWN
    second = run(30.0, 1.0)
    assert TRIAL < second.trained.epoch <= second.trained.config.epochs < 30
    planned = second.trained.config.epochs
    third = run(1000.0, 1.0)
    assert third.trained.epoch == third.trained.config.epochs == planned
    assert [row["epoch"] for row in third.curves] == list(range(1, planned + 1))


def test_targets_are_what_the_networks_say(
    folder: Path, config: Path, toy_bundle: Path, tmp_path: Path, faces: tuple[FaceMemory, FaceMemory]
) -> None:
    out, bundle = tmp_path / "targets", Bundle.load(toy_bundle)
    arguments = [
        "train",
        "--faces",
        str(folder),
        "--config",
        str(config),
        "--bundle",
        str(toy_bundle),
        "--minutes",
        "0",
    ]
    arguments += ["--seeds", "1", "2", "--folder", str(tmp_path / "run"), "--out", str(out), "--top", "32"]
    assert train_teacher.main(arguments) == 0
    with np.load(out / "targets.npz") as stored:
        found = dict(stored)
    assert found["train.mean"].shape == (8, 68, 2)
    assert found["val.covariance"].shape == (4, 68, 3)
    assert found["val.exemplar"].shape == found["val.probability"].shape == (4, 32)
    assert (np.diff(found["val.probability"].astype(np.float64), axis=1) <= 0).all()
    assert str(found["bundle"]) == bundle.id

    # By hand, for one face: both networks on the crop and on its mirror image.
    base = TrainConfig.read(config)
    sample = Augmenter(base.augment, 32, base.network.margin).plain(faces[1].images[0], faces[1].landmarks[0])
    scores = np.mean(
        [scored(tmp_path / "run" / f"seed-{s}", base, sample.crop, bundle.exemplars) for s in (1, 2)], axis=0
    )
    p = np.exp((scores - scores.max()) / float(found["temperature"]))
    p /= p.sum()
    np.testing.assert_allclose(found["val.probability"][0], np.sort(p)[::-1][:32], rtol=5e-3)
    np.testing.assert_allclose(p[found["val.exemplar"][0]], np.sort(p)[::-1][:32], rtol=1e-4)
    spread = found["val.covariance"][0].astype(np.float64) * float(found["covariance_unit"])
    assert (spread[:, 0] * spread[:, 2] >= spread[:, 1] ** 2).all()

    report = json.loads((out / "report.json").read_text())
    assert [member["epochs"] for member in report["members"]] == [1, 1]
    assert report["accuracy"]["val"]["n"] == 4
    with (out / "curves.csv").open(newline="") as f:
        assert [(row["seed"], row["epoch"]) for row in csv.DictReader(f)] == [("1", "1"), ("2", "1")]

    assert train_teacher.main([*arguments, "--most-mb", "0.001", "--out", str(tmp_path / "small")]) == 1
    assert not (tmp_path / "small" / "targets.npz").exists()


def scored(folder: Path, config: TrainConfig, crop: Any, exemplars: Exemplars) -> Any:
    """(K,) mean of a network's scores of a crop and, mirrored back, of its mirror image."""
    from exalign_engine.train.network import ExemplarNetwork

    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    network = ExemplarNetwork(config.network, exemplars.count, 136)
    network.load_state_dict(state["averaged"])
    network.eval()
    with torch.no_grad():
        here = network(torch.from_numpy(crop[None]))[0][0].numpy()
        there = network(torch.from_numpy(np.ascontiguousarray(crop[None, :, ::-1])))[0][0].numpy()
    return (here + there[exemplars.mirror_of]) / 2
