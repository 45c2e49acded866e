"""A training run from faces to a calibrated bundle; an interrupted one goes on where it was."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from exalign.output_files import report_written, write_file
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.calibration.calibrate import calibrate, summary_line, write_calibration
from exalign_engine.detect import Detector
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.faces import LoadedFaces
from exalign_engine.train.bundle_export import CONFIG, write_bundle
from exalign_engine.train.config import TrainConfig, check_start
from exalign_engine.train.distributed import open_ranks
from exalign_engine.train.loop import Trained, Trainer
from exalign_engine.train.plots import plot_curves


@dataclass(frozen=True)
class TrainRun:
    """What a run reads and where it lives.

    Attributes:
        config_file: the TOML file.
        data: folder of faces with splits ``train`` and ``val``.
        folder: of checkpoint and curves; a checkpoint in it is continued.
        out: the bundle to write; None: ``bundle`` in ``folder``.
        stop_after: stop after this epoch, before anything is exported; None, or more than there are, runs to the end.
    """

    config_file: Path
    data: Path
    folder: Path
    out: Path | None = None
    stop_after: int | None = None


def train(run: TrainRun, detectors: list[Detector]) -> Path | None:
    """Train or go on, export, calibrate. Each split is opened and decoded once.

    Args:
        run: see `TrainRun`.
        detectors: whose boxes the bundle is to understand.

    Returns:
        The bundle; None in all but the first of several processes, and where the run was stopped before its end.

    Raises:
        DataError: the configuration or the faces are wrong, what it starts from is missing, or the folder's checkpoint
            is of another configuration.
    """
    config = TrainConfig.read(run.config_file)
    check_start(config, run.folder, run.data)
    with open_ranks() as ranks:
        faces = LoadedFaces.open(run.data, "train", config.limit)
        val = LoadedFaces.open(run.data, "val", config.limit)
        trainer = Trainer(config, faces.memory, val.memory, run.folder, ranks)
        if ranks.first:
            if run.config_file.resolve() != (run.folder / CONFIG).resolve():
                write_file(run.folder / CONFIG, run.config_file.read_bytes())
            print(
                f"{len(trainer.train_faces)} faces, K = {trainer.exemplars.count}, {config.epochs} epochs, "
                f"from epoch {trainer.epoch}",
                file=sys.stderr,
            )
        trained = trainer.run(stop_after=run.stop_after)
        if not ranks.first:
            return None
        plot_curves(run.folder / "curves.csv", run.folder / "curves.png")
        if trained.epoch < config.epochs or run.stop_after == config.epochs:
            print(f"stopped after epoch {trained.epoch} of {config.epochs}; the same call goes on", file=sys.stderr)
            return None
        return _calibrated(run, trained, faces, val, detectors)


def _calibrated(
    run: TrainRun, trained: Trained, faces: LoadedFaces, val: LoadedFaces, detectors: list[Detector]
) -> Path:
    out = run.out or run.folder / "bundle"
    write_bundle(trained, run.folder / CONFIG, out)
    bundle = Bundle.load(out)
    network = create_runtime("auto", bundle.network, threads=2)
    result = calibrate(bundle, network, faces, val, detectors)
    write_calibration(bundle, result)
    print(summary_line(result), file=sys.stderr)
    report_written("exalign-model", out)
    return out
