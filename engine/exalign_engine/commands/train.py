"""``exalign-model train``: from annotated faces to a calibrated bundle in one command."""

from __future__ import annotations

import argparse
from pathlib import Path

from exalign_engine.commands.arguments import add_data
from exalign_engine.commands.files import RUN_CONFIG, RUN_FILES, Files, files_of_bundle
from exalign_engine.detect import create_detectors
from exalign_engine.train.config import find_config, shipped_configs


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data(parser)
    parser.add_argument(
        "--config",
        required=True,
        metavar="NAME",
        help=f"training configuration: {', '.join(shipped_configs())}, or the path of a TOML file",
    )
    parser.add_argument("--out", type=Path, metavar="BUNDLE", help="bundle to write (default: <run>/bundle)")
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="folder for checkpoint and curves; an interrupted run in it goes on"
        " (default: runs/<name of the configuration>)",
    )  # fmt: skip
    parser.add_argument(
        "--stop-after",
        type=int,
        metavar="EPOCH",
        help="stop after this epoch, before any export; the next call goes on",
    )


def files(args: argparse.Namespace) -> Files:
    """What is written and read. A run that is given its own copy of the configuration does not write that."""
    folder = _folder(args)
    written = [*files_of_bundle(args.out or folder / "bundle"), *(folder / name for name in RUN_FILES)]
    config = Path(args.config)  # or a name, which is no file
    if config.resolve() == (folder / RUN_CONFIG).resolve():
        written.remove(folder / RUN_CONFIG)
    return Files(tuple(written), (config, args.data), option="--out and --run")


def _folder(args: argparse.Namespace) -> Path:
    folder: Path = args.run or Path("runs") / Path(args.config).stem
    return folder


def run(args: argparse.Namespace) -> int:
    """Train (or go on), export, calibrate."""
    config = find_config(args.config)
    # Imported here: `--help` and a wrong name should not wait for torch.
    from exalign_engine.train.run import TrainRun, train

    train(TrainRun(config, args.data, _folder(args), args.out, args.stop_after), list(create_detectors().values()))
    return 0
