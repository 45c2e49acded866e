"""``exalign-model evaluate``: accuracy of a bundle on annotated faces."""

from __future__ import annotations

import argparse
from typing import Any

from exalign_engine.aligner import Aligner
from exalign_engine.bundle import Bundle
from exalign_engine.commands.arguments import add_bundle, add_data, print_json, progress_bar
from exalign_engine.data.prepared import annotated_photos
from exalign_engine.data.source import open_faces
from exalign_engine.detect import create_detector
from exalign_engine.evaluate import evaluate_crops, evaluate_photos, report
from exalign_engine.presence import presence_report, presence_scores
from exalign_engine.runtime import create_runtime
from exalign_engine.train.augment import Augmenter
from exalign_engine.train.config import AugmentConfig
from exalign_engine.train.samples import load_faces

#: Seed of the crops that presence is judged by.
PRESENCE_SEED = 20

COLUMNS = ("n", "nrmse_mean", "auc", "failure_rate", "missed")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_data(parser)
    add_bundle(parser)
    parser.add_argument("--split", default="test", help="split of the data (default: test)")
    parser.add_argument("--boxes", choices=("truth", "detector"), default="truth", help="whose boxes (default: truth)")
    parser.add_argument("--detector", default="mtcnn", help="detector for --boxes detector (default: mtcnn)")
    parser.add_argument("--frames", action="store_true", help="whole photos of frames/frames.json in place of crops")
    parser.add_argument("--json", action="store_true", help="figures as one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """Print n, nrmse_mean, auc, failure_rate (%) and missed (%), in total and by source; and presence."""
    bundle = Bundle.load(args.bundle)
    detectors = {args.detector: create_detector(args.detector)} if args.boxes == "detector" else {}
    aligner = Aligner(bundle, create_runtime(args.runtime, bundle.network, threads=args.threads), detectors)
    head = {"bundle_id": bundle.id, "runtime": aligner.runtime.name, "split": args.split, "boxes": args.boxes}
    if args.frames:
        photos = annotated_photos(args.data, args.split)
        figures = report(
            evaluate_photos(aligner, photos, args.boxes, args.detector, progress_bar(len(photos), "photos"))
        )
    else:
        faces = open_faces(args.data, args.split)
        figures = report(evaluate_crops(aligner, faces, args.boxes, args.detector, progress_bar(len(faces), "faces")))
        memory = load_faces(faces)
        augmenter = Augmenter(AugmentConfig(), bundle.manifest.input_size, bundle.manifest.margin)
        scores = presence_scores(
            aligner.runtime, memory, augmenter, PRESENCE_SEED, progress_bar(4 * len(memory), "presence")
        )
        figures["presence"] = presence_report(bundle.calibration, *scores)
    if args.json:
        print_json(head | figures)
    else:
        _print_table(head, figures)
    return 0


def _print_table(head: dict[str, str], figures: dict[str, Any]) -> None:
    print(f"bundle {head['bundle_id'][:12]}, {head['runtime']}, split {head['split']}, boxes {head['boxes']}")
    print(f"{'':10}" + "".join(f"{c:>14}" for c in COLUMNS))
    for name, row in [("all", figures), *figures["groups"].items()]:
        print(f"{name:10}" + "".join(f"{row[c]!s:>14}" for c in COLUMNS))
    if "presence" in figures:
        p = figures["presence"]
        print(f"\npresence: ROC AUC {p['roc_auc']} ({p['faces']} faces, {p['negatives']} negatives)")
        print("  stated  observed  count")
        for row in p["reliability"]:
            print(f"  {row['stated']:.3f}   {row['observed']:.3f}     {row['count']}")
