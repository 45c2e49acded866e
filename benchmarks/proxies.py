"""Whether accuracy hangs on what faces look like: by proxies, for the data say neither age nor skin nor glasses.

    python -m benchmarks.proxies --data FACES [--split val] [--json docs/benchmarks/proxies.json]

Each proxy is read from pixels near the true landmarks, and the faces are divided into thirds by it:

- `lightness` and `ita`: median CIE L* of both cheeks, and the individual typology angle atan((L* − 50) / b*) of the
  same pixels, degrees. They stand for skin tone, and light, exposure and make-up are in them.
- `bridge`: mean gradient across the bridge of the nose, between the eyes, by the face's own contrast: a frame of
  glasses raises it, so do wrinkles and shadows.
- `chin`: lightness of the chin less that of the cheeks: a beard lowers it, so does a shadow.
- `sharpness`: variance of the Laplacian over the face: the camera, not the face.
- `openness`: distance of the inner lips by the face box's side: the mouth's expression.

No proxy is a property of a person, and the thirds of one are not groups of people.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from benchmarks.machine import machine
from numpy.typing import NDArray

from exalign_engine import Aligner
from exalign_engine.data.source import open_faces
from exalign_engine.metrics.accuracy import nrmse, summarise
from exalign_engine.metrics.coverage import landmark_levels

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

#: Between which two landmarks a cheek lies, in the middle.
CHEEKS = ((41, 48), (46, 54))

#: Side of a patch that is looked at, of the face box's side.
PATCH = 0.1


def patch(image: U8, centre: F64, side: float) -> U8:
    """The square about a point, cut off at the picture's border; one pixel at least."""
    half = max(side * PATCH / 2, 1.0)
    height, width = image.shape[:2]
    x0, y0 = np.clip(np.floor(centre - half), 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(centre + half) + 1, (x0 + 1, y0 + 1), (width, height)).astype(int)
    return np.asarray(image[y0:y1, x0:x1])


def proxies(image: U8, points: F64) -> dict[str, float]:
    """All proxies of one face.

    Args:
        image: (H, W, 3) RGB.
        points: (68, 2) true landmarks, pixels.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    side = float((high - low).max())
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    cheeks = np.concatenate([patch(lab, (points[a] + points[b]) / 2, side).reshape(-1, 3) for a, b in CHEEKS])
    lightness, _, yellow = np.median(cheeks, axis=0)
    chin = np.median(patch(lab, (points[57] + points[8]) / 2, side).reshape(-1, 3), axis=0)[0]
    x0, y0 = np.clip(low, 0, None).astype(int)
    x1, y1 = np.ceil(high).astype(int) + 1
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    face = grey[y0:y1, x0:x1]
    bridge = patch(np.abs(cv2.Sobel(grey, cv2.CV_32F, 0, 1)), points[27], side * 1.5)
    lips = np.linalg.norm(points[61:64].mean(axis=0) - points[65:68].mean(axis=0))
    return {
        "lightness": float(lightness),
        "ita": float(np.degrees(np.arctan2(lightness - 50, max(yellow, 1e-3)))),
        "bridge": float(bridge.mean() / max(face.std(), 1.0)),
        "chin": float(chin - lightness),
        "sharpness": float(cv2.Laplacian(face, cv2.CV_32F).var()),
        "openness": float(lips / side),
    }


def measured(folder: Path, split: str) -> list[dict[str, float]]:
    """Of every face its proxies, its error, what its 90 % regions hold, and its presence."""
    faces, aligner, rows = open_faces(folder, split), Aligner.default(), []
    for i in range(len(faces)):
        image, points = faces.image(i), np.asarray(faces.landmarks[i], dtype=np.float64)
        box = [*points.min(axis=0), *points.max(axis=0)]
        (face,) = aligner.align(image, [box])
        level, _ = landmark_levels(face.posterior, face.located.frame.from_image(points))
        row = proxies(image, points)
        row |= {"error": nrmse(face.landmarks, points), "held": float((level <= 0.9).mean()), "presence": face.presence}
        rows.append(row)
    return rows


def group(rows: list[dict[str, float]]) -> dict[str, float | int | None]:
    """What is said of some faces."""
    whole = summarise([row["error"] for row in rows])
    return {
        "faces": len(rows),
        "auc": whole["auc"],
        "mean_error": whole["nrmse_mean"],
        "failure_rate": whole["failure_rate"],
        "held_by_90": round(float(np.mean([row["held"] for row in rows])), 4),
        "not_present": round(float(np.mean([row["presence"] < 0.5 for row in rows])), 4),
    }


def thirds(rows: list[dict[str, float]], proxy: str) -> list[dict[str, Any]]:
    """The faces by a proxy, from low to high."""
    ordered = sorted(rows, key=lambda row: row[proxy])
    cuts = [round(len(ordered) * i / 3) for i in range(4)]
    return [
        {"from": round(part[0][proxy], 3), "to": round(part[-1][proxy], 3), **group(part)}
        for part in (ordered[a:b] for a, b in pairwise(cuts))
    ]


def main() -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FACES")
    parser.add_argument("--split", default="val")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    where = machine()
    rows = measured(arguments.data, arguments.split)
    names = [name for name in rows[0] if name not in ("error", "held", "presence")]
    result = {"commit": where.commit, "cpu": where.cpu, "split": arguments.split, "all": group(rows)}
    result["thirds"] = {name: thirds(rows, name) for name in names}
    text = json.dumps(result, indent=1) + "\n"
    if arguments.json:
        arguments.json.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
