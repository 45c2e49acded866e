"""The faces of a split: opened and decoded once, in memory, and with pictures in which they are turned."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.face_source import FaceSource
from exalign_engine.data.source import open_faces
from exalign_engine.exemplars.synthetic import Variation, bounded_turn, draw_transforms
from exalign_engine.geometry.frames import BoxFrame, extract_crop, tight_box
from exalign_engine.geometry.head_pose import solve_pose
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


class SharedPictures:
    """A source that decodes no picture again while its array is still in use elsewhere.

    Args:
        source: annotated faces.
    """

    def __init__(self, source: FaceSource) -> None:
        self._source = source
        self._pictures: weakref.WeakValueDictionary[int, NDArray[np.uint8]] = weakref.WeakValueDictionary()

    @property
    def ids(self) -> Sequence[str]:
        """See `FaceSource`."""
        return self._source.ids

    @property
    def origins(self) -> Sequence[str]:
        """See `FaceSource`."""
        return self._source.origins

    @property
    def landmarks(self) -> NDArray[np.float64]:
        """See `FaceSource`."""
        return self._source.landmarks

    def __len__(self) -> int:
        return len(self._source)

    def image(self, index: int) -> NDArray[np.uint8]:
        """See `FaceSource.image`; not to be written to."""
        picture = self._pictures.get(index)
        if picture is None:
            picture = self._pictures[index] = self._source.image(index)
        return picture


@dataclass(frozen=True)
class LoadedFaces:
    """A split that was opened once, and the faces of it that were chosen, decoded once.

    Attributes:
        source: whole pictures; those that ``memory`` holds uncut are not decoded again.
        memory: the chosen faces.
        limit: at most so many were chosen; 0 chose all.
    """

    source: FaceSource
    memory: FaceMemory
    limit: int

    @classmethod
    def open(cls, folder: Path | str, split: str, limit: int = 0) -> LoadedFaces:
        """Open a split and decode its faces.

        Args:
            folder: see `exalign_engine.data.source.open_faces`.
            split: likewise.
            limit: see `load_faces`.

        Raises:
            DataError: the folder or a file in it is wrong.
        """
        source = SharedPictures(open_faces(folder, split))
        return cls(source, load_faces(source, limit), limit)


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
    faces: FaceMemory,
    mean_face: NDArray[np.float64],
    pictures: int,
    turn_deg: float,
    seed: int,
    progress: Progress | None = None,
) -> FaceMemory:
    """The same faces, each also turned in 3-D.

    Args:
        faces: in memory.
        mean_face: (68, 3), `exalign_engine.geometry.head_pose.fit_mean_face` of their shapes in box frames.
        pictures: to make of each face.
        turn_deg: standard deviation of their yaw, degrees; pitch and bounds as in `exalign_engine.exemplars.synthetic`.
        seed: the turns of face i depend on (seed, i) alone.
        progress: told after each face how many are done.
    """
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
