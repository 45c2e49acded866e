"""Training in two processes ends where one process ends; only the first one writes."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from toy_faces import MakePrepared

torch = pytest.importorskip("torch", reason="training needs torch")

from rank_processes import TIMEOUT, run_ranks, train_command

TINY = Path(str(files("exalign_engine"))) / "configs" / "tiny.toml"
#: Weights that differ by more than ``NEAR`` (an epoch moves them by some 1e-3) may be so large a share of all: of a
#: gradient near 0 Adam takes the sign, which the order of additions can turn. That leaves up to .1 here, a forgotten
#: sum over the processes .65.
NEAR, FAR_SHARE = 1e-5, 0.3
#: What a running statistic may differ by.
STATISTICS = 1e-3


def three_steps(folder: str) -> int:
    """Of a small network in float32, each a mean over a batch of 12, of which a process sees its share."""
    from torch import nn

    from exalign_engine.train.distributed import joined, open_ranks

    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
    flat = nn.Sequential(nn.Linear(16, 5, bias=False), nn.BatchNorm1d(5))
    network = nn.ModuleList([conv, norm, flat, nn.Linear(5, 1), nn.Linear(5, 1)])
    x, y = torch.randn(3, 12, 3, 4, 4), torch.randn(3, 12, 1)
    with open_ranks() as ranks:

        def terms(step: int) -> tuple[Any, ...]:
            rows = ranks.rows(12)
            seen = flat(torch.relu(norm(conv(x[step][rows]))).flatten(1))
            return (((network[3 + step % 2](seen) - y[step][rows]) ** 2).mean(),)

        both = joined(network, terms, ranks)
        found = []
        optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
        for step in range(3):
            (loss,) = both(step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            found.append({n: None if p.grad is None else p.grad.clone() for n, p in network.named_parameters()})
            optimizer.step()
        torch.save({"gradients": found, "state": network.state_dict()}, f"{folder}/{ranks.rank}.pt")
    return 0


def configuration(folder: Path, **changed: Any) -> Path:
    """The tiny one with few faces."""
    changed = {"limit": 48, "batch_size": 16, "epochs": 2, "validate_every": 2, "threads": 1} | changed
    lines = [line for line in TINY.read_text().splitlines() if line.split("=")[0].strip() not in changed]
    path = folder / "pair.toml"
    path.write_text("\n".join([*(f"{key} = {value}" for key, value in changed.items()), *lines]) + "\n")
    return path


def words(config: Path, data: Path, run: Path) -> list[str]:
    return ["train", "--config", str(config), "--data", str(data), "--run", str(run)]


def train_in_float32(data: Path, run: Path, processes: int, epoch: int) -> None:
    """To the end of ``epoch``, of three steps; the run has three epochs, so that none of these ends in a bundle."""
    run.mkdir(exist_ok=True)
    config = configuration(run, bf16="false", epochs=3)
    said, command = run / "said", [*words(config, data, run), "--stop-after", str(epoch)]
    codes = run_ranks(processes, train_command, command, errors=said)
    assert codes == [0] * processes, [p.read_text()[-4000:] for p in sorted(said.glob("*.txt"))]


def state(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(run / "checkpoint.pt", weights_only=True)
    return loaded


def curves(run: Path) -> list[dict[str, str]]:
    with (run / "curves.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def losses(run: Path) -> list[list[float]]:
    return [[float(row[c]) for c in ("class_loss", "regression_loss", "residual_loss")] for row in curves(run)]


def assert_one_run(one: Path, other: Path) -> None:
    """The same curves and weights up to the order of additions."""
    # The curves' file has four decimals.
    np.testing.assert_allclose(losses(one), losses(other), rtol=1e-5, atol=2e-4)
    a, b = state(one), state(other)
    assert a["epoch"] == b["epoch"] == len(curves(one)) == len(curves(other))
    for part in ("network", "averaged"):
        apart = {name: (b[part][name].double() - tensor.double()).abs() for name, tensor in a[part].items()}
        assert max(float(d.max()) for name, d in apart.items() if "running" in name) < STATISTICS
        weights = torch.cat([d.flatten() for name, d in apart.items() if "running" not in name])
        assert (weights > NEAR).double().mean() < FAR_SHARE


def test_gradients_and_running_statistics_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    found = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        assert run_ranks(processes, three_steps, str(folder), errors=folder / "said") == [0] * processes
        found.append([torch.load(p, weights_only=True) for p in sorted(folder.glob("*.pt"))])
    ((one,), pair) = found
    assert len(pair) == 2
    for other in pair:
        for mine, theirs in zip(one["gradients"], other["gradients"], strict=True):
            assert [n for n, g in mine.items() if g is None] == [n for n, g in theirs.items() if g is None]
            for name, gradient in mine.items():
                if gradient is not None:
                    torch.testing.assert_close(theirs[name], gradient, rtol=1e-4, atol=1e-6)
        for name, tensor in one["state"].items():
            torch.testing.assert_close(other["state"][name], tensor, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def faces(make_prepared: MakePrepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthetic ones."""
    folder = tmp_path_factory.mktemp("faces")
    make_prepared(folder, ["train"] * 48 + ["val"] * 8)
    return folder


@pytest.fixture(scope="module")
def alone(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch by one process."""
    run = tmp_path_factory.mktemp("alone")
    train_in_float32(faces, run, 1, 1)
    return run


@pytest.fixture(scope="module")
def pair(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same epoch by two."""
    run = tmp_path_factory.mktemp("pair")
    train_in_float32(faces, run, 2, 1)
    return run


def test_an_epoch_of_two_processes_is_that_of_one(alone: Path, pair: Path) -> None:
    assert_one_run(alone, pair)


def test_two_processes_write_what_one_writes(alone: Path, pair: Path) -> None:
    written = [sorted(p.name for p in run.iterdir() if p.is_file()) for run in (alone, pair)]
    assert written[0] == written[1]
    assert "checkpoint.pt" in written[0]


def test_a_run_of_two_processes_goes_on_in_one(pair: Path, faces: Path, tmp_path: Path) -> None:
    # From one checkpoint: over two epochs rounding alone would grow too large to tell from an error.
    for processes in (1, 2):
        shutil.copytree(pair, tmp_path / str(processes))
        train_in_float32(faces, tmp_path / str(processes), processes, 2)
    assert state(tmp_path / "1")["epoch"] == 2
    assert_one_run(tmp_path / "1", tmp_path / "2")


def test_two_processes_export_once(drawn_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    command = [*torchrun, "exalign_engine.cli", *words(configuration(tmp_path, limit=16), drawn_folder, run)]
    finished = subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT)
    assert [row["epoch"] for row in curves(run)] == ["1", "2"]
    assert curves(run)[-1]["val_auc"]
    assert (run / "bundle" / "manifest.json").is_file()
    assert finished.stderr.count("/bundle written") == 1


def test_processes_that_cannot_share_a_batch_are_refused(faces: Path, tmp_path: Path) -> None:
    command = words(configuration(tmp_path, batch_size=15), faces, tmp_path / "run")
    assert 0 not in run_ranks(2, train_command, command, errors=tmp_path / "said")
    assert "batch_size: is 15, must be a multiple of the 2 processes" in (tmp_path / "said" / "0.txt").read_text()
    assert not (tmp_path / "run").exists()


def test_shares_are_the_rows_of_the_batch() -> None:
    from exalign_engine.train.ranks import Ranks
    from exalign_engine.train.residual import moved_off

    shapes = torch.rand(8, 68, 2, generator=torch.Generator().manual_seed(2))
    whole = moved_off(shapes, torch.Generator().manual_seed(3))
    for rank in range(2):
        ranks = Ranks(rank, 2)
        rows = ranks.rows(8)
        part = moved_off(shapes[rows], torch.Generator().manual_seed(3), ranks)
        torch.testing.assert_close(part, whole[rows])
