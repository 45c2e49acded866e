"""Clips in which two faces cross, with the truth of every frame; then one leaves the picture and comes back.

Two stills are put on a quiet ground, each within a soft ellipse. They pass one before the other, at paces and heights
that the ids of the faces draw. Then the one that went to the right goes on, out of the picture, and comes back by the
same edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.face_source import FaceSource
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.sampling.corruptions import seeded

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]

CLIPS = 40

#: Width and height of a frame, frames, and the side of a face box; pixels.
WIDTH, HEIGHT, FRAMES, SIDE = 640, 360, 96, 96.0

#: Frames in which they cross; frames in which one is out of the picture.
CROSSING, AWAY = (22, 40), (12, 26)

#: Half axes of the ellipse about the face box's centre, in box sides; a face can be seen when no more of its box is
#: covered.
ELLIPSE, SEEN = (0.72, 0.9), 0.1

#: Highest that one face passes above or below the other, box sides; standard deviation of a hand's shake, pixels.
HEIGHTS, SHAKE = 0.35, 0.4


@dataclass(frozen=True)
class Scene:
    """One frame.

    Attributes:
        pixels: (HEIGHT, WIDTH, 3) uint8 RGB.
        truth: (2, 68, 2) landmarks of both faces, pixels.
        seen: whether each face is in the picture, and nothing is before it.
    """

    pixels: U8
    truth: F64
    seen: tuple[bool, bool]


class CrossingMaker:
    """Makes the clips.

    Args:
        faces: annotated; two for each clip, in the order of a hash of their ids.
    """

    def __init__(self, faces: FaceSource) -> None:
        self._faces = faces
        first: dict[str, int] = {}
        for i in sorted(range(len(faces)), key=lambda i: int(seeded(faces.ids[i], "crossing").integers(2**62))):
            first.setdefault(faces.ids[i], i)
        self._rows = list(first.values())

    def __len__(self) -> int:
        """How many clips there are, at most `CLIPS`."""
        return min(len(self._rows) // 2, CLIPS)

    def clip(self, index: int) -> Iterator[Scene]:
        """The frames of a clip."""
        rows = self._rows[2 * index], self._rows[2 * index + 1]
        rng = seeded(f"{self._faces.ids[rows[0]]} {self._faces.ids[rows[1]]}", "crossing")
        ground = cv2.GaussianBlur(rng.integers(60, 190, (HEIGHT, WIDTH, 3)).astype(np.uint8), (0, 0), 9).astype(float)
        stickers = [_Sticker(self._faces.image(row), self._faces.landmarks[row]) for row in rows]
        paths, front = _paths(rng), int(rng.integers(2))
        for t in range(FRAMES):
            pixels, masks = ground.copy(), []
            for i in (1 - front, front):
                pixels, mask = stickers[i].put(pixels, paths[i, t])
                masks.append(mask)
            noise = rng.normal(0, 2, pixels.shape)
            truth = np.stack([s.at(paths[i, t]) for i, s in enumerate(stickers)])
            seen = [_covered(points, masks[1] if i != front else None) <= SEEN for i, points in enumerate(truth)]
            yield Scene(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8), truth, (seen[0], seen[1]))


class _Sticker:
    """A still within an ellipse about its face, whose box has the side `SIDE`."""

    def __init__(self, image: U8, points: F64) -> None:
        frame = BoxFrame.from_box(tight_box(points))
        self._scale = SIDE / frame.side
        self._centre, self._points, self._image = np.array([frame.cx, frame.cy]), points, image.astype(np.float64)
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        r = np.hypot((x - frame.cx) / (ELLIPSE[0] * frame.side), (y - frame.cy) / (ELLIPSE[1] * frame.side))
        self._mask = np.clip(12 * (1 - r), 0, 1)

    def at(self, place: F64) -> F64:
        """(68, 2) landmarks where the box's centre is at a place."""
        found: F64 = (self._points - self._centre) * self._scale + place
        return found

    def put(self, pixels: F64, place: F64) -> tuple[F64, F64]:
        """The picture with the still in front, and the mask of what it covers."""
        s = self._scale
        matrix = np.array([[s, 0, place[0] - s * self._centre[0]], [0, s, place[1] - s * self._centre[1]]])
        size = (WIDTH, HEIGHT)
        mask = np.asarray(cv2.warpAffine(self._mask, matrix, size), np.float64)
        cover = np.asarray(cv2.warpAffine(self._image, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.float64)
        return pixels + mask[..., None] * (cover - pixels), mask


def _paths(rng: np.random.Generator) -> F64:
    """(2, FRAMES, 2) centres of the boxes."""
    start, cross, away = 6, int(rng.integers(*CROSSING)), int(rng.integers(*AWAY))
    left, right, out = 1.1 * SIDE, WIDTH - 1.1 * SIDE, WIDTH + 1.2 * SIDE
    leaves = start + cross + 4
    gone = leaves + 12
    back = gone + away
    x = np.stack(
        [
            np.interp(
                np.arange(FRAMES),
                [start, start + cross, leaves, gone, back, back + 12],
                [left, right, right, out, out, right],
            ),
            np.interp(np.arange(FRAMES), [start, start + cross], [right, left]),
        ]
    )
    y = HEIGHT / 2 + rng.uniform(-HEIGHTS, HEIGHTS, 2)[:, None] * SIDE + np.zeros_like(x)
    return np.stack([x, y], axis=-1) + rng.normal(0, SHAKE, (2, FRAMES, 2))


def _covered(points: F64, cover: F64 | None) -> float:
    """Share of a face's box that is covered, or out of the picture."""
    x0, y0, x1, y1 = np.rint(tight_box(points)).astype(int)
    area = (x1 - x0) * (y1 - y0)
    box = np.s_[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    inside = np.ones((HEIGHT, WIDTH))[box] if cover is None else 1 - cover[box]
    return float(1 - inside.sum() / area)
