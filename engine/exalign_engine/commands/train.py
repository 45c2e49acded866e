"""``exalign-model train``: from annotated faces to a calibrated bundle in one command."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from exalign_engine.calibration.calibrate import calibrate
from exalign_engine.commands.arguments import add_data
from exalign_engine.data.source import open_faces
from exalign_engine.errors import DataError
from exalign_engine.train.bundle_export import CONFIG, write_bundle
from exalign_engine.train.config import TrainConfig


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data(parser)
    parser.add_argument("--config", type=Path, required=True, metavar="TOML", help="training configuration")
    parser.add_argument("--out", type=Path, metavar="BUNDLE", help="bundle to write (default: <run>/bundle)")
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="folder for checkpoint and curves; an interrupted run in it goes on"
        " (default: runs/<name of the configuration>)",
    )  # fmt: skip
    parser.add_argument("--stop-after", type=int, metavar="EPOCH", help="stop after this epoch; the next call goes on")


def run(args: argparse.Namespace) -> int:
    """Train (or go on), export, calibrate."""
    try:
        from exalign_engine.train.distributed import open_ranks
        from exalign_engine.train.loop import Trainer
        from exalign_engine.train.plots import plot_curves
    except ImportError as e:
        raise DataError(args.config, f"training needs the extra 'train' ({e}); pip install 'exalign[train]'") from e

    config = TrainConfig.read(args.config)
    folder = args.run or Path("runs") / args.config.stem
    with open_ranks() as ranks:
        trainer = Trainer(config, open_faces(args.data, "train"), open_faces(args.data, "val"), folder, ranks)
        if ranks.first:
            if args.config.resolve() != (folder / CONFIG).resolve():
                shutil.copyfile(args.config, folder / CONFIG)
            print(
                f"{len(trainer.train_faces)} faces, K = {trainer.exemplars.count}, {config.epochs} epochs, "
                f"from epoch {trainer.epoch}",
                file=sys.stderr,
            )
        trained = trainer.run(stop_after=args.stop_after)
        if not ranks.first:
            return 0
        plot_curves(folder / "curves.csv", folder / "curves.png")
        if trained.epoch < config.epochs:
            print(f"stopped after epoch {trained.epoch} of {config.epochs}; the same call goes on", file=sys.stderr)
            return 0
        out = args.out or folder / "bundle"
        write_bundle(trained, folder / CONFIG, out)
        calibrate(out, args.data, limit=config.limit)
        print(f"wrote {out}", file=sys.stderr)
        return 0
