"""A trained network and its exemplars written as a bundle that is still to be calibrated."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exalign.output_files import replacing, write_file
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
from exalign_engine.bundle.moments_file import MOMENTS
from exalign_engine.bundle.occlusion_file import OCCLUSION
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
        out: directory; its files are replaced, and a residual of another model goes, and what was kept for it.
    """
    from exalign_engine.train.export import export_network

    config = trained.config
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "network.onnx") as partial:
        export_network(trained.network, config.network.input_size, partial, config.export.looks)
    for name in ("residual.npz", MOMENTS, OCCLUSION):
        (out / name).unlink(missing_ok=True)
    if config.network.residual_levels:
        with replacing(out / "residual.npz") as partial:
            write_residual(partial, trained.network.residual.export())
    poses = find_poses(trained.exemplars, trained.faces, config.exemplars.tau, trained.mean_face)
    with replacing(out / "exemplars.npz") as partial:
        write_exemplars(partial, trained.exemplars, poses)
    write_file(out / CONFIG, config_file.read_bytes())
    with replacing(out / "calibration.json") as partial:
        Calibration().write(partial)
    write_file(out / "detectors.json", "{}\n")
    n = config.network
    inputs = n.feature_channels * (n.input_size // 16) ** 2 + n.embedding * config.export.looks
    baseline = Baseline(np.zeros((inputs, 2 * N_LANDMARKS), np.float32), np.zeros(2 * N_LANDMARKS, np.float32))
    with replacing(out / "baseline.npz") as partial:
        write_baseline(partial, baseline)
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
