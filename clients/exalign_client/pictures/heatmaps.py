"""A picture of heatmaps: where each landmark may be, over the face. Needs OpenCV (extra ``cli``)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.landmarks import GROUPS, NAMES, group_of
from exalign_client.pictures.canvas import GREY, PANEL, WHITE, Canvas, below, beside, blank, close_up
from exalign_client.pictures.decode import Pixels
from exalign_client.pictures.overlay import COLOURS
from exalign_client.results.faces import Face, Faces
from exalign_client.results.views import Heatmaps

_WIDTH = 880
_NAMED = 12  # more names than these would hide the face
_MASSES = (0.5, 0.9)


def draw_heatmaps(pixels: Pixels, faces: Faces) -> Pixels:
    """Draw the heatmaps of each face over a dimmed close-up, coloured by group.

    The colour of a cell is as strong as its mass against the largest of its landmark. The lines enclose the
    smallest areas that hold 50 % (bright) and 90 % (dim) of a landmark's mass on the grid.

    Args:
        pixels: (H, W, 3) uint8, RGB: the picture, upright.
        faces: an answer with heatmaps; at least one face.

    Returns:
        (h, w, 3) uint8, RGB: the faces from left to right.

    Raises:
        InvalidRequestError: a face has no heatmaps.
    """
    return beside([_panel(pixels, face, number) for number, face in enumerate(faces, start=1)])


def _panel(pixels: Pixels, face: Face, number: int) -> Pixels:
    maps = face.heatmaps
    if maps is None:
        raise InvalidRequestError([Violation("faces", f"face {number} has no heatmaps")])
    canvas = close_up(pixels, maps.rectangle, _WIDTH)
    grey = canvas.pixels.mean(axis=2, keepdims=True)
    ground = 0.7 * (0.6 * grey + 0.4 * canvas.pixels)
    height, width = canvas.pixels.shape[:2]
    enlarged = {
        n: np.maximum(canvas.cv2.resize(m, (width, height), interpolation=canvas.cv2.INTER_CUBIC), 0.0)
        for n, m in zip(maps.landmarks, maps.masses, strict=True)
    }
    for group, indices in GROUPS.items():
        strength = np.zeros((height, width))
        for n in indices:
            if n in enlarged and enlarged[n].max() > 0:
                strength = np.maximum(strength, np.sqrt(enlarged[n] / enlarged[n].max()))
        opacity = 0.75 * strength[..., None]
        ground = ground * (1 - opacity) + np.array(COLOURS[group]) * opacity
    canvas.pixels[:] = np.round(ground).clip(0, 255).astype(np.uint8)
    for n, density in enlarged.items():
        _regions(canvas, density, n)
    if len(enlarged) <= _NAMED:
        for n in enlarged:
            at = canvas.place(face.landmarks[n])
            colour = COLOURS[group_of(n)]
            canvas.text(NAMES[n], (float(at[0]), float(at[1]) - 48), 0.5, colour, align=0.5, edge=True)
    return below([canvas.pixels, _legend(face, maps, number)])


def _regions(canvas: Canvas, density: NDArray[np.floating], landmark: int) -> None:
    colour = np.array(COLOURS[group_of(landmark)])
    ordered = np.sort(density, axis=None)[::-1]
    held = np.cumsum(ordered)
    if held[-1] <= 0:
        return
    for mass in _MASSES:
        level = ordered[int(np.searchsorted(held, mass * held[-1]))]
        mask = (density >= level).astype(np.uint8)
        outlines, _ = canvas.cv2.findContours(mask, canvas.cv2.RETR_EXTERNAL, canvas.cv2.CHAIN_APPROX_NONE)
        ink = (0.5 * colour + 127 if mass == _MASSES[0] else 0.6 * colour).astype(int).tolist()
        canvas.cv2.drawContours(canvas.pixels, outlines, -1, ink, 1, canvas.cv2.LINE_AA)


def _legend(face: Face, maps: Heatmaps, number: int) -> Pixels:
    strip = blank(_WIDTH, 64, PANEL)
    left = 16.0
    shown = {group_of(n) for n in maps.landmarks}
    for group in GROUPS:
        if group in shown:
            strip.disc((left + 6, 22), 6, COLOURS[group])
            strip.text(group, (left + 18, 27), 0.5)
            left += 40 + 9 * len(group)
    rows, columns = maps.masses.shape[1:]
    strip.text("lines hold 50 % and 90 % of the mass", (_WIDTH - 16, 27), 0.45, GREY, align=1.0)
    what = f"face {number}: p(landmark) on {columns} x {rows} cells, entropy {face.entropy:.2f} nats"
    strip.text(what, (16, 52), 0.45, WHITE)
    strip.text(f"at most {maps.mass_outside.max():.1%} outside", (_WIDTH - 16, 52), 0.45, GREY, align=1.0)
    return strip.pixels
