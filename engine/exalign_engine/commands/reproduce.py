"""``exalign-model reproduce``: the paper's tables and figures, from CSV files or from scratch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from exalign_engine.commands.arguments import add_bundle, add_data, bundle_path
from exalign_engine.commands.files import Files, bundle_read, given
from exalign_engine.errors import DataError, InvalidInputError, Violation
from exalign_engine.evaluation.reproduction.pieces import NAMES, Request, run_pieces
from exalign_engine.progress import progress_bar

RESULTS = Path("docs/reproduction")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--results", type=Path, default=RESULTS, metavar="DIR", help=f"folder of the CSV files (default: {RESULTS})"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where README.md, report.html and figures/ go (default: --results)"
    )
    parser.add_argument(
        "--from-scratch",
        action="store_true",
        help="first make every CSV file that is missing: train the sweeps and run the suites; resumes where it stopped",
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", default=[], help=f"with --from-scratch, only these: {', '.join(NAMES)}"
    )
    add_data(parser, required=False)
    parser.add_argument("--split", default="val", help="with --from-scratch, what the suites run on (default: val)")
    parser.add_argument(
        "--limit",
        type=int,
        default=0,
        metavar="N",
        help="with --from-scratch, the suites look at N faces or clips only, into files of their own",
    )
    add_bundle(parser)


def files(args: argparse.Namespace) -> Files:
    """What is written and read; into the folder of the CSV files the report may go, for it has other names."""
    out = args.out or args.results
    return Files((out / "README.md", out / "report.html"), (*given(args.data), *bundle_read(args)))


def run(args: argparse.Namespace) -> int:
    """Make what is missing, if wished, and write the report."""
    # matplotlib comes with the extra 'train' as torch does; only the report needs it.
    from exalign_engine.evaluation.reproduction.page import write_report

    _check(args)
    if args.from_scratch:
        args.results.mkdir(parents=True, exist_ok=True)
        run_pieces(
            Request(
                folder=args.results,
                data=args.data,
                bundle=bundle_path(args),
                split=args.split,
                only=tuple(args.only),
                limit=args.limit,
                threads=args.threads,
                runtime=args.runtime,
                precision=args.precision,
                bar=progress_bar,
                say=lambda text: print(text, file=sys.stderr),
            )
        )
    elif not args.results.is_dir():
        raise DataError(args.results, "no such folder; --from-scratch --data FACES makes it")
    for path in write_report(args.results, args.out or args.results):
        print(path)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse every option that is wrong or would not be heeded.

    Raises:
        InvalidInputError: names all of them.
    """
    wrong = [
        Violation("--only", f"{name!r} is unknown; known: {', '.join(NAMES)}")
        for name in args.only
        if name not in NAMES
    ]
    if args.limit < 0:
        wrong.append(Violation("--limit", f"is {args.limit}, must be at least 0"))
    if args.from_scratch and args.data is None:
        wrong.append(Violation("--data", "must be given with --from-scratch"))
    if not args.from_scratch:
        for field, given in (
            ("--data", args.data),
            ("--only", args.only),
            ("--limit", args.limit > 0),
            ("--split", args.split != "val"),
        ):
            if given:
                wrong.append(Violation(field, "goes with --from-scratch only"))
    if wrong:
        raise InvalidInputError(wrong)
