"""What tests of every room share: where the faces are, synthetic faces, folders of them, and a tiny bundle."""

from __future__ import annotations

import csv
import gc
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from drawn_faces import write_prepared
from exalign import cli_support
from exalign_engine.exemplars.building import build
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.synthetic import rebox, rotate
from exalign_engine.geometry.landmarks import mirror_shapes
from face_folders import NEEDS_FACES, face_data
from properties import load_profile
from skip_summary import skip_line
from toy_faces import F64, PICTURE, MakePrepared, MakeShapes, mean_face

load_profile()

#: Files of half a minute or more, the longest first.
LONGEST = (
    "test_golden",
    "test_train",
    "test_tensorrt_build",
    "test_train_distributed",
    "test_runtime",
    "test_e2e_track_soak",
    "test_service_track_resume",
    "test_client_track_resume",
    "test_network",
    "test_service_processes",
    "test_service_cli",
    "test_mixture_sums",
    "test_service_ending",
    "test_service_trust",
    "test_e2e_track_cli",
    "test_hmm_wide",
    "test_e2e_start",
    "test_runtime_equivalence",
    "test_tensorrt_surface",
    "test_service_swap_campaign",
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was skipped, and what it needs."""
    line = skip_line(terminalreporter.stats.get("skipped", []))
    if line:
        terminalreporter.write_line(line, yellow=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first, so that no worker is left with one when the others have ended."""
    rank = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="module", autouse=True)
def old_objects_are_not_looked_at() -> None:
    """What earlier files have left, millions of objects in the end, is not gone through by collections of this one."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def end_of_commands() -> Iterator[None]:
    """A command that leaves a thread behind ends its process; the tests' process goes on, and forgets it."""
    yield
    cli_support.abandoned.clear()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The annotated faces, for what only real ones can show; the test is skipped where there are none."""
    folder = face_data()
    if folder is None:
        pytest.skip(NEEDS_FACES)
    return folder


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces in the prepared format: 64 of train, 24 of val, 8 of test."""
    folder = tmp_path_factory.mktemp("drawn")
    write_prepared(folder, 64, 24, 8, seed=1)
    return folder


@pytest.fixture(scope="session", params=["drawn", "real"])
def faces_folder(request: pytest.FixtureRequest) -> Path:
    """A folder of annotated faces: drawn ones, and the real ones where they are."""
    folder: Path = request.getfixturevalue("drawn_folder" if request.param == "drawn" else "data_folder")
    return folder


@pytest.fixture(scope="session")
def make_shapes() -> MakeShapes:
    """Varied faces: turned, stretched, smiling and noisy, each in its own box frame."""

    def make(n: int, seed: int) -> F64:
        rng = np.random.default_rng(seed)
        shapes = np.repeat(mean_face()[None], n, axis=0)
        depth = 0.25 - (shapes[..., 0] - 0.5) ** 2
        shapes[..., 0] += rng.normal(0, 0.3, (n, 1)) * depth
        shapes[..., 1] *= np.exp(rng.normal(0, 0.05, (n, 1)))
        shapes[:, 48:, 1] += rng.normal(0, 0.03, (n, 1))
        shapes += rng.normal(0, 0.006, shapes.shape)
        shapes = rotate(shapes, rng.normal(0, 6, n))
        return rebox(shapes, np.zeros(n), np.zeros(n), np.ones(n))

    return make


@pytest.fixture(scope="session")
def bulging_face(make_shapes: MakeShapes) -> F64:
    """(68, 3) a symmetric face on a paraboloid: smooth enough that no part hides another up to 40°."""
    flat = make_shapes(200, 3).mean(axis=0) - 0.5
    flat = 2.2 * (flat + mirror_shapes(flat, 0.0)) / 2
    face = np.column_stack([flat, -0.6 * flat[:, 0] ** 2 - 0.2 * flat[:, 1] ** 2])
    return np.asarray(face - face.mean(axis=0), dtype=np.float64)


@pytest.fixture(scope="session")
def toy_exemplars(make_shapes: MakeShapes) -> Exemplars:
    """K = 60: 15 faces × 2 poses × 2 mirrors."""
    return build(make_shapes(15, 1), [f"toy_{i}" for i in range(15)], 0.075, variants=2, seed=3)


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory, toy_exemplars: Exemplars, make_shapes: MakeShapes) -> Path:
    """A complete bundle of an untrained network; shared, so never to be changed: see `toy_bundle_copy`."""
    torch = pytest.importorskip("torch", reason="torch makes the toy bundle (extra 'train')")
    pytest.importorskip("onnxscript", reason="onnxscript makes the toy bundle (extra 'train')")
    from exalign_engine.train.bundle_export import write_bundle
    from exalign_engine.train.config import TrainConfig
    from exalign_engine.train.loop import Trained
    from exalign_engine.train.network import ExemplarNetwork

    folder = tmp_path_factory.mktemp("toy")
    toml = folder / "train.toml"
    toml.write_text(
        "[exemplars]\nvariants = 2\n"
        "[network]\ninput_size = 32\nwidths = [4, 4, 8, 8]\nblocks = [1, 1, 1, 1]\n"
        "feature_channels = 4\nembedding = 8\n"
        '[description]\nname = "toy"\ntraining_data = "none"\nweights_licence = "none"\nweights_terms = "none"\n'
    )
    config = TrainConfig.read(toml)
    torch.manual_seed(0)
    network = ExemplarNetwork(config.network, toy_exemplars.count, 136)
    # Untrained scores would all but agree; these differ by a few nats.
    torch.nn.init.normal_(network.head.pieces[0].weight, std=1.0)
    write_bundle(Trained(network.eval(), toy_exemplars, config, make_shapes(15, 1), 0), toml, folder / "bundle")
    return folder / "bundle"


@pytest.fixture
def toy_bundle_copy(toy_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the toy bundle that a test may damage."""
    return Path(shutil.copytree(toy_bundle, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def make_prepared(make_shapes: MakeShapes) -> MakePrepared:
    """Writes small folders in the prepared format; pictures are noise."""

    def make(folder: Path, splits: Sequence[str]) -> F64:
        folder.mkdir(parents=True, exist_ok=True)
        n, rng = len(splits), np.random.default_rng(9)
        landmarks = ((make_shapes(n, 5) - 0.5) * PICTURE / 1.8 + (PICTURE - 1) / 2).astype(np.float32)
        streams = []
        for _ in range(n):
            picture = rng.integers(0, 256, (PICTURE, PICTURE, 3), dtype=np.uint8)
            streams.append(cv2.imencode(".jpg", picture)[1].reshape(-1))
        np.savez(
            folder / "faces.npz",
            jpeg=np.concatenate(streams),
            offset=np.cumsum([0, *(len(s) for s in streams)]).astype(np.int64),
        )
        np.save(folder / "landmarks.npy", landmarks)
        with (folder / "index.csv").open("w", newline="") as f:
            table = csv.writer(f)
            table.writerow(["row", "id", "source", "split"])
            table.writerows([i, f"face_{i}", "ab"[i % 2], split] for i, split in enumerate(splits))
        return landmarks.astype(np.float64)

    return make
