"""``exalign-model evaluate --protocol 300vw DIR``: the paper's Table 2."""

from __future__ import annotations

import argparse
from pathlib import Path

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.commands.arguments import bundle_path, print_json
from exalign_engine.data.annotated_videos import open_clips
from exalign_engine.detect import create_chosen_detector
from exalign_engine.errors import DataError
from exalign_engine.evaluation.protocol_300vw import Protocol, table_2
from exalign_engine.face.aligner import Aligner
from exalign_engine.hmm.chain import Chain
from exalign_engine.progress import progress_bar
from exalign_engine.runtime import create_runtime

#: What ``--protocol`` knows.
PROTOCOLS = ("300vw",)

LABELS = {
    "classification": "classification",
    "mixture": "mixture mean",
    "regressor": "+ regressor",
    "low_pass": "+ 3-frame low-pass",
    "filter": "+ HMM filter",
    "smoother": "+ HMM smoother",
}


def run_protocol(args: argparse.Namespace) -> int:
    """Print the table: AUC and failures in % by category, the paper's figures beside them."""
    root = Path(args.protocol[1])
    clips = [clip for clip in open_clips(root) if clip.category is not None]
    if not clips:
        raise DataError(root, "has no clip of a test category")
    bundle = Bundle.load(bundle_path(args))
    # A session looks for a face that it has lost, whoever gives the boxes.
    detectors = create_chosen_detector(args.detector, bundle.detectors)
    aligner = Aligner(
        bundle, create_runtime(args.runtime, bundle.network, threads=args.threads, precision=args.precision), detectors
    )
    chain = Chain(bundle.exemplars.shapes, bundle.manifest.tau)
    frames = sum(len(c.numbers[: args.limit or None]) for c in clips)
    protocol = Protocol(aligner, chain, args.boxes, args.detector, args.points, args.limit)
    rows = table_2(protocol.run(clips, progress_bar(frames, "frames")))
    head = {"bundle_id": bundle.id, "runtime": aligner.runtime.name, "precision": aligner.runtime.precision}
    if args.json:
        print_json(
            head | {"protocol": "300vw", "boxes": args.boxes, "points": args.points, "clips": len(clips), "rows": rows}
        )
        return 0
    print(
        f"bundle {bundle.id[:12]}, {aligner.runtime.name}, 300VW, boxes {args.boxes}, {args.points} points, "
        f"{len(clips)} clips, {frames} frames"
    )
    print(
        f"{'':20}{'category':>9}{'n':>8}{'AUC':>8}{'failures %':>12}{'missed %':>10}{'paper: AUC':>12}{'failures':>10}"
    )
    for row in rows:
        paper = [f"{v:.3f}" if v is not None else "-" for v in (row["paper_auc"], row["paper_failure_rate"])]
        print(
            f"{LABELS[row['method']]:20}{row['category']!s:>9}{row['n']:8}{row['auc']:8.3f}{row['failure_rate']:12.3f}"
            f"{row['missed']:10.3f}{paper[0]:>12}{paper[1]:>10}"
        )
    return 0
