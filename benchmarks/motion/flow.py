"""What would tell where a hidden face is: its last box held, its velocity, the camera's true path, or optical flow.

Each carries the true landmarks of the last frame before something covers the face, through all frames in which it is
covered. Nothing of it is part of a session: flow needs the frame before, and a session keeps no picture
(docs/decisions/faces-in-motion.md).

Flow follows points on and around the face, chosen while nothing covers it, by OpenCV's pyramidal Lucas-Kanade there and
back. A similarity is fitted to those that agree, and rather to those that go on as the face went: what passes before a
face goes elsewhere. Points that disagree are dropped; others that moved alike come to take their place.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.evaluation.video.clips import Clip
from exalign_engine.geometry.frames import BoxFrame, tight_box

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: Share of a face that is covered where it counts as covered at all.
COVERED = 0.1

#: Velocity's factor a frame where nothing tells it anew.
DAMPING = 0.9

#: Points, and how far from the face's centre they may be, box sides; fewest that must agree; farthest that one comes
#: back from where it started, and that it may be from where the others take it, pixels.
POINTS, REACH, FEWEST, BACK, AGREE = 60, 1.3, 5, 0.7, 1.0

#: Standard deviation of what the face's step changes from frame to frame, box sides.
CHANGE = 0.02

#: Most pairs of points that a similarity is taken from.
PAIRS = 400


def carried(clip: Clip, camera: F64 | None) -> Iterator[tuple[int, dict[str, F64]]]:
    """(frame, by carrier the landmarks) of every frame in which a face that is hidden once is covered.

    Args:
        clip: it does not cut.
        camera: (F, 2, 3) its camera's true path; None leaves that carrier out.
    """
    hidden = int(np.argmax(clip.covered))
    start = max(t for t in range(hidden) if clip.covered[t] < COVERED)
    last = max(t for t in range(len(clip)) if clip.covered[t] >= COVERED)
    points = clip.truth[start]
    face = BoxFrame.from_box(tight_box(points))
    speed = (points - clip.truth[max(start - 2, 0)]).mean(axis=0) / 2
    scene, velocity, moved = Scene(face, speed), speed, points
    for t in range(start + 1, last + 1):
        moved, velocity = moved + velocity, velocity * DAMPING
        place = scene.step(_grey(clip.frames[t - 1]), _grey(clip.frames[t]))
        by_flow = (points - [face.cx, face.cy]) * (place.side / face.side) + [place.cx, place.cy]
        found: dict[str, F64] = {"held": points, "velocity": moved, "flow": by_flow}
        if camera is not None:
            scale, then, now = camera[t, 0, 0] / camera[start, 0, 0], camera[start, :, 2], camera[t, :, 2]
            found["camera"] = (points - then) * scale + now
        yield t, found


class Scene:
    """A face's box as the points on and around it move.

    Args:
        face: where it is.
        speed: (2,) of its centre, pixels a frame.
    """

    def __init__(self, face: BoxFrame, speed: F64) -> None:
        self._face, self._speed = face, speed
        self._points: F32 | None = None

    def step(self, before: U8, now: U8) -> BoxFrame:
        """The box in the next frame; both pictures (H, W) uint8."""
        centre = np.array([self._face.cx, self._face.cy])
        if self._points is None:
            self._points = self._corners(before, POINTS)
        p, q = _there_and_back(before, now, self._points)
        matrix, agree = _similarity(p, q, centre, centre + self._speed, self._face.side)
        if matrix is None or agree is None or agree.sum() < FEWEST:
            x, y = (float(v) for v in centre + self._speed)
            self._face = BoxFrame(x, y, self._face.side)
            self._speed = self._speed * DAMPING
            self._points = (self._points + self._speed).astype(np.float32)
            return self._face
        place = matrix[:, :2] @ centre + matrix[:, 2]
        self._face = BoxFrame(place[0], place[1], self._face.side * float(np.hypot(matrix[0, 0], matrix[1, 0])))
        self._speed, self._points = place - centre, q[agree]
        self._take_more(before, now, matrix)
        return self._face

    def _take_more(self, before: U8, now: U8, matrix: F64) -> None:
        """Add points that moved as the others did."""
        assert self._points is not None
        wanted = POINTS - len(self._points)
        if wanted <= 0:
            return
        new, old = _there_and_back(now, before, self._corners(now, wanted))
        alike = np.linalg.norm(old @ matrix[:, :2].T + matrix[:, 2] - new, axis=1) < BACK
        self._points = np.concatenate([self._points, new[alike]]).astype(np.float32)

    def _corners(self, picture: U8, count: int) -> F32:
        """(N, 2) corners near the face, away from the points that there are."""
        f, mask = self._face, np.zeros(picture.shape, np.uint8)
        x0, y0, x1, y1 = (int(max(v, 0)) for v in (f.cx - REACH * f.side, f.cy - REACH * f.side, f.cx + REACH * f.side,
                                                   f.cy + REACH * f.side))  # fmt: skip
        mask[y0:y1, x0:x1] = 255
        for x, y in () if self._points is None else self._points:
            cv2.circle(mask, (int(x), int(y)), 6, (0,), -1)
        found = cv2.goodFeaturesToTrack(picture, count, 0.01, 6, mask=mask, blockSize=5)
        return np.zeros((0, 2), np.float32) if found is None else np.asarray(found[:, 0], np.float32)


def _grey(picture: U8) -> U8:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _there_and_back(before: U8, now: U8, points: F32) -> tuple[F32, F32]:
    """(M, 2) points that come back to where they started, before and now."""
    if not len(points):
        return points, points
    start = points.reshape(-1, 1, 2)
    end, there, _ = cv2.calcOpticalFlowPyrLK(before, now, start, start.copy(), winSize=(15, 15), maxLevel=3)
    again, back, _ = cv2.calcOpticalFlowPyrLK(now, before, end, end.copy(), winSize=(15, 15), maxLevel=3)
    kept = (there[:, 0] == 1) & (back[:, 0] == 1) & (np.linalg.norm(again - start, axis=2)[:, 0] < BACK)
    return points[kept], np.asarray(end[kept, 0], np.float32)


def _similarity(
    p: F32, q: F32, centre: F64, expected: F64, side: float
) -> tuple[F64, NDArray[np.bool_]] | tuple[None, None]:
    """(2, 3) p → q that most points agree with, weighed by how near it takes a centre to where that is expected."""
    i, j = np.triu_indices(len(p), 1)
    d, e = (p[j] - p[i]).astype(np.float64), (q[j] - q[i]).astype(np.float64)
    square = (d * d).sum(axis=1)
    far = np.flatnonzero(square > (0.3 * side) ** 2)
    far = far[np.linspace(0, len(far) - 1, min(len(far), PAIRS)).astype(int)] if len(far) else far
    i, d, e, square = i[far], d[far], e[far], square[far]
    a, b = (d * e).sum(axis=1) / square, (d[:, 0] * e[:, 1] - d[:, 1] * e[:, 0]) / square
    small = (np.abs(np.log(np.hypot(a, b))) < 0.06) & (np.abs(np.arctan2(b, a)) < 0.08)
    i, a, b = i[small], a[small], b[small]
    if not len(i):
        return None, None
    turn = np.stack([np.stack([a, -b], -1), np.stack([b, a], -1)], -2)
    shift = q[i] - np.einsum("nij,nj->ni", turn, p[i].astype(np.float64))
    off = np.linalg.norm(np.einsum("nij,mj->nmi", turn, p.astype(np.float64)) + shift[:, None] - q, axis=2)
    away = np.linalg.norm(turn @ centre + shift - expected, axis=1) / side
    best = int(np.argmax((off < AGREE).sum(axis=1) * np.exp(-0.5 * (away / CHANGE) ** 2)))
    matrix, agree = np.column_stack([turn[best], shift[best]]), off[best] < AGREE
    for _ in range(2):
        if agree.sum() < 3:
            return None, None
        matrix = _least_squares(p[agree].astype(np.float64), q[agree].astype(np.float64))
        agree = np.linalg.norm(p @ matrix[:, :2].T + matrix[:, 2] - q, axis=1) < AGREE
    return matrix, agree


def _least_squares(p: F64, q: F64) -> F64:
    """(2, 3) the similarity p → q."""
    u, v = p - p.mean(axis=0), q - q.mean(axis=0)
    square = float((u * u).sum())
    a, b = float((u * v).sum()) / square, float((u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]).sum()) / square
    turn = np.array([[a, -b], [b, a]])
    return np.column_stack([turn, q.mean(axis=0) - turn @ p.mean(axis=0)])
