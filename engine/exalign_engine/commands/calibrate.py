"""``exalign-model calibrate``: fit temperature, kernels, pose, presence, detectors, baseline; seal the bundle."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from exalign.output_files import report_written
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.bundle.moments_file import MOMENTS, write_moments
from exalign_engine.calibration.calibrate import calibrate, measure_moments, summary_line, write_calibration
from exalign_engine.calibration.detector import calibrate_detector, detector_line, write_detector
from exalign_engine.calibration.heads import heads_line, recalibrate_heads, write_heads
from exalign_engine.calibration.occlusion import occlusion_line, recalibrate_occlusion, write_occlusion_fit
from exalign_engine.commands.arguments import add_bundle, add_data, bundle_path
from exalign_engine.commands.files import Files, bundle_read, given
from exalign_engine.detect import DETECTORS, create_detector, create_detectors
from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.finetune.run import residual_of
from exalign_engine.network.outputs import Runtime
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.faces import LoadedFaces

#: What ``--report`` can write.
REPORT_SUFFIXES = (".html", ".png")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data(parser)
    add_bundle(parser)
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="use only N faces of each split (for trials)")
    for spec in DETECTORS:
        if spec.model is not None:
            text = f"also fit the affine of {spec.name}, from its model file"
            parser.add_argument(f"--{spec.name}", dest=spec.model_setting, type=Path, metavar="FILE", help=text)
    parser.add_argument(
        "--detector",
        choices=[spec.name for spec in DETECTORS if spec.boxes is None],
        help="fit this detector alone and leave everything else as it is",
    )
    parser.add_argument(
        "--moments",
        action="store_true",
        help="write moments.npz alone, what finetune needs of the training faces, and leave everything else as it is",
    )
    parser.add_argument(
        "--heads",
        action="store_true",
        help="fit pose and presence alone, with turned heads, and leave everything else as it is",
    )
    parser.add_argument(
        "--occlusion",
        action="store_true",
        help="teach which landmarks are hidden alone, behind drawn occluders, and leave everything else as it is",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write what was measured, as .html or .png")


def files(args: argparse.Namespace) -> Files:
    """What is written and read; the bundle itself is changed in place."""
    models = given(*(getattr(args, spec.model_setting) for spec in DETECTORS if spec.model is not None))
    return Files(given(args.report), (args.data, *bundle_read(args), *models), option="--report")


def run(args: argparse.Namespace) -> int:
    """Fit on ``train`` and ``val`` of the data and rewrite the bundle's files in place."""
    if args.report and args.report.suffix not in REPORT_SUFFIXES:
        raise InvalidInputError(
            [Violation("--report", f"is {str(args.report)!r}, must end in {' or '.join(REPORT_SUFFIXES)}")]
        )
    flags = (
        ("--detector", args.detector),
        ("--moments", args.moments),
        ("--heads", args.heads),
        ("--occlusion", args.occlusion),
    )
    alone = [name for name, given_ in flags if given_]
    if len(alone) + bool(args.report) > 1:
        raise InvalidInputError([Violation(alone[0], f"does not go with {'--report' if args.report else alone[1]}")])
    bundle = Bundle.load(bundle_path(args))
    network = create_runtime(args.runtime, bundle.network, threads=args.threads, precision=args.precision)
    if args.moments:
        faces = LoadedFaces.open(args.data, "train", args.limit).memory
        moments = measure_moments(bundle, network, residual_of(bundle), faces)
        write_moments(bundle.path, moments, bundle.manifest.files["residual.npz"])
        report_written("exalign-model", bundle.path / MOMENTS)
        return 0
    train, val = (LoadedFaces.open(args.data, split, args.limit) for split in ("train", "val"))
    models = {spec.name: getattr(args, spec.model_setting) for spec in DETECTORS if spec.model is not None}
    if (line := _one_part(args, bundle, network, train, val, models)) is not None:
        report_written("exalign-model", bundle.path)
        print(line, file=sys.stderr)
        return 0
    detectors = create_detectors({name: file for name, file in models.items() if file is not None})
    result = calibrate(bundle, network, train, val, list(detectors.values()), threads=args.threads)
    write_calibration(bundle, result)
    report_written("exalign-model", bundle.path)
    print(summary_line(result), file=sys.stderr)
    if args.report:
        from exalign_engine.calibration.report import write_report

        write_report(Bundle.load(bundle_path(args)), args.report)
        report_written("exalign-model", args.report)
    return 0


def _one_part(
    args: argparse.Namespace,
    bundle: Bundle,
    network: Runtime,
    train: LoadedFaces,
    val: LoadedFaces,
    models: Mapping[str, Path | None],
) -> str | None:
    """Fit and write the one part of a bundle that was asked for; a line for people. None: all of it was."""
    if args.detector is not None:
        fit = calibrate_detector(bundle, network, train, val, create_detector(args.detector, models.get(args.detector)))
        write_detector(bundle, fit)
        return detector_line(fit)
    if args.heads:
        heads = recalibrate_heads(bundle, network, train.memory, val.memory)
        write_heads(bundle, heads)
        return heads_line(heads)
    if args.occlusion:
        occlusion = recalibrate_occlusion(bundle, network, train.memory, val.memory)
        write_occlusion_fit(bundle, occlusion)
        return occlusion_line(occlusion)
    return None
