"""Sixty faces of a collection that a model never saw: what they bring there, and what they cost elsewhere.

    python -m benchmarks.finetuning --data FACES --work DIR [--held-out ytf helen lfpw] [--draws 5] [--out JSON]

For each collection that is held out a model is trained on the others (`bases`; a run in --work goes on), and then
fine-tuned by ``exalign-model finetune`` to sixty of its `train` faces, drawn anew each time. ``there`` is its whole
`test`, ``elsewhere`` that of the others. AUC is about true boxes, by the written bundles' posteriors.

The shipped model has seen all collections. It gets sixty faces of `val`, of which no weight was learned, in pictures as
they come from other cameras (`CAMERAS`, made by code); ``there`` is `test` in such pictures, ``elsewhere`` as it is.
That shows what it does for other pictures, not for other faces or annotators. And it gets sixty faces that are drawn by
code (`tests/drawn_faces.py`), which are like none that it has seen, but are no photographs.

`test` chose nothing here: the constants of `exalign_engine.finetune` were chosen on `val` (--split val).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from benchmarks.finetuning.bases import U8, base, changed, faces_of, part, write_prepared
from benchmarks.machine import machine

from exalign_engine.arrays import F64
from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.metrics.accuracy import nrmse, summarise
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import FaceMemory

sys.path.append(str(Path(__file__).parents[2] / "tests"))

from drawn_faces import drawn_faces  # type: ignore[import-not-found]

COLLECTIONS = ("helen", "lfpw", "ytf")

#: Faces that a user labels.
FACES = 60

#: The bars of issue 24.
LEAST_GAIN, MOST_LOSS, MOST_SECONDS = 0.01, 0.003, 600.0


def night(image: U8, rng: np.random.Generator) -> U8:
    """A grey, dark and noisy picture, as a camera with infrared light makes it: skin bright, little contrast."""
    grey = image[..., 0] * np.float32(0.8) + image[..., 1] * np.float32(0.2)
    soft = cv2.GaussianBlur(grey, (0, 0), 1.5)
    dark = 40 + soft * np.float32(rng.uniform(0.25, 0.4)) + rng.normal(0, 9, soft.shape).astype(np.float32)
    return np.repeat(np.clip(dark, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def coarse(image: U8, rng: np.random.Generator) -> U8:
    """A face of twenty pixels that a camera far off has sharpened and compressed."""
    small = cv2.resize(image, (36, 36), interpolation=cv2.INTER_AREA)
    sharp = cv2.addWeighted(small, 1.8, cv2.GaussianBlur(small, (0, 0), 1.0), -0.8, 0)
    coded = cv2.imdecode(cv2.imencode(".jpg", sharp, [cv2.IMWRITE_JPEG_QUALITY, 35])[1], cv2.IMREAD_COLOR)
    return np.asarray(cv2.resize(coded, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


#: Faces drawn by code, and how many of them judge.
DRAWN, DRAWN_FACES = "drawn", 300

CAMERAS: dict[str, Callable[[U8, np.random.Generator], U8]] = {"night": night, "coarse": coarse}


class Judge:
    """Faces as a network sees them, which fine-tuning leaves as it is.

    Args:
        bundle: whose network.
        faces: with their truth.
    """

    def __init__(self, bundle: Bundle, faces: FaceMemory) -> None:
        augmenter = Augmenter(AugmentConfig(), bundle.manifest.input_size, bundle.manifest.margin)
        samples = [augmenter.plain(i, p) for i, p in zip(faces.images, faces.landmarks, strict=True)]
        network = create_runtime("auto", bundle.network, threads=2)
        outputs = score(network, (s.crop for s in samples))
        self.rows: list[FaceOutputs] = outputs.rows()
        self.truth = [s.shape for s in samples]

    def errors(self, bundle: Bundle) -> F64:
        """NRMSE of every face by a bundle with that network."""
        model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
        means = [model.posterior(row.scores, row.image).mean for row in self.rows]
        return np.array([nrmse(mean, truth) for mean, truth in zip(means, self.truth, strict=True)])


def fine_tuned(bundle: Bundle, faces: FaceMemory, folder: Path) -> tuple[dict[str, Any], Path | None]:
    """``exalign-model finetune`` as a user calls it: what it said, and the bundle where it made one."""
    shutil.rmtree(folder, ignore_errors=True)
    write_prepared(folder / "faces", faces)
    out = folder / "tuned"
    command = [sys.executable, "-m", "exalign_engine.cli", "finetune", "--from", str(bundle.path), "--json"]
    command += ["--data", str(folder / "faces"), "--out", str(out), "--threads", "2"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said = json.loads(done.stdout)
    assert done.returncode == (0 if said["gained"] else 1)
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "said": said}, out if out.exists() else None


def measured(bundle: Bundle, draws: Sequence[FaceMemory], there: Judge, elsewhere: Judge, work: Path) -> dict[str, Any]:
    """Fine-tune to each draw; AUC there and elsewhere, before and after."""

    def auc(judge: Judge, one: Bundle) -> float:
        return float(summarise(judge.errors(one).tolist())["auc"] or 0.0)

    before = {"there": auc(there, bundle), "elsewhere": auc(elsewhere, bundle)}
    rows = []
    for number, faces in enumerate(draws):
        row, out = fine_tuned(bundle, faces, work / f"draw-{number}")
        after = (
            before
            if out is None
            else {"there": auc(there, tuned := Bundle.load(out)), "elsewhere": auc(elsewhere, tuned)}
        )
        row |= {name: {"auc": after[name], "gain": round(after[name] - before[name], 6)} for name in before}
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)
    gains = {name: [row[name]["gain"] for row in rows] for name in before}
    return {
        "faces": {"there": len(there.rows), "elsewhere": len(elsewhere.rows)},
        "auc_before": before,
        "mean_gain": {name: round(float(np.mean(found)), 5) for name, found in gains.items()},
        "least_gain": {name: min(found) for name, found in gains.items()},
        "most_seconds": max(row["seconds"] for row in rows),
        "holds": min(gains["there"]) >= LEAST_GAIN
        and min(gains["elsewhere"]) >= -MOST_LOSS
        and max(row["seconds"] for row in rows) <= MOST_SECONDS,
        "draws": rows,
    }


def drawn(faces: FaceMemory, draws: int) -> list[FaceMemory]:
    """Sixty faces each, in the order of the collection."""
    return [
        part(faces, np.sort(np.random.default_rng([24, n]).permutation(len(faces))[:FACES]).tolist())
        for n in range(draws)
    ]


def of_shipped(data: Path, kinds: Sequence[str], draws: int, work: Path) -> dict[str, Any]:
    """What the default bundle gains on pictures of these kinds."""
    shipped, judged = Bundle.load(default_bundle_path()), faces_of(data, "test", COLLECTIONS)
    elsewhere, found = Judge(shipped, judged), {}
    for kind in kinds:
        if kind == DRAWN:
            mine, there = [drawn_by_code(FACES, 24 + n) for n in range(draws)], drawn_by_code(DRAWN_FACES, 23)
        else:
            camera = CAMERAS[kind]
            mine = drawn(changed(faces_of(data, "val", COLLECTIONS), camera, 1), draws)
            there = changed(judged, camera, 2)
        found[kind] = measured(shipped, mine, Judge(shipped, there), elsewhere, work / kind)
    return found


def drawn_by_code(count: int, seed: int) -> FaceMemory:
    """Faces that nobody has photographed."""
    images, landmarks = drawn_faces(count, seed)
    return FaceMemory(images, landmarks, [f"drawn_{i}" for i in range(count)])


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FACES", help="the prepared format, three collections"
    )
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="for models and folders of faces")
    parser.add_argument("--held-out", nargs="*", choices=COLLECTIONS, default=list(COLLECTIONS))
    parser.add_argument("--shipped", nargs="*", choices=[*CAMERAS, DRAWN], default=[*CAMERAS, DRAWN])
    parser.add_argument("--split", choices=("val", "test"), default="test", help="what judges (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=5, metavar="N", help="of sixty faces (default: %(default)s)")
    parser.add_argument("--samples", type=int, metavar="N", help="crops that a model of two collections is trained on")
    parser.add_argument("--out", type=Path, metavar="JSON", help="where the result goes; added to one that is there")
    args = parser.parse_args()
    result: dict[str, Any] = {"machine": asdict(machine()), "split": args.split, "sixty": FACES}
    result |= {"held_out": {}, "shipped": {}}
    for name in args.held_out:
        more = {} if args.samples is None else {"samples": args.samples}
        bundle = base(args.data, name, COLLECTIONS, args.work, **more)
        others = [c for c in COLLECTIONS if c != name]
        there, elsewhere = (Judge(bundle, faces_of(args.data, args.split, c)) for c in ([name], others))
        draws = drawn(faces_of(args.data, "train", [name]), args.draws)
        result["held_out"][name] = measured(bundle, draws, there, elsewhere, args.work / f"without-{name}")
    if args.shipped:
        result["shipped"] = of_shipped(args.data, args.shipped, args.draws, args.work)
    if args.out:
        if args.out.exists():  # what was measured before, and was not asked for now, stays
            known = json.loads(args.out.read_text())
            result |= {kind: known[kind] | result[kind] for kind in ("held_out", "shipped")}
        args.out.write_text(json.dumps(result, indent=1) + "\n")
    for kind in ("held_out", "shipped"):
        for name, found in result[kind].items():
            print(kind, name, json.dumps({key: value for key, value in found.items() if key != "draws"}))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
