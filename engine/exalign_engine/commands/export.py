"""``exalign-model export``: a run's checkpoint → a bundle that is still to be calibrated."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from exalign_engine.commands.arguments import add_data
from exalign_engine.train.config import TrainConfig

if TYPE_CHECKING:
    pass
from exalign_engine.train.bundle_export import CONFIG, write_bundle


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
