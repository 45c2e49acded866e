"""``exalign-model finetune``: a bundle fitted further to a user's own faces, where that gains.

It needs neither torch nor the faces that trained the bundle, and leaves the network as it is: a minute, not an hour.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from exalign.cli_support import DONE, FAILED, report
from exalign.output_files import report_written
from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.commands.arguments import add_data, print_json
from exalign_engine.commands.files import Files, files_of_bundle
from exalign_engine.data.source import open_faces
from exalign_engine.errors import BundleError, Violations
from exalign_engine.finetune.fitting import MOST_MOVED
from exalign_engine.finetune.run import checked, crops_of, fine_tune, write_fine_tuned
from exalign_engine.progress import progress_bar
from exalign_engine.runtime import create_runtime, runtime_names
from exalign_engine.sampling.faces import load_faces

#: What stands for the bundle that comes with Exalign.
DEFAULT = "default"


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data(parser)
    parser.add_argument(
        "--from",
        dest="start",
        default=DEFAULT,
        metavar="BUNDLE",
        help=f"what is fine-tuned: '{DEFAULT}', the model that comes with Exalign, or a bundle (default: {DEFAULT})",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/finetune/bundle"),
        metavar="BUNDLE",
        help="bundle to write, where the faces that are left out gain (default: runs/finetune/bundle)",
    )
    parser.add_argument(
        "--split", default="train", help="split of the data, all of whose faces are used (default: train)"
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="use only N faces, evenly spaced")
    parser.add_argument(
        "--most-moved",
        type=float,
        default=100 * MOST_MOVED,
        metavar="PERCENT",
        help="by how much landmarks of faces as the bundle knew before may move, %% of the face box, root mean square: "
        "more gains more here and costs more elsewhere (default: %(default)s)",
    )
    parser.add_argument("--runtime", choices=runtime_names(), default="auto", help="what executes the network")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads of the network (default: 2)")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object on stdout")


def files(args: argparse.Namespace) -> Files:
    """What is written and read."""
    read: list[Path] = [args.data]
    with suppress(BundleError):
        read.append(_start(args))
    return Files(files_of_bundle(args.out), tuple(read))


def _start(args: argparse.Namespace) -> Path:
    return default_bundle_path() if args.start == DEFAULT else Path(args.start)


def run(args: argparse.Namespace) -> int:
    """Fine-tune, say what faces that were left out gain, and write a bundle where they do; else `FAILED`."""
    wrong = Violations()
    if args.out.exists():
        wrong.add("--out", f"{str(args.out)!r} exists already")
    if not 0 < args.most_moved <= 100:
        wrong.add("--most-moved", f"is {args.most_moved:g}, must be above 0 and at most 100")
    wrong.raise_if_any()
    bundle = Bundle.load(_start(args))
    faces = load_faces(open_faces(args.data, args.split), args.limit)
    checked(bundle, len(faces))  # before a bar is drawn
    network = create_runtime(args.runtime, bundle.network, threads=args.threads)
    bar = progress_bar(crops_of(len(faces)), "fine-tuning")
    found = fine_tune(bundle, network, faces, most_moved=args.most_moved / 100, progress=bar)
    f = found.figures
    summary = (
        f"{f['faces']} faces, each answered by a fit that had not seen it: AUC {f['auc_before']:.4f} → {f['auc']:.4f} "
        f"({f['gain']:+.4f} ± {f['standard_error']:.4f})"
    )
    if args.json:
        print_json(f | {"gained": found.gained})
    if not found.gained:
        report(f"exalign-model: {summary}: no gain beyond chance; nothing was written, {bundle.path} stays")
        return FAILED
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_fine_tuned(bundle, found, args.data, args.out)
    report_written("exalign-model", args.out)
    report(f"{summary}; landmarks of faces as it knew before move by {100 * f['moved_elsewhere']:.2f} % of the box")
    return DONE
