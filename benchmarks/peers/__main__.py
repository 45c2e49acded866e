"""Compare dlib and MediaPipe with our own answers on annotated faces; see `benchmarks.peers`."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from benchmarks.peers import __doc__ as about
from benchmarks.peers.contestants import Contestant, Ours, fitted_peer
from benchmarks.peers.environments import PEERS
from benchmarks.peers.measure import chosen, compare, crops, photos, rows
from benchmarks.peers.remote import RemotePeer

from exalign_engine.bundle.bundle import default_bundle_path
from exalign_engine.data.prepared import annotated_photos
from exalign_engine.data.source import open_faces
from exalign_engine.evaluation.stress.suite import CONDITIONS
from exalign_engine.face.aligner import Aligner
from exalign_engine.progress import progress_bar

#: Faces of ``train`` that the maps between boxes are fitted on.
FIT = 200


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=about)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="faces in the prepared format")
    parser.add_argument("--split", default="val", help="default: val")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only N faces of the crops, evenly spaced")
    parser.add_argument("--bundle", type=Path, default=default_bundle_path(), metavar="DIR", help="our bundle")
    stem = Path("docs/reproduction/peers")
    parser.add_argument("--out", type=Path, default=stem, metavar="STEM", help="of .csv, .json")
    args = parser.parse_args()
    faces, train = open_faces(args.data, args.split), open_faces(args.data, "train")
    listed = annotated_photos(args.data, args.split)
    with ExitStack() as stack:
        contestants: list[Contestant] = [Ours(Aligner.default(args.bundle))]
        for name in PEERS:
            contestants.append(fitted_peer(stack.enter_context(RemotePeer(name)), train, FIT))
        count = len(chosen(faces, args.limit)) * len(CONDITIONS) + sum(len(p.ids) for p in listed)
        cases = chain(crops(faces, args.limit), photos(listed))
        table = rows(compare(contestants, cases, progress_bar(count, "pictures")))
        head = {"split": args.split, "faces": len(chosen(faces, args.limit)), "of": len(faces), "fitted_on": FIT}
        head["contestants"] = {c.name: c.about() for c in contestants}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.with_suffix(".csv").open("w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    args.out.with_suffix(".json").write_text(json.dumps(head, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {args.out}.csv and .json", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
