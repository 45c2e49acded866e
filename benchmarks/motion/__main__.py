"""How faces in motion are followed with the tracker's own boxes.

    python -m benchmarks.motion rest|clips|crossing|cuts|flow --data FACES [--split val] [--limit N] [--near] [--json]

rest       every photo of ``frames/``, again and again: the largest step of a landmark from frame to frame, % of the
           diagonal, in frames 4 to 12, and the first frame whose answer is that of the frame before, bit for bit
clips      the video suite's clips, whose faces are given in the first frame alone: mean error by phase, "first" being
           the first frame behind a cut, and what of it each frame by itself has. With ``--near`` only from shortly
           before a face is covered, or before a cut, until shortly after
crossing   two faces that cross, one of which leaves and comes back (`benchmarks.motion.crossing`): swaps, and the
           frames that a face in full view is without the track that it had
cuts       the videos of ``video/``: the share of a thumbnail's cells that change (Eq. C1 of
           `exalign_engine.tracking.cuts`), the five largest of each
flow       the clips that do not cut: the error of true landmarks that are carried through the frames in which their
           face is covered (`benchmarks.motion.flow`)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from benchmarks.motion.crossing import CrossingMaker
from benchmarks.motion.flow import COVERED, carried
from benchmarks.motion.rows import Row, crossing_row, rest_row

from exalign_engine import Aligner
from exalign_engine.data.source import open_faces
from exalign_engine.evaluation.video.clips import Clip, ClipMaker
from exalign_engine.evaluation.video.real_clips import read_video, videos
from exalign_engine.evaluation.video.sessions import track_video
from exalign_engine.hmm.chain import Chain
from exalign_engine.metrics.accuracy import FAILURE, nrmse
from exalign_engine.tracking.cuts import CUTS, thumbnail_of

#: A face in full view is found late when it is without its track for more frames.
LATE = 3

#: Frames before a face is covered, or before a cut, and after, that ``--near`` looks at.
BEFORE, AFTER = 12, 8

METHODS = ("per_frame", "filter", "smoother")


def rest(aligner: Aligner, chain: Chain, options: argparse.Namespace) -> Iterator[Row]:
    """See the module."""
    listed = json.loads((options.data / "frames" / "frames.json").read_text())
    files = [f["file"] for f in listed if f["split"] == options.split][: options.limit]
    for name in files:
        read = cv2.imread(str(options.data / "frames" / name))
        assert read is not None, name
        image = np.ascontiguousarray(read[:, :, ::-1])
        for row in rest_row(aligner, chain, np.asarray(image, np.uint8)):
            yield {"photo": name} | row


def clips(aligner: Aligner, chain: Chain, options: argparse.Namespace) -> Iterator[Row]:
    """See the module."""
    maker = ClipMaker(open_faces(options.data, options.split), aligner.bundle.poses.mean_face)
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    for index in range(min(options.limit or len(maker), len(maker))):
        clip = maker.clip(index)
        start, end = _near(clip) if options.near else (0, len(clip))
        for method in options.methods:
            answers = track_video(aligner, chain, method, clip.frames[start:end], clip.given[start]).answers
            for t, answer in enumerate(answers, start):
                phase = "first" if t == clip.cut else clip.phase(t)
                error = np.inf if answer is None else nrmse(answer.points, clip.truth[t])
                if phase is not None:
                    errors[method, phase].append(error)
                if phase == "first":
                    errors[method, "after_cut"].append(error)
    yield from (_clip_row(errors, *key) for key in sorted(errors))


def _near(clip: Clip) -> tuple[int, int]:
    """The stretch of a clip about its cut, or about the frames in which its face is covered."""
    covered = np.flatnonzero(clip.covered >= COVERED)
    first, last = (clip.cut, clip.cut) if clip.cut is not None else (int(covered[0]), int(covered[-1]))
    return max(first - BEFORE, 0), min(last + AFTER, len(clip))


def _clip_row(errors: dict[tuple[str, str], list[float]], method: str, phase: str) -> Row:
    def mean(of: str) -> float:
        found = np.array(errors[of, phase])
        return float(found[np.isfinite(found)].mean())

    failed = 100 * float((np.array(errors[method, phase]) > FAILURE).mean())
    row: Row = {"method": method, "phase": phase, "n": len(errors[method, phase]), "nrmse": round(mean(method), 5)}
    alone = mean("per_frame") if ("per_frame", phase) in errors else float("nan")
    return row | {"of_per_frame": round(mean(method) / alone, 3), "failures": round(failed, 2)}


def crossing(aligner: Aligner, chain: Chain, options: argparse.Namespace) -> Iterator[Row]:
    """See the module."""
    maker = CrossingMaker(open_faces(options.data, options.split))
    count = min(options.limit or len(maker), len(maker))
    rows = []
    for i in range(count):
        rows.append({"clip": i} | crossing_row(aligner, chain, maker.clip(i)))
        yield rows[-1]
    total: Row = {"clip": "all", "swaps": sum(r["swaps"] for r in rows), "taken": sum(r["taken"] for r in rows)}
    for name in ("crossed", "returned", "new_ids"):
        total[name] = max((r[name] for r in rows), default=0)
    yield total | {"late": sum(max(r["crossed"], r["returned"]) > LATE for r in rows)}


def cuts(aligner: Aligner, chain: Chain, options: argparse.Namespace) -> Iterator[Row]:
    """See the module."""
    for path in videos(options.data / "video")[: options.limit]:
        small = np.array([np.frombuffer(thumbnail_of(frame), np.uint8) for frame in read_video(path)], np.int16)
        share = (np.abs(np.diff(small, axis=0)) > CUTS.levels).mean(axis=1)
        best = np.argsort(-share)[:5]
        yield {"video": path.name, "largest": {int(i) + 1: round(float(share[i]), 3) for i in best}}


def flow(aligner: Aligner, _: Chain, options: argparse.Namespace) -> Iterator[Row]:
    """See the module."""
    maker = ClipMaker(open_faces(options.data, options.split), aligner.bundle.poses.mean_face)
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    for index in range(min(options.limit or len(maker), len(maker))):
        clip = maker.clip(index)
        for t, found in () if clip.cut is not None else carried(clip, maker.camera(index)):
            for name, points in found.items():
                errors[name, clip.phase(t) or "between"].append(nrmse(points, clip.truth[t]))
    for (name, phase), all_of_it in sorted(errors.items()):
        e = np.array(all_of_it)
        failures = round(100 * float((e > FAILURE).mean()), 1)
        yield {
            "carried_by": name,
            "phase": phase,
            "n": len(e),
            "nrmse": round(float(e.mean()), 4),
            "failures": failures,
        }


COMMANDS: dict[str, Callable[[Aligner, Chain, argparse.Namespace], Iterator[Row]]] = {
    "rest": rest,
    "clips": clips,
    "crossing": crossing,
    "cuts": cuts,
    "flow": flow,
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=COMMANDS)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="annotated faces, and what lies beside")
    parser.add_argument("--split", default="val", help="val, on which choices are made, or test")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N clips, photos or videos")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="clips: these alone")
    parser.add_argument("--near", action="store_true", help="clips: only about what covers a face, and about cuts")
    parser.add_argument("--json", action="store_true", help="print JSON, a row a line")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    aligner = Aligner.default(threads=1)
    chain = Chain.of_exemplars(aligner.bundle.exemplars, aligner.bundle.manifest.tau)
    for row in COMMANDS[options.what](aligner, chain, options):
        print(json.dumps(row) if options.json else "  ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
