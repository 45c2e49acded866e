"""All faces of a split in memory, with pictures in which they are turned."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.face_source import FaceSource, box_frame_shapes
from exalign_engine.exemplars.synthetic import Variation, bounded_turn, draw_transforms
from exalign_engine.geometry.frames import BoxFrame, extract_crop, tight_box
from exalign_engine.geometry.head_pose import fit_mean_face, solve_pose
from exalign_engine.progress import Progress
from exalign_engine.sampling.turning import TurnableFace

#: Faces are kept in memory as squares of this many box sides …
KEPT_MARGIN = 1.8
#: … and this many pixels.
KEPT_SIZE = 160


#: A picture (h, w, 3) uint8 RGB and its landmarks (68, 2) float64, pixels.
Picture = tuple[NDArray[np.uint8], NDArray[np.float64]]

#: Vertices along a side of the mesh that turns a training face: cells of about five pixels.
VERTICES = 49


@dataclass(frozen=True)
class FaceMemory:
    """All faces of a split as small squares in memory.

    Attributes:
        images: N images, (h, w, 3) uint8 RGB, about 160 × 160.
        landmarks: (N, 68, 2) float64, frame of ``images[i]``, pixels.
        ids: N names.
        turned: per face, pictures in which it was turned in 3-D, with their landmarks; empty where none were made.
    """

    images: list[NDArray[np.uint8]]
    landmarks: NDArray[np.float64]
    ids: list[str]
    turned: Sequence[Sequence[Picture]] = ()

    def __len__(self) -> int:
        return len(self.images)


def load_faces(source: FaceSource, limit: int = 0) -> FaceMemory:
    """Read a split into memory; images that are not about 160 pixels for 1.8 boxes are cut down to that.

    Args:
        source: annotated faces.
        limit: at most so many, evenly spaced; 0 takes all.
    """
    n = len(source)
    chosen = range(n) if not 0 < limit < n else np.linspace(0, n - 1, limit).astype(int)
    images, landmarks = [], []
    for i in chosen:
        image, points = source.image(int(i)), source.landmarks[i]
        frame = BoxFrame.from_box(tight_box(points))
        step = KEPT_MARGIN * frame.side / KEPT_SIZE
        if not 0.85 < step < 1.15 or max(image.shape[:2]) > 1.2 * KEPT_SIZE:
            image = extract_crop(image, frame, KEPT_MARGIN, KEPT_SIZE)
            points = (frame.from_image(points) - 0.5) * KEPT_SIZE / KEPT_MARGIN + (KEPT_SIZE - 1) / 2
        images.append(image)
        landmarks.append(points)
    return FaceMemory(images, np.stack(landmarks), [source.ids[int(i)] for i in chosen])


def with_turned(
    faces: FaceMemory, pictures: int, turn_deg: float, seed: int, progress: Progress | None = None
) -> FaceMemory:
    """The same faces, each also turned in 3-D.

    Args:
        faces: in memory.
        pictures: to make of each face.
        turn_deg: standard deviation of their yaw, degrees; pitch and bounds as in `exalign_engine.exemplars.synthetic`.
        seed: the turns of face i depend on (seed, i) alone.
        progress: told after each face how many are done.
    """
    mean_face = fit_mean_face(box_frame_shapes(faces.landmarks))
    yaw = solve_pose(faces.landmarks, mean_face)[:, 0].astype(np.float64)
    variation = Variation(turned=1.0, turn_deg=turn_deg)

    def turn(i: int) -> list[Picture]:
        image = faces.images[i]
        face = TurnableFace(image, faces.landmarks[i], mean_face, VERTICES)
        drawn = draw_transforms(pictures, variation, np.random.default_rng([seed, 0x3D, i])).astype(np.float64)
        turns = bounded_turn(np.full(pictures, yaw[i]), drawn)
        size = max(image.shape[:2])
        return [(face.draw(t, np.eye(2, 3), size)[: image.shape[0], : image.shape[1]], face.turned(t)) for t in turns]

    turned = []
    with ThreadPoolExecutor(2, thread_name_prefix="turn") as pool:
        for made in pool.map(turn, range(len(faces))):
            turned.append(made)
            if progress:
                progress(len(turned))
    return replace(faces, turned=turned)
