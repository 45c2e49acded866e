"""Examples of the stress suite as one picture: each condition, and what a nose click changes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from exalign_engine.arrays import F64, U8
from exalign_engine.bundle.bundle import Bundle
from exalign_engine.data.face_source import FaceSource
from exalign_engine.evaluation.sheet import write_sheet
from exalign_engine.face.click_policies import Case, simulated_clicks
from exalign_engine.geometry.frames import extract_crop
from exalign_engine.geometry.landmarks import NOSE_TIP
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import FaceOutputs, Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.sampling.corruptions import StressedFace, stress

#: Columns of the picture.
SHOWN = (("clean", 0), ("occluder", 3), ("motion_blur", 3), ("low_resolution", 3), ("roll", 2), ("mixed", 3))

#: Faces shown, evenly spaced.
SHOWN_FACES = 4

#: Enlargement of the 160-pixel pictures, and height of the captions.
ZOOM, CAPTION = 2, 44

#: RGB: the truth, the answer without a click, with a nose click, and the click itself.
TRUTH, BEFORE, AFTER, CLICK = (240, 240, 240), (255, 90, 70), (70, 220, 120), (255, 220, 0)


def draw_examples(bundle: Bundle, runtime: Runtime, faces: FaceSource, out: Path) -> None:
    """Write the picture: rows are faces, columns conditions.

    Raises:
        OSError: the file cannot be written.
    """
    rows = np.unique(np.linspace(0, len(faces) - 1, SHOWN_FACES).astype(int))
    model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    lines = [_captions()]
    for i in rows:
        stressed = [stress(faces.image(int(i)), faces.landmarks[i], faces.ids[i], *c) for c in SHOWN]
        m = bundle.manifest
        said = score(runtime, (extract_crop(s.picture, s.given, m.margin, m.input_size) for s in stressed))
        tiles = [_tile(model, s, row, faces.ids[i]) for s, row in zip(stressed, said.rows(), strict=True)]
        lines.append(np.concatenate(tiles, axis=1))
    write_sheet(out, np.concatenate(lines))


def _tile(model: PosteriorModel, face: StressedFace, row: FaceOutputs, face_id: str) -> U8:
    truth = face.given.from_image(face.truth)
    clicks = simulated_clicks(truth, face.click_sigma, face_id)
    case = Case(model.posterior(row.scores, row.image), truth, clicks, face.click_sigma, face_id)
    canvas = np.asarray(cv2.resize(face.picture, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC), np.uint8)
    corners = _pixels(face.given.box.reshape(2, 2))
    cv2.rectangle(canvas, corners[0], corners[1], (120, 120, 120), 1, cv2.LINE_AA)
    shapes = ((face.truth, TRUTH), (case.posterior.mean, BEFORE), (case.answer([NOSE_TIP]).mean, AFTER))
    for points, colour in shapes:
        for at in _pixels(points if points is face.truth else face.given.to_image(points)):
            cv2.circle(canvas, at, 2, colour, -1, cv2.LINE_AA)
    (at,) = _pixels(face.given.to_image(clicks[[NOSE_TIP]]))
    cv2.drawMarker(canvas, at, CLICK, cv2.MARKER_CROSS, 12, 2)
    return canvas


def _pixels(points: F64) -> list[tuple[int, int]]:
    """Picture coordinates → whole pixels of the enlarged one."""
    return [(int(x), int(y)) for x, y in np.rint((points + 0.5) * ZOOM - 0.5)]


def _captions() -> U8:
    side = ZOOM * 160
    strip = np.full((CAPTION, side * len(SHOWN), 3), 24, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    for i, (corruption, severity) in enumerate(SHOWN):
        text = f"{corruption} {severity}" if severity else corruption
        cv2.putText(strip, text, (i * side + 8, 17), font, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    x = 8
    for text, colour in (("truth", TRUTH), ("no click", BEFORE), ("nose click", AFTER), ("+ the click", CLICK)):
        cv2.putText(strip, text, (x, 37), font, 0.5, colour, 1, cv2.LINE_AA)
        x += 120
    return strip
