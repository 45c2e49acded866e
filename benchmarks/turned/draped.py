"""A photograph draped on a dense head and turned: *face profiling*, with the background carried along.

The head is fitted to the 68 landmarks of a near-frontal photograph: its pose and scale first, then a thin-plate spline
in the picture's plane, so that every landmark meets its vertex. Its front surface gives each pixel a depth. Outside it
the picture goes on at the depth of the nearest part of the head's outline, falling back to that of the ears. All of it
is one sheet over the picture. It turns about the depth of the ears with the head; far from the head it stands still. A
depth buffer decides what hides what, and which landmarks the head hides from itself.

What a frontal photograph does not show (the side of the head, behind the cheeks) is the stretched border of what it
shows, as in 300W-LP.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from benchmarks.turned.head import Head
from numpy.typing import NDArray

from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.geometry.head_pose import rotation, solve_pose
from exalign_engine.libraries.njit import njit

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

#: Where the jaw meets the ears: depth zero.
EARS = [0, 1, 15, 16]

#: Smoothing of the spline that brings the vertices to the landmarks, box sides: lips and lids lie close together.
SMOOTHING = 1e-3

#: The sheet: vertices along a side, and how far it reaches beyond the picture, picture sides.
VERTICES, OVERHANG = 129, 0.6

#: Outside the head the depth of its outline falls to that of the ears within this, and the sheet moves with the head up
#: to the first distance and not at all from the second on; box sides.
FALL, STIFF, STILL = 0.3, 0.15, 0.7

#: A landmark is hidden where something lies so much nearer to the viewer, box sides.
BEHIND = 0.04


@dataclass(frozen=True)
class TurnedPicture:
    """What a camera sees of a turned face.

    Attributes:
        picture: (size, size, 3) uint8 RGB.
        points: (68, 2) landmarks in it, pixels.
        hidden: (68,) bool: the head hides this one from the camera.
    """

    picture: U8
    points: F64
    hidden: NDArray[np.bool_]


class DrapedFace:
    """A photograph on a head.

    Args:
        image: (H, W, 3) uint8 RGB.
        points: (68, 2) landmarks, pixels.
        head: what it is draped on.

    Attributes:
        pose: (3,) yaw, pitch and roll of the photograph by this head, degrees.
    """

    def __init__(self, image: U8, points: F64, head: Head) -> None:
        self._image, self.points = image, np.asarray(points, dtype=np.float64)
        self.pose: F64 = solve_pose(self.points[None], head.face)[0].astype(np.float64)
        frame = BoxFrame.from_box(tight_box(points))
        self._side, self._centre = frame.side, np.array([frame.cx, frame.cy])
        solid = self._fitted(head)
        self._landmark_depth = solid[head.landmarks, 2]
        h, w = image.shape[:2]
        x, y = (np.linspace(-OVERHANG * n, (1 + OVERHANG) * n, VERTICES) for n in (w, h))
        self._sheet = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        self._depth, self._grip = self._sheet_of(solid, head)
        self._triangles = _grid_triangles(VERTICES)

    def turned(self, pose: F64) -> F64:
        """(68, 2) the landmarks where the head looks at (3,) yaw, pitch and roll, pixels of the photograph."""
        return np.asarray(self._move(self.points, self._landmark_depth, np.ones(len(self.points)), pose)[:, :2])

    def draw(self, pose: F64, frame: BoxFrame, size: int) -> TurnedPicture:
        """The picture where the head looks at a pose.

        Args:
            pose: (3,) yaw, pitch and roll, degrees, in the head's own frame.
            frame: what is seen: a square, pixels of the photograph.
            size: side of the result, pixels.
        """
        step = frame.side / size
        corner = np.array([frame.cx, frame.cy]) - frame.side / 2 + step / 2

        def camera(places: F64) -> F64:
            return np.column_stack([(places[:, :2] - corner) / step, places[:, 2] / step])

        sheet = camera(self._move(self._sheet, self._depth, self._grip, pose))
        lookup, nearest = _drawn(sheet, self._triangles, self._sheet, size)
        picture = cv2.remap(self._image, lookup, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        points = camera(self._move(self.points, self._landmark_depth, np.ones(len(self.points)), pose))
        column, row = np.clip(np.round(points[:, :2]).astype(int), 0, size - 1).T
        hidden = nearest[row, column] > points[:, 2] + BEHIND * self._side / step
        return TurnedPicture(np.asarray(picture, dtype=np.uint8), points[:, :2], hidden)

    def _fitted(self, head: Head) -> F64:
        """(V, 3) vertices in pixels of the photograph; depth is 0 at the ears."""
        model = (head.vertices - head.face.mean(axis=0)) @ rotation(self.pose).T
        face = model[head.landmarks]
        flat = self.points - self.points.mean(axis=0)
        scale = (flat * face[:, :2]).sum() / (face[:, :2] ** 2).sum()
        solid = scale * model
        solid[:, :2] += self.points.mean(axis=0)
        solid[:, 2] -= solid[head.landmarks[EARS], 2].mean()
        unit = (solid[:, :2] - self._centre) / self._side
        knots, move = unit[head.landmarks], (self.points - solid[head.landmarks, :2]) / self._side
        m = len(knots)
        affine = np.column_stack([np.ones(m), knots])
        system = np.zeros((m + 3, m + 3))
        system[:m, :m] = _thin_plate(knots, knots) + SMOOTHING * np.eye(m)
        system[:m, m:], system[m:, :m] = affine, affine.T
        spline = np.linalg.solve(system, np.concatenate([move, np.zeros((3, 2))]))
        bent = _thin_plate(unit, knots) @ spline[:m] + np.column_stack([np.ones(len(unit)), unit]) @ spline[m:]
        solid[:, :2] += self._side * bent
        return np.asarray(solid)

    def _sheet_of(self, solid: F64, head: Head) -> tuple[F64, F64]:
        """Depth of the sheet's vertices, pixels towards the viewer; and how much of the head's motion each follows."""
        h, w = self._image.shape[:2]
        low = np.array([-OVERHANG * w, -OVERHANG * h])
        size = int(np.ceil((1 + 2 * OVERHANG) * max(h, w))) + 1
        seen = solid - np.append(low, 0.0)
        _, nearest = _drawn(np.ascontiguousarray(seen), head.triangles, np.zeros((len(seen), 2)), size)
        inside = np.isfinite(nearest)
        # Each place outside has the depth of the nearest part of the outline.
        away, label = cv2.distanceTransformWithLabels(
            (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        of_label = np.zeros(label.max() + 1)
        of_label[label[inside]] = nearest[inside]
        away = away / self._side
        depth = np.where(inside, nearest, of_label[label] * (1 - _smooth(away / FALL)))
        depth = cv2.GaussianBlur(depth, (0, 0), 1.0)
        grip = 1 - _smooth((away - STIFF) / (STILL - STIFF))
        column, row = np.clip(np.round(self._sheet - low).astype(int), 0, size - 1).T
        return depth[row, column], np.asarray(grip[row, column], dtype=np.float64)

    def _move(self, places: F64, depth: F64, grip: F64, pose: F64) -> F64:
        """(N, 2) places with (N,) depths → (N, 3) where they are after the turn."""
        turn = rotation(pose) @ rotation(self.pose).T
        solid = np.column_stack([places - self._centre, depth])
        moved = solid + grip[:, None] * (solid @ turn.T - solid)
        moved[:, :2] += self._centre
        return np.asarray(moved)


def _smooth(t: F64) -> F64:
    """From 0 at t ≤ 0 to 1 at t ≥ 1."""
    t = np.clip(t, 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


def _thin_plate(a: F64, b: F64) -> F64:
    """(A, 2), (B, 2) → (A, B) r² ln r."""
    squared = ((a[:, None] - b) ** 2).sum(axis=-1)
    return np.asarray(0.5 * squared * np.log(np.maximum(squared, 1e-300)))


def _grid_triangles(n: int) -> NDArray[np.int64]:
    """(2 (n − 1)², 3) triangles of an n × n grid, row by row."""
    first = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    return np.concatenate(
        [
            np.stack([first, first + 1, first + n + 1], axis=1),
            np.stack([first, first + n + 1, first + n], axis=1),
        ]
    )


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _drawn(seen: F64, triangles: NDArray[np.int64], source: F64, size: int) -> tuple[F32, F64]:
    """Triangles with a depth buffer.

    Args:
        seen: (V, 3) vertices in the result: x and y in pixels, depth towards the viewer.
        triangles: (T, 3).
        source: (V, 2) what each vertex shows.
        size: side of the result.

    Returns:
        (size, size, 2) float32 what each pixel shows, and (size, size) its depth, −inf where no triangle is.
    """
    lookup = np.zeros((size, size, 2), np.float32)
    nearest = np.full((size, size), -np.inf)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = seen[a, 0], seen[a, 1]
        bx, by, cx, cy = seen[b, 0] - ax, seen[b, 1] - ay, seen[c, 0] - ax, seen[c, 1] - ay
        area = bx * cy - by * cx
        if abs(area) < 1e-9:
            continue
        left, right = max(int(np.ceil(ax + min(0.0, bx, cx))), 0), min(int(np.floor(ax + max(0.0, bx, cx))), size - 1)
        top, bottom = max(int(np.ceil(ay + min(0.0, by, cy))), 0), min(int(np.floor(ay + max(0.0, by, cy))), size - 1)
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                u = ((x - ax) * cy - (y - ay) * cx) / area
                v = (bx * (y - ay) - by * (x - ax)) / area
                if u < -1e-9 or v < -1e-9 or u + v > 1 + 1e-9:
                    continue
                w = 1.0 - u - v
                z = w * seen[a, 2] + u * seen[b, 2] + v * seen[c, 2]
                if z > nearest[y, x]:
                    nearest[y, x] = z
                    for i in range(2):
                        lookup[y, x, i] = w * source[a, i] + u * source[b, i] + v * source[c, i]
    return lookup, nearest
