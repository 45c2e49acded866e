"""``exalign-model export``: a run's checkpoint → a bundle that is still to be calibrated."""

from __future__ import annotations

import argparse
from pathlib import Path

from exalign.cli_support import report
from exalign.output_files import report_written
from exalign_engine.commands.arguments import add_data
from exalign_engine.commands.files import RUN_FILES, Files, files_of_bundle
from exalign_engine.sampling.faces import LoadedFaces
from exalign_engine.train.bundle_export import CONFIG, write_bundle
from exalign_engine.train.config import TrainConfig


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data(parser)
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of the training run")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="directory to write")


def files(args: argparse.Namespace) -> Files:
    """What is written and read."""
    return Files(files_of_bundle(args.out), (*(args.run / name for name in RUN_FILES), args.data))


def run(args: argparse.Namespace) -> int:
    """Write the network and the exemplars of a run; `calibrate` makes a usable bundle of them."""
    from exalign_engine.train.loop import Trainer

    config = TrainConfig.read(args.run / CONFIG)
    train, val = (LoadedFaces.open(args.data, split, config.limit).memory for split in ("train", "val"))
    trainer = Trainer(config, train, val, args.run)
    write_bundle(trainer.result(), args.run / CONFIG, args.out)
    report_written("exalign-model", args.out)
    report(f"to be calibrated next (exalign-model calibrate --bundle {args.out})")
    return 0
