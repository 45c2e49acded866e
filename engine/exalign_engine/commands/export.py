"""``exalign-model export``: a run's checkpoint → a bundle that is still to be calibrated."""

from __future__ import annotations

import argparse
import datetime
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exalign_engine.bundle import (
    SCHEMA_VERSION,
    Baseline,
    Licence,
    Manifest,
    seal,
    write_baseline,
    write_residual,
)
from exalign_engine.calibration import Calibration
from exalign_engine.commands.arguments import add_data
from exalign_engine.exemplar_file import write_exemplars
from exalign_engine.landmarks import N_LANDMARKS
from exalign_engine.pose import find_poses
from exalign_engine.train.config import TrainConfig

if TYPE_CHECKING:
    from exalign_engine.train.loop import Trained

#: Name of the configuration in a run's folder and in the bundle.
CONFIG = "train.toml"


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data(parser)
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of the training run")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="directory to write")


def run(args: argparse.Namespace) -> int:
    """Write the network and the exemplars of a run; `calibrate` makes a usable bundle of them."""
    from exalign_engine.data.source import open_faces
    from exalign_engine.train.loop import Trainer

    config = TrainConfig.read(args.run / CONFIG)
    trainer = Trainer(config, open_faces(args.data, "train"), open_faces(args.data, "val"), args.run)
    write_bundle(trainer.result(), args.run / CONFIG, args.out)
    print(
        f"wrote {args.out}: to be calibrated next (exalign-model calibrate --bundle {args.out})",
        file=sys.stderr,
    )
    return 0


def write_bundle(trained: Trained, config_file: Path, out: Path) -> None:
    """Write a bundle with neutral calibration and a zero control.

    Args:
        trained: network, exemplars and configuration.
        config_file: the TOML file, copied into the bundle as it is.
        out: directory; its files are replaced, and a residual of another model goes.
    """
    from exalign_engine.train.export import export_network

    config = trained.config
    out.mkdir(parents=True, exist_ok=True)
    # Written beside and moved: an interrupted export leaves the old network whole.
    partial = out / "network.partial"
    export_network(trained.network, config.network.input_size, partial, config.export.looks)
    partial.replace(out / "network.onnx")
    (out / "residual.npz").unlink(missing_ok=True)
    if config.network.residual_levels:
        write_residual(out / "residual.npz", trained.network.residual.export())
    poses = find_poses(trained.exemplars, trained.faces, config.exemplars.tau)
    write_exemplars(out / "exemplars.npz", trained.exemplars, poses)
    shutil.copyfile(config_file, out / CONFIG)
    Calibration().write(out / "calibration.json")
    (out / "detectors.json").write_text("{}\n")
    n = config.network
    inputs = n.feature_channels * (n.input_size // 16) ** 2 + n.embedding * config.export.looks
    write_baseline(
        out / "baseline.npz",
        Baseline(np.zeros((inputs, 2 * N_LANDMARKS), np.float32), np.zeros(2 * N_LANDMARKS, np.float32)),
    )
    d = config.description
    seal(
        out,
        Manifest(
            schema_version=SCHEMA_VERSION,
            name=d.name,
            created=datetime.datetime.now(datetime.UTC).date().isoformat(),
            files={},
            input_size=n.input_size,
            margin=n.margin,
            landmarks=N_LANDMARKS,
            exemplars=trained.exemplars.count,
            tau=config.exemplars.tau,
            training_data=d.training_data,
            licences=(Licence("weights and exemplars", d.weights_licence, d.weights_terms),),
        ),
    )
