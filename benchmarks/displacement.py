"""The cascade beside the residual: what each brings on ``val``, what it costs, and how large it is.

    python benchmarks/displacement.py --data FACES [--bundle DIR] [--cascade FILE | --fit FILE] [--json]

``--fit`` fits a cascade on ``train`` first and writes it to FILE; ``--cascade`` measures one that was fitted before.
The residual is the bundle's own, where it has one. All move the same shapes: the mean of the mixture on true boxes,
and the same moved off at random ("off": 0.02 box sides, 3 % of scale, 3 degrees), for no start is always this good.

The penalties of the cascade were chosen on ``val``, by the AUC that is printed, and the temperature of the mixture was
fitted there; ``test`` decides nothing and is not looked at. CPU-milliseconds are of the process, the median over the
faces of one call (BLAS may spin: set OPENBLAS_NUM_THREADS=1); bytes are the file's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from benchmarks.cascade.cascade import Cascade, read_cascade, write_cascade
from benchmarks.cascade.examples import collect, disturbed_crops, perturbed, plain_crops, pose_classes
from benchmarks.cascade.fitting import auc_of, fit_cascade
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.data.face_source import FaceSource
from exalign_engine.data.source import open_faces
from exalign_engine.metrics.accuracy import nrmse, summarise
from exalign_engine.metrics.subsets import difficult_subsets, yaw_of
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.posterior.residual import Displacer, ImageFeatures
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import load_faces
from exalign_engine.train.config import TrainConfig

F64 = NDArray[np.float64]

SEED = 5


@dataclass(frozen=True)
class Row:
    """One way to move the mean of the mixture; rates in %."""

    displacement: str
    auc: float
    failure_rate: float
    large_yaw_auc: float
    large_yaw_failure_rate: float
    hard_auc: float
    off_auc: float
    cpu_ms: float
    bytes: int


@dataclass(frozen=True)
class Split:
    """Faces as the network sees them, with both looks of one that looks twice."""

    images: list[ImageFeatures]
    starts: F64
    off: F64
    truths: F64
    subsets: dict[str, NDArray[np.intp]]


def see(bundle: Bundle, runtime: Runtime, faces: FaceSource) -> Split:
    """Undisturbed crops about the true boxes."""
    memory = load_faces(faces)
    # All channels: a displacer tells the looks apart by itself.
    examples = collect(runtime, model_of(bundle), plain_crops(memory, augmenter_of(bundle)), progress=say)
    images = [
        ImageFeatures(embedding, local.astype(np.float32))
        for embedding, local in zip(examples.embedding, examples.local, strict=True)
    ]
    starts, off = (e.starts.astype(np.float64) for e in (examples, perturbed(examples, 1.0, SEED)))
    subsets = difficult_subsets(faces.landmarks, yaw_of(faces, bundle.poses.mean_face))
    return Split(images, starts, off, examples.truths.astype(np.float64), subsets)


def fit(bundle: Bundle, runtime: Runtime, data: Path, draws: int) -> Cascade:
    """Fit a cascade on ``train``, its penalties chosen on ``val``."""
    looks = TrainConfig.read(bundle.path / "train.toml").export.looks
    augmenter, model = augmenter_of(bundle), model_of(bundle)
    faces, others = (load_faces(open_faces(data, split)) for split in ("train", "val"))
    crops = disturbed_crops(faces, augmenter, draws, SEED)
    train = collect(runtime, model, crops, looks=looks, flips=True, progress=say)
    val = collect(runtime, model, plain_crops(others, augmenter), looks=looks, progress=say)
    print(f"{len(train)} examples; mixture: AUC {auc_of(train.starts, train.truths):.4f} on them,", file=sys.stderr)
    print(f"{auc_of(val.starts, val.truths):.4f} on val", file=sys.stderr)
    cascade, levels = fit_cascade(train, val, pose_classes(bundle.exemplars), bundle.manifest.margin)
    for i, level in enumerate(levels):
        print(f"level {i}: penalties {level.shared_penalty:g}, {level.own_penalty:g}: {level.auc:.4f}", file=sys.stderr)
    return cascade


def model_of(bundle: Bundle) -> PosteriorModel:
    """The mixture by itself."""
    return PosteriorModel(bundle.exemplars, bundle.calibration)


def augmenter_of(bundle: Bundle) -> Augmenter:
    """Disturbs crops as they are by default."""
    return Augmenter(AugmentConfig(), bundle.manifest.input_size, bundle.manifest.margin)


def move(displacer: Displacer | None, images: list[ImageFeatures], starts: F64) -> tuple[F64, float]:
    """(F, 68, 2) where the starts are moved, and the median of the CPU-milliseconds of a call."""
    if displacer is None:
        return starts, 0.0
    found, times = np.empty_like(starts), []
    for i, (image, start) in enumerate(zip(images, starts, strict=True)):
        begin = time.process_time()
        found[i] = start + displacer.displacement(image, start)
        times.append(1e3 * (time.process_time() - begin))
    return found, statistics.median(times)


def measure(name: str, displacer: Displacer | None, size: int, split: Split) -> Row:
    """One line of the table."""
    off, _ = move(displacer, split.images, split.off)
    answers, cpu_ms = move(displacer, split.images, split.starts)
    errors = np.array([nrmse(a, t) for a, t in zip(answers, split.truths, strict=True)])
    all_, yaw, hard = (
        summarise(errors[rows].tolist())
        for rows in (np.arange(len(errors)), split.subsets["large_yaw"], split.subsets["hard"])
    )
    return Row(
        displacement=name,
        auc=float(all_["auc"] or 0),
        failure_rate=float(all_["failure_rate"] or 0),
        large_yaw_auc=float(yaw["auc"] or 0),
        large_yaw_failure_rate=float(yaw["failure_rate"] or 0),
        hard_auc=float(hard["auc"] or 0),
        off_auc=auc_of(off, split.truths),
        cpu_ms=cpu_ms,
        bytes=size,
    )


def say(done: int) -> None:
    """Progress."""
    print(f"\r{done} crops", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Fit if told to, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="annotated faces, prepared")
    parser.add_argument("--bundle", type=Path, default=default_bundle_path(), help="default: the one in the package")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--cascade", type=Path, help="a cascade.npz of this bundle")
    given.add_argument("--fit", type=Path, help="fit a cascade and write it here")
    parser.add_argument("--draws", type=int, default=2, help="crops of each training face for --fit (default: 2)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    bundle = Bundle.load(arguments.bundle)
    runtime = create_runtime("auto", bundle.network, threads=1)
    if arguments.fit:
        write_cascade(arguments.fit, fit(bundle, runtime, arguments.data, arguments.draws))
    split = see(bundle, runtime, open_faces(arguments.data, "val"))
    rows = [measure("mixture mean", None, 0, split)]
    file = arguments.cascade or arguments.fit
    if file:
        rows.append(measure("cascade", read_cascade(file, bundle.manifest.margin), file.stat().st_size, split))
    if bundle.residual is not None:
        size = (bundle.path / "residual.npz").stat().st_size
        rows.append(measure("residual", bundle.residual, size, split))
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    columns = ("AUC", "fail %", "turned", "fail %", "hard", "off", "CPU-ms", "MB")
    print("{:<14}".format("") + "".join(f"{c:>9}" for c in columns))
    for r in rows:
        print(
            f"{r.displacement:<14}{r.auc:>9.4f}{r.failure_rate:>9.2f}{r.large_yaw_auc:>9.4f}"
            f"{r.large_yaw_failure_rate:>9.2f}{r.hard_auc:>9.4f}{r.off_auc:>9.4f}{r.cpu_ms:>9.2f}{r.bytes / 1e6:>9.2f}"
        )


if __name__ == "__main__":
    main()
