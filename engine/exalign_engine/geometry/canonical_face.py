"""A face of known depth: the 68 landmarks in space, and the skull above them.

Structure from motion finds a face's depth and its turns only together: where all photographs are nearly frontal, a face
that is too deep and turns too little fits as well (the bas-relief ambiguity). So where a known turn is needed, depth
comes from here, and turns are measured against it (docs/decisions/turned-heads.md).

The landmarks are vertices of MediaPipe's canonical face model (Google, Apache License 2.0, as in
``geometry_pipeline_metadata_landmarks.binarypb`` of the npm package ``@mediapipe/face_mesh`` 0.4.1657299874), made
symmetric and rounded to a thousandth. The skull is half an ellipsoid with the breadth, length and height of a head.
"""

from __future__ import annotations

import numpy as np

from exalign_engine.arrays import F64

#: (68, 3) frame and unit of `exalign_engine.geometry.head_pose`: x right, y down, z to the viewer, eyes 1 apart.
# fmt: off
CANONICAL_FACE: F64 = np.array([
    (-1.209, -0.588, -0.9), (-1.168, -0.331, -0.781), (-1.086, 0.162, -0.608), (-1.028, 0.397, -0.576),
    (-0.928, 0.753, -0.686), (-0.794, 0.902, -0.475), (-0.568, 1.072, -0.218), (-0.281, 1.208, 0.014),
    (0, 1.25, 0.079), (0.281, 1.208, 0.014), (0.568, 1.072, -0.218), (0.794, 0.902, -0.475),
    (0.928, 0.753, -0.686), (1.028, 0.397, -0.576), (1.086, 0.162, -0.608), (1.168, -0.331, -0.781),
    (1.209, -0.588, -0.9),  # jaw
    (-0.893, -0.883, -0.145), (-0.779, -0.969, -0.001), (-0.623, -1.017, 0.11), (-0.431, -1.015, 0.196),
    (-0.218, -1.001, 0.243), (0.218, -1.001, 0.243), (0.431, -1.015, 0.196), (0.623, -1.017, 0.11),
    (0.779, -0.969, -0.001), (0.893, -0.883, -0.145),  # brows
    (0, -0.605, 0.317), (0, -0.489, 0.399), (0, -0.276, 0.544), (0, -0.048, 0.562),
    (-0.148, 0.047, 0.299), (-0.093, 0.096, 0.329), (0, 0.175, 0.339), (0.093, 0.096, 0.329),
    (0.148, 0.047, 0.299),  # nose
    (-0.681, -0.609, -0.085), (-0.535, -0.679, 0.006), (-0.391, -0.675, 0.01), (-0.324, -0.59, 0.002),
    (-0.455, -0.533, 0.01), (-0.614, -0.578, -0.04), (0.324, -0.59, 0.002), (0.391, -0.675, 0.01),
    (0.535, -0.679, 0.006), (0.681, -0.609, -0.085), (0.614, -0.578, -0.04), (0.455, -0.533, 0.01),  # eyes
    (-0.388, 0.51, 0.073), (-0.234, 0.386, 0.226), (-0.105, 0.357, 0.309), (0, 0.36, 0.329),
    (0.105, 0.357, 0.309), (0.234, 0.386, 0.226), (0.388, 0.51, 0.073), (0.273, 0.605, 0.167),
    (0.109, 0.608, 0.264), (0, 0.619, 0.277), (-0.109, 0.608, 0.264), (-0.273, 0.605, 0.167),
    (-0.332, 0.49, 0.116), (-0.122, 0.405, 0.199), (0, 0.405, 0.228), (0.122, 0.405, 0.199),
    (0.332, 0.49, 0.116), (0.099, 0.514, 0.264), (0, 0.522, 0.276), (-0.099, 0.514, 0.264),  # mouth
])
# fmt: on

#: Half axes of the skull in the same unit (about 63 mm): breadth 154 mm, length 195 mm; its middle lies so far above
#: the eyes, and its front at the brows.
SKULL_AXES, SKULL_ABOVE_EYES = np.array([1.22, 1.15, 1.55]), 0.65

#: Sines of the latitudes at which the skull has points, and how many from ear to ear.
SKULL_ROWS, SKULL_COLUMNS = (-0.05, 0.25, 0.5, 0.72, 0.9), 7


def skull(face: F64) -> F64:
    """Points of the skull that a viewer may see above the brows of (68, 3): (S, 6) places and outward normals."""
    middle = np.array([0.0, face[36:48, 1].mean() - SKULL_ABOVE_EYES, face[17:27, 2].max() - SKULL_AXES[2]])
    up, side = np.meshgrid(SKULL_ROWS, np.linspace(-1.54, 1.54, SKULL_COLUMNS), indexing="ij")
    across = np.sqrt(1 - up**2)
    direction = np.stack([across * np.sin(side), -up, across * np.cos(side)], axis=-1).reshape(-1, 3)
    normal = direction / SKULL_AXES
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return np.concatenate([middle + SKULL_AXES * direction, normal], axis=1)
