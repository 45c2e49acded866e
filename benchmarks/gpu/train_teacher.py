"""A teacher: trained for a number of minutes in bfloat16, and what it says about every face, for a student.

    python -m benchmarks.gpu.train_teacher pack --data FACES --out out/teacher-faces
        [--unlabelled FOLDER] [--pixels 112]
    python -m benchmarks.gpu.train_teacher train --faces out/teacher-faces --minutes 9 --folder out/teacher
        [--config resnet50] [--seeds 1 2 3] [--out out/teacher-targets] [--top 32] [--most-mb 16]

``pack`` makes the faces small (26 MB at most, of 112 pixels), for a machine that gets nothing but the working tree.
``train`` trains a network for each seed, in equal shares of the minutes, on the classes of a bundle; checkpoints are
written every minute, and the same call goes on. It then chooses temperature and kernels on ``val``, as a bundle's are
chosen, and writes to ``--out``, 16 MB at most in all:

- ``targets.npz``: for each split the names, means (box frame), covariances (half precision, ten thousandths of a box
  side²) and the most probable exemplars with their probabilities, which are the mean over seeds and mirror images;
- ``curves.csv``: a row for each epoch of each seed;
- ``report.json``: on what it ran, how long, and the accuracy of the targets on annotated faces.

Faces and targets derive from research data: they are for research, and for no repository.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.gpu.packed_faces import SPLITS, UNLABELLED, Packing, pack
from benchmarks.gpu.targets import COVARIANCE_UNIT, Targets, Teacher, calibrated, targets_of
from benchmarks.gpu.teacher import Member, train_member
from benchmarks.machine import machine

from exalign.output_files import replacing, write_file
from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.data.source import open_faces
from exalign_engine.errors import ExalignError
from exalign_engine.face.aligner import Aligner
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.faces import FaceMemory, load_faces
from exalign_engine.train.config import TrainConfig, find_config
from exalign_engine.train.distributed import open_ranks


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    try:
        return _pack(args) if args.step == "pack" else _train(args)
    except (ExalignError, ValueError) as e:
        print(f"train_teacher: {e}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    small = steps.add_parser("pack", help="make faces small")
    small.add_argument("--data", type=Path, required=True, metavar="FACES", help="with splits train and val")
    small.add_argument("--unlabelled", type=Path, metavar="FOLDER", help="faces.npz and index.csv without landmarks")
    small.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    for name, kind, text in (
        ("pixels", int, "side of each square"),
        ("margin", float, "its side ÷ box side"),
        ("quality", int, "of JPEG"),
        ("most-mb", float, "of the whole folder"),
    ):
        default = getattr(Packing(), name.replace("-", "_"))
        small.add_argument(f"--{name}", type=kind, default=default, help=f"{text} (default: {default})")
    train = steps.add_parser("train", help="train, and write targets")
    train.add_argument("--faces", type=Path, required=True, metavar="FOLDER", help="what pack wrote")
    train.add_argument("--folder", type=Path, required=True, help="of checkpoints")
    train.add_argument("--out", type=Path, default=Path("out/teacher-targets"), metavar="FOLDER")
    train.add_argument("--config", default="resnet50", help="a configuration's name or file (default: resnet50)")
    train.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N", help="a network each (default: 1)")
    train.add_argument("--minutes", type=float, required=True, help="of training; 0: the configuration's epochs")
    train.add_argument(
        "--bundle", type=Path, default=default_bundle_path(), metavar="DIR", help="whose classes to learn"
    )
    train.add_argument("--limit", type=int, default=0, metavar="N", help="faces of each split, evenly spaced; 0: all")
    train.add_argument("--batch-size", type=int, default=0, metavar="N", help="0: the configuration's")
    train.add_argument("--threads", type=int, default=0, metavar="N", help="0: the configuration's")
    train.add_argument("--fitted-on", type=int, default=200, metavar="N", help="faces of val for the temperature")
    train.add_argument("--top", type=int, default=32, metavar="M", help="exemplars a face (default: 32)")
    train.add_argument("--most-mb", type=float, default=16.0, metavar="MB", help="all that --out gets (default: 16)")
    return parser


def _pack(args: argparse.Namespace) -> int:
    packing = Packing(args.pixels, args.margin, args.quality, args.most_mb)
    aligner = None if args.unlabelled is None else Aligner.default()
    print(json.dumps(pack(args.data, args.out, packing, args.unlabelled, aligner)))
    return 0


def _train(args: argparse.Namespace) -> int:
    here, bundle = machine(), Bundle.load(args.bundle)
    print(here)
    base = TrainConfig.read(find_config(args.config))
    changes = {"batch_size": args.batch_size, "threads": args.threads}
    base = replace(base, **{name: value for name, value in changes.items() if value})
    faces = {name: load_faces(open_faces(args.faces, name), args.limit) for name in _splits(args.faces)}
    share = 60 * args.minutes / len(args.seeds)
    with open_ranks() as ranks:
        pair = faces["train"], faces["val"]
        members = [
            train_member(base, seed, pair, bundle.exemplars, args.folder / f"seed-{seed}", share, ranks)
            for seed in args.seeds
        ]
        # Everything was made repeatable for training; what only looks need not be.
        torch.use_deterministic_algorithms(False)
        teacher = Teacher([member.trained.network for member in members], bundle.exemplars, ranks.device)
        augmenter = Augmenter(base.augment, base.network.input_size, base.network.margin)
        model = calibrated(teacher, _few(faces["val"], args.fitted_on), augmenter, base.batch_size)
        found = {
            name: targets_of(teacher, model, memory, augmenter, args.top, base.batch_size)
            for name, memory in faces.items()
        }
    report = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {**asdict(here), "quiet": here.quiet},
        "device": torch.cuda.get_device_name() if ranks.on_gpu else ranks.device,
        "torch": torch.__version__,
        "config": args.config,
        "minutes": args.minutes,
        "batch_size": base.batch_size,
        "bundle": bundle.id,
        "exemplars": bundle.exemplars.count,
        "members": [_member(member) for member in members],
        "temperature": model.calibration.temperature,
        "accuracy": {name: targets.accuracy for name, targets in found.items() if name != UNLABELLED},
    }
    _deliver(args.out, found, model, members, report, args.most_mb)
    print(json.dumps(report["accuracy"]))
    return 0


def _splits(folder: Path) -> list[str]:
    """Those that the packed folder has; train and val it must have."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as f:
        present = {row["split"] for row in csv.DictReader(f)}
    return [*SPLITS, *([UNLABELLED] if UNLABELLED in present else [])]


def _few(faces: FaceMemory, most: int) -> FaceMemory:
    """So many faces, evenly spaced."""
    chosen = np.linspace(0, len(faces) - 1, min(most, len(faces))).astype(int)
    return FaceMemory([faces.images[i] for i in chosen], faces.landmarks[chosen], [faces.ids[i] for i in chosen])


def _member(member: Member) -> dict[str, Any]:
    last = member.curves[-1] if member.curves else {}
    seconds = sum(float(str(row["seconds"])) for row in member.curves)
    samples = int(str(last.get("samples", 0)))
    return {
        "seed": member.seed,
        "epochs": member.trained.epoch,
        "samples": samples,
        "samples_per_second": round(samples / seconds, 1) if seconds else None,
        "seconds": member.seconds,
        "val_auc": next((row["val_auc"] for row in reversed(member.curves) if "val_auc" in row), None),
    }


def _deliver(
    out: Path,
    found: dict[str, Targets],
    model: PosteriorModel,
    members: Sequence[Member],
    report: dict[str, Any],
    most_mb: float,
) -> None:
    """Write the three files.

    Raises:
        ValueError: they are larger than they may be; ``targets.npz`` is not written.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(["seed", *(name for member in members for row in member.curves for name in row)]))
    with (out / "curves.csv").open("w", newline="", encoding="utf-8") as f:
        table = csv.DictWriter(f, names, lineterminator="\n")
        table.writeheader()
        table.writerows({"seed": member.seed, **row} for member in members for row in member.curves)
    write_file(out / "report.json", json.dumps(report, indent=1) + "\n")
    calibration = model.calibration
    arrays: dict[str, Any] = {
        "temperature": np.float64(calibration.temperature),
        "kernel_scale": np.float64(calibration.kernel_scale),
        "landmark_scale": np.asarray(calibration.landmark_scale),
        "covariance_unit": np.float64(COVARIANCE_UNIT),
        "bundle": np.asarray(report["bundle"]),
    }
    for split, targets in found.items():
        arrays |= {f"{split}.{name}": np.asarray(value) for name, value in vars(targets).items() if name != "accuracy"}
    with replacing(out / "targets.npz") as partial:
        with partial.open("wb") as f:
            np.savez_compressed(f, **arrays)
        size = partial.stat().st_size + sum((out / name).stat().st_size for name in ("curves.csv", "report.json"))
        if size > most_mb * 1e6:
            raise ValueError(
                f"targets and curves take {size / 1e6:.1f} MB, at most {most_mb:g}: lower --top or --limit"
            )


if __name__ == "__main__":
    sys.exit(main())
