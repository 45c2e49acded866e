"""Training: one command from faces to a bundle, and a run that was killed ends as if it had not been."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.train.config import TrainConfig

torch = pytest.importorskip("torch", reason="training needs torch")

TINY = Path(str(files("exalign_engine"))) / "configs" / "tiny.toml"
TIMEOUT = 840

#: Faces of train that a run takes, and as many of val, on which clicks are simulated: two steps an epoch.
FACES, BATCH = 16, 8

#: The program, killed in the middle of an epoch: after as many of its optimizer's steps as the first argument says.
KILLED = """
import os, signal, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from exalign_engine.cli import main

left = int(sys.argv.pop(1))

def count(*_):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

register_optimizer_step_post_hook(count)
sys.exit(main())
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny configuration with fewer faces."""
    path, text = tmp_path_factory.mktemp("config") / "few.toml", TINY.read_text()
    for line, short in (("limit = 256", f"limit = {FACES}"), ("batch_size = 32", f"batch_size = {BATCH}")):
        assert line in text
        text = text.replace(line, short)
    path.write_text(text)
    return path


def command(data: Path, run: Path, config: Path) -> list[str]:
    arguments = ["train", "--config", str(config), "--data", str(data), "--run", str(run)]
    return [sys.executable, "-m", "exalign_engine.cli", *arguments]


def trained(data: Path, run: Path, config: Path) -> Path:
    """A run that nothing disturbed."""
    subprocess.run(command(data, run, config), check=True, capture_output=True, timeout=TIMEOUT)
    return run


@pytest.fixture(scope="module")
def finished(drawn_folder: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(drawn_folder, tmp_path_factory.mktemp("finished"), config)


def check_trained(run: Path, config: Path) -> None:
    """What a run leaves."""
    bundle = Bundle.load(run / "bundle")
    assert bundle.manifest.exemplars == 2 * FACES * 2
    assert bundle.calibration.card["split"] == "val"
    assert "mtcnn" in bundle.detectors
    assert (bundle.path / "train.toml").read_bytes() == config.read_bytes()
    with (run / "curves.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    assert [int(r["epoch"]) for r in rows] == [1, 2, 3, 4]
    # So few steps learn little; that a run learns is shown in test_network.py.
    assert all(float(r[name]) > 0 for r in rows for name in ("class_loss", "regression_loss", "residual_loss"))
    assert rows[-1]["val_auc"]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_one_command_makes_curves_and_a_calibrated_bundle_from_drawn_faces(finished: Path, config: Path) -> None:
    check_trained(finished, config)


def test_one_command_makes_curves_and_a_calibrated_bundle_from_real_faces(
    data_folder: Path, config: Path, tmp_path: Path
) -> None:
    check_trained(trained(data_folder, tmp_path / "run", config), config)


def test_a_killed_and_resumed_run_ends_in_the_same_weights_bit_for_bit(
    finished: Path, drawn_folder: Path, config: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    words = command(drawn_folder, run, config)
    steps = FACES // BATCH
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(steps + 1), *words[3:]], check=False, capture_output=True, timeout=TIMEOUT
    )
    assert killed.returncode == -signal.SIGKILL
    assert torch.load(run / "checkpoint.pt", weights_only=True)["epoch"] == 1
    assert not (run / "bundle").exists()

    epochs = TrainConfig.read(config).epochs
    subprocess.run([*words, "--stop-after", str(epochs)], check=True, capture_output=True, timeout=TIMEOUT)
    assert not (run / "bundle").exists()
    a = torch.load(finished / "checkpoint.pt", weights_only=True)
    b = torch.load(run / "checkpoint.pt", weights_only=True)
    assert a["epoch"] == b["epoch"] == epochs
    assert a["network"].keys() == b["network"].keys()
    for name, tensor in a["network"].items():
        assert torch.equal(tensor, b["network"][name]), name


def test_another_configuration_does_not_continue_a_run(
    finished: Path, drawn_folder: Path, config: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(config.read_text().replace("seed = 7", "seed = 8"))
    arguments = ["train", "--config", str(other), "--data", str(drawn_folder), "--run", str(finished)]
    result = subprocess.run(
        [sys.executable, "-m", "exalign_engine.cli", *arguments], capture_output=True, text=True, timeout=TIMEOUT
    )
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].endswith("belongs to another configuration (differs in seed)")
