#!/usr/bin/env bash
set -euo pipefail
# The face detector yuface does not see a crop of an array, but other pixels of the whole picture.
#
# Versions   yuface 2023.5.1 (Python 3.11, x86-64 Linux), numpy 2.4.6
# Expected   An array is what it shows: a crop and a copy of this crop have the same faces.
# Happens    The wheel takes the address of the first pixel and reads on from there, row after row
#            without a gap. The strides of the array are never looked at. So a crop that leaves
#            out columns is read skewed, and so is frame[::2, ::2]. No error, no face.
# Seen       whole picture                 [[260, 171, 117, 154]]
#            crop, copied                  [[92, 70, 117, 154]]
#            crop, as a view               []
#            what the view is read as      []
#            rows only, as a view          [[260, 70, 119, 153]]
#            half size by [::2, ::2], copy [[130, 83, 61, 79]]
#            half size by [::2, ::2], view []
# Hurt       Trackers that look for a face near the last box, and whoever thins out frames before
#            detection. Crops of rows alone work, so a test with these passes.
# Way out    numpy.ascontiguousarray before the call. The package's README makes a view, too, for BGR.

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check yuface==2023.5.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import yuface


def expect(true: bool, what: str) -> None:
    if not true:
        sys.exit(f"CHANGED: {what}")


def drawn_face() -> np.ndarray:
    """A face of ellipses in the middle of a 640 x 480 picture, BGR."""
    rows, columns = np.mgrid[:480, :640]
    picture = np.full((480, 640, 3), (150.0, 160.0, 170.0))

    def ellipse(x: float, y: float, across: float, down: float, rgb: tuple[int, int, int], soft: float) -> None:
        inside = 1 - np.hypot((columns - 320 - x) / across, (rows - 240 - y) / down)
        cover = np.clip(inside * min(across, down) / soft + 0.5, 0, 1)[..., None]
        picture[:] = picture * (1 - cover) + np.array(rgb) * cover

    hair, skin = (50, 35, 30), (222, 172, 145)
    ellipse(0, -22, 78, 92, hair, 6)
    ellipse(0, 150, 110, 60, (60, 70, 120), 4)
    ellipse(0, 90, 32, 45, (190, 140, 115), 6)
    ellipse(0, 0, 62, 84, skin, 4)
    ellipse(0, -72, 60, 26, hair, 8)
    for side in (-1, 1):
        ellipse(26 * side, -22, 15, 4, (70, 45, 35), 3)
        ellipse(26 * side, -8, 13, 7, (245, 240, 235), 2)
        ellipse(26 * side, -8, 6.5, 6.5, (60, 40, 30), 2)
        ellipse(26 * side, -14, 14, 3, (120, 80, 65), 2)
        ellipse(36 * side, 22, 14, 10, (228, 160, 140), 10)
        ellipse(6 * side, 29, 3, 2, (120, 75, 60), 1.5)
    ellipse(0, 26, 13, 7, (205, 150, 125), 4)
    ellipse(0, 50, 24, 8, (180, 85, 85), 3)
    ellipse(0, 50, 20, 1.5, (110, 45, 45), 1)
    return np.ascontiguousarray(np.round(picture).astype(np.uint8)[..., ::-1])


def boxes(picture: np.ndarray) -> list[list[int]]:
    return yuface.detect(picture)[1].tolist()


frame = drawn_face()
crop = frame[100:400, 170:470]
# The same bytes as they follow each other in memory; all of them lie within the frame.
start = (100 * 640 + 170) * 3
read_as = frame.reshape(-1)[start : start + crop.size].reshape(crop.shape)
half = frame[::2, ::2]
found = {
    "whole picture": boxes(frame),
    "crop, copied": boxes(crop.copy()),
    "crop, as a view": boxes(crop),
    "what the view is read as": boxes(read_as),
    "rows only, as a view": boxes(frame[100:400]),
    "half size by [::2, ::2], copy": boxes(half.copy()),
    "half size by [::2, ::2], view": boxes(half),
}
print(f"yuface {version('yuface')}, numpy {np.__version__}: boxes as x, y, width, height")
for name, faces in found.items():
    print(f"{name:29} {faces}")
expect(len(found["whole picture"]) == 1, "the drawn face is not found")
expect(len(found["crop, copied"]) == 1, "the face is not found in a copy of the crop")
expect(found["crop, as a view"] != found["crop, copied"], "a view of the crop is read as what it shows")
expect(found["crop, as a view"] == found["what the view is read as"], "a view is no longer read byte after byte")
expect(len(found["rows only, as a view"]) == 1, "whole rows are no longer read rightly")
view, copy = (found[f"half size by [::2, ::2], {kind}"] for kind in ("view", "copy"))
expect(len(copy) == 1, "the face is not found at half its size")
expect(view != copy, "every second pixel is read rightly")
print("As recorded: a crop that is a view has no face, its copy has one.")
PY
