"""A still face turned in 3-D: pixels and landmarks move together, and nothing tears.

The still is lifted to a relief. Its landmarks take the depth of the bundle's 3-D mean face as `solve_pose` sees it in
this picture; a thin-plate spline carries that depth between them and down to zero around the head. The relief turns
about a point at the depth of the ears, so that the outline of the head hardly moves; outside the landmarks' hull its
motion fades out, and the background stands still. A mesh over the whole picture is drawn with a depth buffer: where
the head turns away from the viewer, the nearer skin hides the farther one.

The landmarks of a turned face are the very surface points that are drawn, not a second estimate of them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64, U8
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.geometry.head_pose import rotation, solve_pose
from exalign_engine.libraries.njit import njit

#: Where the jaw meets the ears: depth zero.
EARS = [0, 1, 15, 16]

#: The relief is flat on and beyond an ellipse about the box's centre: points on it, and its half axes (box sides).
RING_POINTS, RING = 24, np.array([0.72, 0.9])

#: The same where the skull is known: the crown lies 1.1 box sides above the middle of the face box.
HEAD_RING = np.array([1.05, 1.6])

#: Smoothing of the depth spline, which works in box sides: closed lips lie on top of each other at different depths.
DEPTH_SMOOTHING = 2e-4

#: Skin moves with the head up to the first distance outside the landmarks' hull, not at all from the second on.
STIFF, STILL = 0.05, 0.5

#: A landmark is hidden where what is drawn there lies farther from it in the still, box sides.
BEHIND = 0.08

#: Beyond the still its border is repeated.
REPEATED = cv2.BORDER_REPLICATE

#: Vertices along each side of the mesh by default, and how far it reaches beyond the picture, in picture sides.
VERTICES, OVERHANG = 97, 0.6


class TurnableFace:
    """A still picture of a face that can be turned.

    Args:
        image: (H, W, 3) uint8 RGB.
        points: (68, 2) its landmarks, pixels.
        mean_face: (68, 3) of `exalign_engine.exemplars.poses.Poses`.
        vertices: along each side of the mesh.
        skull: (S, 6) points above the brows and normals there, in the frame of ``mean_face``: they turn with the face.
            None: what is above the brows fades into the background, which does for turns of up to about 45 degrees.
    """

    def __init__(
        self, image: U8, points: F64, mean_face: F64, vertices: int = VERTICES, skull: F64 | None = None
    ) -> None:
        self.image, self.points = image, np.asarray(points, dtype=np.float64)
        self.frame = BoxFrame.from_box(tight_box(points))
        self._centre = np.array([self.frame.cx, self.frame.cy])
        self._ring = RING if skull is None else HEAD_RING
        self._knots, self._spline, head = self._fit_depth(mean_face, skull)
        self._hull = cv2.convexHull(head.astype(np.float32))
        h, w = image.shape[:2]
        x, y = (np.linspace(-OVERHANG * n, (1 + OVERHANG) * n, vertices) for n in (w, h))
        self._mesh = np.stack(np.meshgrid(x, y), axis=-1)
        self._mesh_depth, self._mesh_grip = self._depth(self._mesh), self._grip(self._mesh)
        self._points_depth = self._depth(self.points)

    def turned(self, pose: F64) -> F64:
        """The landmarks after a turn.

        Args:
            pose: (3,) yaw, pitch and roll from where the still looks, degrees; signs as in `exemplars.poses`.

        Returns:
            (68, 2) pixels of the still.
        """
        moved, _ = self._move(self.points, self._points_depth, np.ones(len(self.points)), pose)
        return moved

    def draw(self, pose: F64, camera: F64, size: int) -> U8:
        """The turned face as a camera sees it.

        Args:
            pose: (3,) as for `turned`.
            camera: (2, 3) affine map from pixels of the still to those of the result.
            size: side of the result.

        Returns:
            (size, size, 3) uint8; beyond the still its border is repeated.
        """
        out = cv2.remap(self.image, self._lookup(pose, camera, size), None, cv2.INTER_CUBIC, borderMode=REPEATED)
        return np.asarray(out, dtype=np.uint8)

    def hidden(self, pose: F64, camera: F64, size: int) -> NDArray[np.bool_]:
        """(68,) which landmarks the head hides from that camera: another place of the still is drawn there.

        Arguments are those of `draw`. A landmark beyond the picture is not hidden.
        """
        lookup = self._lookup(pose, camera, size)
        column, row = np.round(self.turned(pose) @ camera[:, :2].T + camera[:, 2]).astype(int).T
        nearest = np.full(len(self.points), np.inf)
        for dy, dx in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):  # at an outline the next pixel may show it
            y, x = np.clip(row + dy, 0, size - 1), np.clip(column + dx, 0, size - 1)
            nearest = np.minimum(nearest, np.linalg.norm(lookup[y, x] - self.points, axis=1))
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        return np.asarray(inside & (nearest > BEHIND * self.frame.side))

    def _lookup(self, pose: F64, camera: F64, size: int) -> F32:
        """(size, size, 2) which place of the still each pixel shows."""
        moved, depth = self._move(self._mesh, self._mesh_depth, self._mesh_grip, pose)
        seen = moved @ camera[:, :2].T + camera[:, 2]
        return np.asarray(_rasterise(seen, depth, self._mesh, size))

    def _fit_depth(self, mean_face: F64, skull: F64 | None) -> tuple[F64, F64, F64]:
        """Knots (M, 2) in box sides, coefficients (M + 3,) of the depth's thin-plate spline, and what is the head.

        The head is (P, 2) places in pixels: the landmarks, and the part of the skull that is seen.
        """
        turn = rotation(solve_pose(self.points[None], mean_face)[0])
        centre = mean_face.mean(axis=0)
        model = (mean_face - centre) @ turn.T
        middle = self.points.mean(axis=0)
        flat = (self.points - middle) / self.frame.side
        scale = (flat * model[:, :2]).sum() / (model[:, :2] ** 2).sum()
        ears = model[EARS, 2].mean()
        depth, head = scale * (model[:, 2] - ears), self.points
        if skull is not None:
            solid, normal = (skull[:, :3] - centre) @ turn.T, skull[:, 3:] @ turn.T
            seen = normal[:, 2] >= 0
            depth = np.concatenate([depth, scale * (solid[seen, 2] - ears)])
            head = np.concatenate([head, middle + self.frame.side * scale * solid[seen, :2]])
        angle = 2 * np.pi * np.arange(RING_POINTS) / RING_POINTS
        ring = self._ring * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        knots = np.concatenate([(head - self._centre) / self.frame.side, ring])
        m = len(knots)
        affine = np.column_stack([np.ones(m), knots])
        system = np.zeros((m + 3, m + 3))
        system[:m, :m] = _thin_plate(knots, knots) + DEPTH_SMOOTHING * np.eye(m)
        system[:m, m:], system[m:, :m] = affine, affine.T
        right = np.concatenate([depth, np.zeros(RING_POINTS + 3)])
        return knots, np.linalg.solve(system, right), head

    def _depth(self, points: F64) -> F64:
        """Depth of places of the still, (..., 2) pixels → (...) pixels towards the viewer; 0 beyond the ellipse."""
        flat = ((points - self._centre) / self.frame.side).reshape(-1, 2)
        m = len(self._knots)
        depth = _thin_plate(flat, self._knots) @ self._spline[:m] + self._spline[m] + flat @ self._spline[m + 1 :]
        depth[np.linalg.norm(flat / self._ring, axis=1) >= 1] = 0.0
        return np.asarray(self.frame.side * depth.reshape(points.shape[:-1]))

    def _grip(self, points: F64) -> F64:
        """How much of the head's motion each place follows: 1 on the face, falling smoothly to 0 on the background."""
        outside = [-cv2.pointPolygonTest(self._hull, (float(x), float(y)), True) for x, y in points.reshape(-1, 2)]
        t = np.clip((np.array(outside) / self.frame.side - STIFF) / (STILL - STIFF), 0.0, 1.0)
        return np.asarray((1 - t * t * (3 - 2 * t)).reshape(points.shape[:-1]))

    def _move(self, points: F64, depth: F64, grip: F64, pose: F64) -> tuple[F64, F64]:
        """Places (..., 2) and depths (...) after a turn."""
        solid = np.concatenate([points - self._centre, depth[..., None]], axis=-1)
        turned = solid @ rotation(pose).T
        moved = solid + grip[..., None] * (turned - solid)
        return moved[..., :2] + self._centre, moved[..., 2]


def _thin_plate(a: F64, b: F64) -> F64:
    """(A, 2), (B, 2) → (A, B) r² ln r."""
    squared = ((a[:, None] - b) ** 2).sum(axis=-1)
    return np.asarray(0.5 * squared * np.log(np.maximum(squared, 1e-300)))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rasterise(seen: F64, depth: F64, source: F64, size: int) -> F32:
    """Which place of the still each pixel shows.

    Args:
        seen: (R, C, 2) vertices in the result, pixels.
        depth: (R, C) towards the viewer; the nearest surface wins.
        source: (R, C, 2) vertices in the still.
        size: side of the result.

    Returns:
        (size, size, 2) float32, x and y in the still; pixels that no triangle covers show the still's corner.
    """
    lookup = np.zeros((size, size, 2), np.float32)
    nearest = np.full((size, size), -np.inf)
    rows, columns = depth.shape
    for r in range(rows - 1):
        for c in range(columns - 1):
            for half in range(2):
                r2, c2 = (r, c + 1) if half == 0 else (r + 1, c)
                ax, ay = seen[r, c, 0], seen[r, c, 1]
                bx, by = seen[r2, c2, 0] - ax, seen[r2, c2, 1] - ay
                dx, dy = seen[r + 1, c + 1, 0] - ax, seen[r + 1, c + 1, 1] - ay
                area = bx * dy - by * dx
                if abs(area) < 1e-9:
                    continue
                low_x, high_x = ax + min(0.0, bx, dx), ax + max(0.0, bx, dx)
                low_y, high_y = ay + min(0.0, by, dy), ay + max(0.0, by, dy)
                for y in range(max(int(np.ceil(low_y)), 0), min(int(np.floor(high_y)), size - 1) + 1):
                    for x in range(max(int(np.ceil(low_x)), 0), min(int(np.floor(high_x)), size - 1) + 1):
                        u = ((x - ax) * dy - (y - ay) * dx) / area
                        v = (bx * (y - ay) - by * (x - ax)) / area
                        if u < -1e-9 or v < -1e-9 or u + v > 1 + 1e-9:
                            continue
                        w = 1.0 - u - v
                        z = w * depth[r, c] + u * depth[r2, c2] + v * depth[r + 1, c + 1]
                        if z > nearest[y, x]:
                            nearest[y, x] = z
                            for i in range(2):
                                lookup[y, x, i] = (
                                    w * source[r, c, i] + u * source[r2, c2, i] + v * source[r + 1, c + 1, i]
                                )
    return lookup
