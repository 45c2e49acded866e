"""``exalign-model export``: a run's checkpoint → a bundle that is still to be calibrated."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from exalign_engine.commands.arguments import add_data
from exalign_engine.sampling.faces import LoadedFaces
from exalign_engine.train.bundle_export import CONFIG, write_bundle
from exalign_engine.train.config import TrainConfig


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data(parser)
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="folder of the training run")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="directory to write")


def run(args: argparse.Namespace) -> int:
    """Write the network and the exemplars of a run; `calibrate` makes a usable bundle of them."""
    from exalign_engine.train.loop import Trainer

    config = TrainConfig.read(args.run / CONFIG)
    train, val = (LoadedFaces.open(args.data, split, config.limit).memory for split in ("train", "val"))
    trainer = Trainer(config, train, val, args.run)
    write_bundle(trainer.result(), args.run / CONFIG, args.out)
    print(
        f"wrote {args.out}: to be calibrated next (exalign-model calibrate --bundle {args.out})",
        file=sys.stderr,
    )
    return 0
