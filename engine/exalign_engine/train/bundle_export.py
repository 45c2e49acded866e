"""A trained network and its exemplars written as a bundle that is still to be calibrated."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exalign_engine.bundle.bundle import (
    SCHEMA_VERSION,
    Baseline,
    Licence,
    Manifest,
    seal,
    write_baseline,
    write_residual,
)
from exalign_engine.bundle.exemplar_file import write_exemplars
from exalign_engine.exemplars.poses import find_poses
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.posterior.calibration import Calibration

if TYPE_CHECKING:
    from exalign_engine.train.loop import Trained


#: Name of the configuration in a run's folder and in the bundle.
CONFIG = "train.toml"


def write_bundle(trained: Trained, config_file: Path, out: Path) -> None:
    """Write a bundle with neutral calibration and a zero baseline.

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
    poses = find_poses(trained.exemplars, trained.faces, config.exemplars.tau, trained.mean_face)
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
