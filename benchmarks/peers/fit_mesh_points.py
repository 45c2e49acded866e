"""Finds the mesh's vertex for each of the 68 landmarks: the one that lies nearest on faces of ``train``.

    python -m benchmarks.peers.fit_mesh_points --data FACES [--limit 400]

Prints the table of `benchmarks.peers.mesh_points`, and on stderr the mean distance that each vertex leaves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from benchmarks.peers.contestants import nearest_face
from benchmarks.peers.measure import chosen
from benchmarks.peers.remote import RemotePeer
from numpy.typing import NDArray

from exalign_engine.data.source import open_faces
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.progress import progress_bar

F64 = NDArray[np.float64]

#: Vertices of the mesh that are of the face; the 10 after them are the irises'.
VERTICES = 468


def distances(data: Path, limit: int) -> F64:
    """(68, 468) mean distance of every vertex from every landmark, ÷ box diagonal."""
    faces = open_faces(data, "train")
    rows = chosen(faces, limit)
    report, total = progress_bar(len(rows), "faces"), []
    with RemotePeer("mediapipe") as peer:
        for done, i in enumerate(rows, 1):
            truth = faces.landmarks[i]
            face = nearest_face(peer.answer(faces.image(i))[0], tight_box(truth))
            if face is not None:
                mesh = face.points[:VERTICES]
                apart = np.linalg.norm(truth[:, None] - mesh[None], axis=2)
                total.append(apart / diagonal(tight_box(truth)))
            report(done)
    return np.asarray(np.mean(total, axis=0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--limit", type=int, default=300, metavar="N", help="faces of train, evenly spaced")
    args = parser.parse_args()
    distance = distances(args.data, args.limit)
    found = [int(v) for v in distance.argmin(axis=1)]
    for n, vertex in enumerate(found):
        print(f"{n:3} {vertex:4} {100 * distance[n, vertex]:.2f} %", file=sys.stderr)
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
