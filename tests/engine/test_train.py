"""Training: one command from faces to a bundle, and a killed run that ends as if it never was."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.train.config import TrainConfig

torch = pytest.importorskip("torch", reason="training needs torch")

TINY = Path(str(files("exalign_engine"))) / "configs" / "tiny.toml"
TIMEOUT = 280


def command(data: Path, run: Path) -> list[str]:
    arguments = ["train", "--config", str(TINY), "--data", str(data), "--run", str(run)]
    return [sys.executable, "-m", "exalign_engine.cli", *arguments]


@pytest.fixture(scope="module")
def finished(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny configuration that nothing disturbed."""
    run = tmp_path_factory.mktemp("finished")
    subprocess.run(command(data_folder, run), check=True, capture_output=True, timeout=TIMEOUT)
    return run


def test_one_command_makes_a_calibrated_bundle_from_nothing(finished: Path) -> None:
    bundle = Bundle.load(finished / "bundle")
    assert bundle.manifest.exemplars == 2 * 256 * 2
    assert bundle.calibration.card["split"] == "val"
    assert "mtcnn" in bundle.detectors
    assert (bundle.path / "train.toml").read_bytes() == TINY.read_bytes()


def test_curves_are_kept_as_a_table_and_a_picture(finished: Path) -> None:
    with (finished / "curves.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    assert [int(r["epoch"]) for r in rows] == [1, 2, 3, 4]
    assert float(rows[-1]["class_loss"]) < float(rows[0]["class_loss"])
    assert rows[-1]["val_auc"]
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_killed_and_resumed_run_ends_in_the_same_weights_bit_for_bit(
    finished: Path, data_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    process = subprocess.Popen(command(data_folder, run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + TIMEOUT
    while not (run / "checkpoint.pt").is_file():
        assert process.poll() is None, "the run ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)  # into the next epoch
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (run / "bundle").exists()

    subprocess.run(command(data_folder, run), check=True, capture_output=True, timeout=TIMEOUT)
    a = torch.load(finished / "checkpoint.pt", weights_only=True)
    b = torch.load(run / "checkpoint.pt", weights_only=True)
    assert a["epoch"] == b["epoch"] == TrainConfig.read(TINY).epochs
    assert a["network"].keys() == b["network"].keys()
    for name, tensor in a["network"].items():
        assert torch.equal(tensor, b["network"][name]), name
    assert (finished / "bundle" / "network.onnx").read_bytes() == (run / "bundle" / "network.onnx").read_bytes()


def test_another_configuration_does_not_continue_a_run(finished: Path, data_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(TINY.read_text().replace("seed = 7", "seed = 8"))
    arguments = ["train", "--config", str(other), "--data", str(data_folder), "--run", str(finished)]
    result = subprocess.run(
        [sys.executable, "-m", "exalign_engine.cli", *arguments], capture_output=True, text=True, timeout=TIMEOUT
    )
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].endswith("belongs to another configuration (differs in seed)")
