"""Who is compared, each behind one interface: a picture and perhaps a face box in, the 68 points of one face out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from benchmarks.peers.mesh_points import to_68
from benchmarks.peers.remote import FoundFace, RemotePeer
from numpy.typing import NDArray

from exalign_engine.data.face_source import FaceSource
from exalign_engine.detect import MISS_IOU, BoxAffine
from exalign_engine.detect.affine import best_overlap, square
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import iou, tight_box
from exalign_engine.geometry.landmarks import N_LANDMARKS

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Reply:
    """An answer about one face.

    Attributes:
        points: (68, 2) image frame; None where the face was missed.
        cpu_ms: CPU-milliseconds, detection included where there was one.
    """

    points: F64 | None
    cpu_ms: float


class Contestant(Protocol):
    """One of those that are compared."""

    name: str

    def about(self) -> dict[str, Any]:
        """Versions and models, for the head of the report."""

    def given(self, image: U8, box: F64) -> Reply:
        """The face of a face box (4,): the square of the truth, or what the suite made of it."""

    def detected(self, image: U8, box: F64) -> Reply:
        """The face that its own detector finds; ``box`` says only which of several is meant."""


class Ours:
    """This project's engine.

    Args:
        aligner: with a detector, on one thread.
    """

    name = "exalign"

    def __init__(self, aligner: Aligner) -> None:
        self.aligner = aligner

    def about(self) -> dict[str, Any]:
        """See `Contestant.about`."""
        b = self.aligner.bundle
        return {"bundle_id": b.id, "classes": b.exemplars.count, "runtime": self.aligner.runtime.name}

    def given(self, image: U8, box: F64) -> Reply:
        """See `Contestant.given`."""
        start = time.process_time()
        (face,) = self.aligner.answer(image, [self.aligner.place(box)])
        points = face.compute().landmarks
        return Reply(points, 1e3 * (time.process_time() - start))

    def detected(self, image: U8, box: F64) -> Reply:
        """See `Contestant.detected`."""
        start = time.process_time()
        found = self.aligner.locate(image)
        best = max(found, key=lambda f: iou(f.box, box), default=None)
        hit = best is not None and iou(best.box, box) >= MISS_IOU
        points = self.aligner.answer(image, [best])[0].compute().landmarks if hit and best is not None else None
        return Reply(points, 1e3 * (time.process_time() - start))


class Peer:
    """A peer in its own process, with the two maps between its boxes and the face box.

    Args:
        remote: the process.
        to_face: its box → face box.
        to_own: face box → its box.
    """

    def __init__(self, remote: RemotePeer, to_face: BoxAffine, to_own: BoxAffine) -> None:
        self.name = str(remote.about["peer"])
        self._remote, self._to_face, self._to_own = remote, to_face, to_own

    def about(self) -> dict[str, Any]:
        """See `Contestant.about`."""
        return self._remote.about | {"to_face": self._to_face.to_dict(), "to_own": self._to_own.to_dict()}

    def given(self, image: U8, box: F64) -> Reply:
        """See `Contestant.given`."""
        faces, cpu_ms = self._remote.answer(image, self._to_own.apply(square(box)))
        return Reply(_points(faces[0]) if faces else None, cpu_ms)

    def detected(self, image: U8, box: F64) -> Reply:
        """See `Contestant.detected`."""
        faces, cpu_ms = self._remote.answer(image)
        best = best_overlap(np.array([self._to_face.apply(f.box) for f in faces]).reshape(-1, 4), box)
        return Reply(None if best is None else _points(faces[best]), cpu_ms)


def fitted_peer(remote: RemotePeer, faces: FaceSource, count: int) -> Peer:
    """A peer whose boxes are mapped as its own detector draws them on faces of ``train``.

    Args:
        remote: the process.
        faces: of ``train``.
        count: how many of them, evenly spaced.

    Raises:
        ValueError: its detector finds none of them.
    """
    own, true = [], []
    for i in np.linspace(0, len(faces) - 1, min(count, len(faces))).astype(int):
        box = tight_box(faces.landmarks[i])
        found, _ = remote.answer(faces.image(int(i)))
        one = nearest_face(found, box)
        if one is not None:
            own.append(one.box)
            true.append(square(box))
    return Peer(remote, BoxAffine.fit(own, true), BoxAffine.fit(true, own))


def nearest_face(found: Sequence[FoundFace], box: F64) -> FoundFace | None:
    """The face whose box is centred nearest to a box's centre, within half its side."""
    target, reach = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() / 2
    apart = {j: float(np.linalg.norm((f.box[:2] + f.box[2:]) / 2 - target)) for j, f in enumerate(found)}
    best = min(apart, key=lambda j: apart[j], default=None)
    return None if best is None or apart[best] > reach else found[best]


def _points(face: FoundFace) -> F64:
    return face.points if len(face.points) == N_LANDMARKS else to_68(face.points)
