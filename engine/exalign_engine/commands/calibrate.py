"""``exalign-model calibrate``: fit temperature, kernels, pose, presence, detectors and control; seal the bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.calibration.calibrate import calibrate
from exalign_engine.commands.arguments import add_bundle, add_data
from exalign_engine.errors import InvalidInputError, Violation

#: What ``--report`` can write.
REPORT_SUFFIXES = (".html", ".png")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data(parser)
    add_bundle(parser)
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="use only N faces of each split (for trials)")
    parser.add_argument("--yunet", type=Path, metavar="FILE", help="also fit the affine of YuNet, from its model file")
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write what was measured, as .html or .png")


def run(args: argparse.Namespace) -> int:
    """Fit on ``train`` and ``val`` of the data and rewrite the bundle's files in place."""
    if args.report and args.report.suffix not in REPORT_SUFFIXES:
        raise InvalidInputError(
            [Violation("--report", f"is {str(args.report)!r}, must end in {' or '.join(REPORT_SUFFIXES)}")]
        )
    calibrate(
        args.bundle,
        args.data,
        runtime=args.runtime,
        precision=args.precision,
        threads=args.threads,
        limit=args.limit,
        yunet=args.yunet,
    )
    if args.report:
        from exalign_engine.calibration.report import write_report

        write_report(Bundle.load(args.bundle), args.report)
        print(f"wrote {args.report}", file=sys.stderr)
    return 0
