"""Clips made from stills, with the truth of every frame: a camera moves, a head turns, something passes in front of it.

Everything about a clip is drawn from the id of its face, never from the order of the rows. Faces are taken in the
order of a hash of their ids. A clip either shows one face that is hidden once, wholly, for a while, or cuts from one
face to the next in that order.

What passes in front is a piece of another still, from beside its face: hair, hands, clothes, whatever was there. The
network was trained on faces behind coloured noise, so that noise would measure how well it knows its training.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from exalign_engine.arrays import F64, U8
from exalign_engine.data.face_source import FaceSource
from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.frames import BoxFrame, tight_box
from exalign_engine.geometry.head_pose import ROLL, YAW, solve_pose
from exalign_engine.sampling.corruptions import seeded
from exalign_engine.sampling.turning import TurnableFace

CLIPS, FRAMES = 60, 48

#: Side of a frame, pixels. The stills are 160, and a face keeps about the size that it has there.
SIZE = 208

#: Stills that look to the side by more (degrees) are left out: half of their face was never photographed.
STRAIGHT = 10.0

#: How far the head turns to either side of looking straight ahead, upright; degrees.
YAW_TURN, ROLL_TURN = 20.0, 10.0

#: Largest error of the given box's centre in x and in y, and of its side, in true sides.
BOX_JITTER = 0.03

#: Share of clips that cut; a cut lies within these frames.
CUT_SHARE, CUT_FRAMES = 1 / 3, (18, 30)

#: Share of the time between frames for which the shutter is open, and standard deviation of the sensor's noise.
SHUTTER, NOISE = 0.6, 2.5

#: Half the extent of the occluder along its way and across it, in sides of the still's face box.
OCCLUDER = (0.8, 1.1)

#: Side of the piece of another still that it shows, in shorter sides of that still.
PIECE = 0.4

#: Centre of the occluder where it shows the whole face, and where it hides all of it, from the face's (box sides).
APART, OVER = 1.4, 0.2

VISIBLE, PARTIAL, HIDDEN, AFTER_CUT = PHASES = ("visible", "partial", "hidden", "after_cut")

#: Frames after a cut that are counted apart.
CUT_LENGTH = 3


@dataclass(frozen=True)
class Clip:
    """One clip and its truth.

    Attributes:
        id: of its face, the first one where it cuts.
        frames: (F, SIZE, SIZE, 3) uint8 RGB.
        truth: (F, 68, 2) where the landmarks are, pixels of the frame.
        covered: (F,) share of the landmarks' hull that is hidden.
        given: the boxes that every method gets, the true ones disturbed.
        cut: first frame of the second face, or None.
    """

    id: str
    frames: U8
    truth: F64
    covered: F64
    given: tuple[BoxFrame, ...]
    cut: int | None

    def __len__(self) -> int:
        return len(self.frames)

    def phase(self, t: int) -> str | None:
        """The phase of `PHASES` that a frame belongs to; None between phases."""
        if self.cut is not None and self.cut <= t < self.cut + CUT_LENGTH:
            return AFTER_CUT
        covered = self.covered[t]
        if covered < 0.10:
            return VISIBLE
        if covered > 0.95:
            return HIDDEN
        return PARTIAL if covered >= 0.40 else None


class ClipMaker:
    """Makes the clips of a split.

    Args:
        faces: annotated faces.
        mean_face: (68, 3) of `exalign_engine.exemplars.poses.Poses`.

    Raises:
        InvalidInputError: no face looks straight enough.
    """

    def __init__(self, faces: FaceSource, mean_face: F64) -> None:
        self._faces, self._mean_face = faces, mean_face
        yaw = solve_pose(faces.landmarks, mean_face)[:, YAW]
        straight = [int(i) for i in np.flatnonzero(np.abs(yaw) <= STRAIGHT)]
        # Of faces that share an id one is taken, whatever the order of the rows.
        rank = {i: (_order(faces.ids[i]), faces.landmarks[i].tobytes()) for i in straight}
        first: dict[str, int] = {}
        for i in sorted(rank, key=rank.__getitem__):
            first.setdefault(faces.ids[i], i)
        self._rows = list(first.values())
        if not self._rows:
            raise InvalidInputError.of(
                "faces", f"none of the {len(faces)} looks within {STRAIGHT:g}° of straight ahead"
            )

    def __len__(self) -> int:
        """How many clips there are, at most `CLIPS`."""
        return min(len(self._rows), CLIPS)

    def clip(self, index: int) -> Clip:
        """Make clip ``index``."""
        row, after = self._rows[index], self._rows[(index + 1) % len(self._rows)]
        face_id = self._faces.ids[row]
        rng = seeded(face_id, "clip")
        cut = int(rng.integers(*CUT_FRAMES)) if rng.random() < CUT_SHARE and len(self._rows) > 1 else None
        if cut is None:
            frames, truth, covered = self._scene(row, range(FRAMES), after)
        else:
            parts = [self._scene(row, range(cut), None), self._scene(after, range(cut, FRAMES), None)]
            frames, truth, covered = (np.concatenate(p) for p in zip(*parts, strict=True))
        jitter = seeded(face_id, "video box").uniform(-BOX_JITTER, BOX_JITTER, (FRAMES, 3))
        given = tuple(
            BoxFrame.from_box(tight_box(p)).moved(float(dx), float(dy), 1 + float(ds))
            for p, (dx, dy, ds) in zip(truth, jitter, strict=True)
        )
        return Clip(face_id, frames, truth, covered, given, cut)

    def camera(self, index: int) -> F64:
        """(F, 2, 3) the true path of clip ``index``'s camera: maps from the still of its first face to the frames."""
        row = self._rows[index]
        return _camera_path(BoxFrame.from_box(tight_box(self._faces.landmarks[row])), self._faces.ids[row])

    def _scene(self, row: int, times: range, coverer: int | None) -> tuple[U8, F64, F64]:
        """Frames, landmarks and covered shares of one face at some times; covered by a piece of which still, if any."""
        points, face_id = self._faces.landmarks[row], self._faces.ids[row]
        face = TurnableFace(self._faces.image(row), points, self._mean_face)
        looks = solve_pose(points[None], self._mean_face)[0].astype(np.float64)
        cameras = _camera_path(face.frame, face_id)
        yaw, roll = (path - looks[axis] for path, axis in zip(_head_path(face_id), (YAW, ROLL), strict=True))
        cover = None if coverer is None else _Occluder(face.frame, face_id, self._beside(coverer, face_id))
        noise = seeded(face_id, "noise")
        frames, truth, covered = [], [], []
        for t in times:
            camera = cameras[t]
            turn = np.array([yaw[t], 0.0, roll[t]])
            picture = face.draw(turn, camera, SIZE)
            seen = face.turned(turn) @ camera[:, :2].T + camera[:, 2]
            hull = cv2.fillConvexPoly(np.zeros((SIZE, SIZE), np.uint8), cv2.convexHull(np.rint(seen).astype(int)), 1)
            share = 0.0
            if cover is not None:
                picture, mask = cover.put(picture, camera, t)
                share = float(mask[hull > 0].mean())
            before, after = cameras[max(t - 1, 0)], cameras[min(t + 1, FRAMES - 1)]
            centre = np.array([face.frame.cx, face.frame.cy, 1.0])
            frames.append(_exposed(picture, SHUTTER * (after - before) @ centre / 2, noise))
            truth.append(seen)
            covered.append(share)
        return np.stack(frames), np.stack(truth), np.array(covered)

    def _beside(self, row: int, face_id: str) -> U8:
        """The corner of a still that its face reaches into least, of two that ``face_id`` draws; square."""
        image, points = self._faces.image(row), self._faces.landmarks[row]
        side = int(PIECE * min(image.shape[:2]))
        bottom, right = np.array(image.shape[:2]) - side
        corners = [(left, top) for left in (0, int(right)) for top in (0, int(bottom))]
        drawn = seeded(face_id, "video piece").permutation(4)[:2]
        gaps = {c: np.abs(points - (np.array(corners[c]) + side / 2)).max(axis=1).min() for c in drawn}
        left, top = corners[max(gaps, key=gaps.__getitem__)]
        return np.ascontiguousarray(image[top : top + side, left : left + side])


class _Occluder:
    """A rectangle of some picture that comes from one side at a steady pace, stays before the face, and leaves."""

    def __init__(self, face: BoxFrame, face_id: str, picture: U8) -> None:
        rng = seeded(face_id, "video occluder")
        self._face, self._texture = face, picture
        self._angle, self._lean = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4)
        leaves = 1.0 if rng.random() < 0.5 else -1.0
        times = np.cumsum([rng.integers(3, 8), rng.integers(11, 15), rng.integers(3, 7), rng.integers(11, 15)])
        self._offset = np.interp(np.arange(FRAMES), times, [APART, OVER, leaves * OVER, leaves * APART])

    def put(self, picture: U8, camera: F64, t: int) -> tuple[U8, F64]:
        """The picture with the occluder in front, and the mask of what it hides, (SIZE, SIZE) in [0, 1]."""
        side = self._face.side
        way = np.array([np.cos(self._angle), np.sin(self._angle)])
        centre = np.array([self._face.cx, self._face.cy]) + self._offset[t] * side * way
        a = self._angle + self._lean
        turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
        n = self._texture.shape[0]
        stretch = turn * (2 * side / (n - 1) * np.array(OCCLUDER))  # texture pixels → pixels of the still
        matrix = np.column_stack([stretch, centre - stretch @ np.full(2, (n - 1) / 2)])
        matrix = np.column_stack([camera[:, :2] @ matrix[:, :2], camera[:, :2] @ matrix[:, 2] + camera[:, 2]])
        size = (SIZE, SIZE)
        mask = np.asarray(cv2.warpAffine(np.ones((n, n)), matrix, size), dtype=np.float64)
        cover = cv2.warpAffine(self._texture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        mixed = picture + mask[..., None] * (cover.astype(np.float64) - picture)
        return np.asarray(np.rint(mixed), dtype=np.uint8), mask


def _order(face_id: str) -> int:
    """Place of a face among all faces that there could ever be."""
    return int(seeded(face_id, "video").integers(2**62))


def _waves(rng: np.random.Generator, shortest: float, longest: float) -> F64:
    """(FRAMES,) a swing in [−1, 1] with a random period (frames) and phase."""
    turn = np.arange(FRAMES) / rng.uniform(shortest, longest) + rng.random()
    return np.asarray(np.sin(2 * np.pi * turn))


def _head_path(face_id: str) -> tuple[F64, F64]:
    """(FRAMES,) yaw and roll of the head, degrees."""
    rng = seeded(face_id, "head")
    return YAW_TURN * _waves(rng, 72, 120), ROLL_TURN * _waves(rng, 60, 120)


def _camera_path(face: BoxFrame, face_id: str) -> F64:
    """(FRAMES, 2, 3) maps from the still to the frames: swings, one quick pan, a zoom, and a hand that shakes."""
    rng = seeded(face_id, "camera")
    scale = rng.uniform(0.9, 1.1) * np.exp(0.12 * _waves(rng, 30, 70))
    swing = np.stack([_waves(rng, 24, 60), _waves(rng, 24, 60)], axis=1) * rng.uniform(4, 14, 2)
    pan = 1 / (1 + np.exp(-(np.arange(FRAMES) - rng.uniform(4, FRAMES - 4)) / 1.2))
    shake = rng.normal(0, 0.3, (FRAMES, 2))
    angle = rng.uniform(0, 2 * np.pi)
    place = SIZE / 2 + swing + shake + 16 * (pan[:, None] - 0.5) * np.array([np.cos(angle), np.sin(angle)])
    shift = place - scale[:, None] * np.array([face.cx, face.cy])
    return np.stack([np.array([[s, 0, x], [0, s, y]]) for s, (x, y) in zip(scale, shift, strict=True)])


def _exposed(picture: U8, motion: F64, noise: np.random.Generator) -> U8:
    """Smeared along the camera's motion during the exposure (pixels), with noise."""
    length = float(np.linalg.norm(motion))
    samples = max(int(np.ceil(2 * length)), 1)
    n = 2 * int(np.ceil(length / 2)) + 3
    kernel = np.zeros((n, n))
    for along in (np.arange(samples) + 0.5) / samples - 0.5:
        x, y = n // 2 + along * motion
        i, j = int(np.floor(y)), int(np.floor(x))
        kernel[i : i + 2, j : j + 2] += np.outer([1 - (y - i), y - i], [1 - (x - j), x - j])
    smeared = cv2.filter2D(picture.astype(np.float32), -1, kernel / samples)
    grain = noise.standard_normal(picture.shape, dtype=np.float32) * np.float32(NOISE)
    return np.asarray(np.clip(np.rint(smeared + grain), 0, 255), dtype=np.uint8)
