#!/usr/bin/env bash
set -euo pipefail
# Albumentations moves landmarks by two conventions: flips take pixel centres, resizing takes edges.
#
# Versions   albumentations 2.0.8, albucore 0.0.24, opencv-python-headless 5.0.0.93, numpy 2.4.6
# Expected   A landmark stays on the spot that it marks, and a flip before or after a resize is the same.
# Happens    HorizontalFlip maps x to width - 1 - x: whole numbers are the middles of pixels.
#            Resize maps x to scale * x: whole numbers are their left edges. The picture is resized
#            about the middles, so landmarks go astray by (scale - 1) / 2 pixels, away from the mirror's.
# Seen       a dot, 112 to 448 pixels; found in the picture, said by the library, off by
#            HorizontalFlip                x  71.00   71.00   +0.00
#            Resize                        x 161.50  160.00   -1.50
#            HorizontalFlip, Resize        x 285.50  284.00   -1.50
#            Resize, HorizontalFlip        x 285.50  287.00   +1.50
#            Affine(scale=4)               the same convention as the flip: off by +0.00
#            The two orders give pictures that differ by at most 0 grey levels, and landmarks 3.00 px apart
# Hurt       Whoever trains or scores landmarks on resized crops. The bias has a sign that mirroring
#            turns round, so flipping at random makes blur of it that no network can learn.
#            Shrinking 448 to 112 leaves 0.375 px, a third of a percent of the crop's side.
# Way out    Add (scale - 1) / 2 after each resize, or resize by Affine, which agrees with the flips.
# Reported   An open report of 2026 says the same of AlbumentationsX, the successor (number 529 there).

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export NO_ALBUMENTATIONS_UPDATE=1
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  albumentations==2.0.8 albucore==0.0.24 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys

import albumentations as A
import numpy as np

SIDE, LARGE, X, Y = 112, 448, 40.0, 52.0


def expect(true: bool, what: str) -> None:
    if not true:
        sys.exit(f"CHANGED: {what}")


rows, columns = np.mgrid[:SIDE, :SIDE]
dot = np.round(250 * np.exp(-((columns - X) ** 2 + (rows - Y) ** 2) / 18)).astype(np.uint8)
picture = np.dstack([dot] * 3)


def run(*steps: A.BasicTransform) -> tuple[np.ndarray, float, float]:
    """The picture; where the dot's centre of mass is in it, and where the library says it is (x)."""
    points = A.KeypointParams("xy", remove_invisible=False)
    result = A.Compose(list(steps), keypoint_params=points, seed=0)(image=picture, keypoints=[(X, Y)])
    grey = result["image"][..., 0].astype(float)
    middle = (grey.sum(0) * np.arange(grey.shape[1])).sum() / grey.sum()
    return result["image"], float(middle), float(result["keypoints"][0][0])


flip, resize = A.HorizontalFlip(p=1), A.Resize(LARGE, LARGE, p=1)
print(f"albumentations {A.__version__}")
print(f"a dot, {SIDE} to {LARGE} pixels; found in the picture, said by the library, off by")
off, pictures, said = {}, {}, {}
for name, steps in {
    "HorizontalFlip": (flip,),
    "Resize": (resize,),
    "HorizontalFlip, Resize": (flip, resize),
    "Resize, HorizontalFlip": (resize, flip),
}.items():
    pictures[name], found, said[name] = run(*steps)
    off[name] = said[name] - found
    print(f"{name:28}  x {found:6.2f}  {said[name]:6.2f}   {off[name]:+.2f}")
_, found, there = run(A.Affine(scale=(4, 4), fit_output=True, p=1))
print(f"Affine(scale=4)               the same convention as the flip: off by {there - found:+.2f}")
first, second = "HorizontalFlip, Resize", "Resize, HorizontalFlip"
levels = int(np.abs(pictures[first].astype(int) - pictures[second]).max())
apart = abs(said[first] - said[second])
print(f"The two orders give pictures that differ by at most {levels} grey levels, and landmarks {apart:.2f} px apart")
expect(abs(off["HorizontalFlip"]) < 0.05, "the flip no longer takes the middles of pixels")
expect(abs(off["Resize"] + 1.5) < 0.05, "the resized landmark is not 1.5 px off")
expect(abs(off[second] - 1.5) < 0.05, "mirroring afterwards does not turn the error round")
expect(levels <= 1 and abs(apart - 3) < 0.05, "the two orders agree")
expect(abs(there - found) < 0.05, "Affine does not agree with the flip")
print("As recorded: one picture, two places for its landmark.")
PY
