"""MediaPipe's mesh in the 68-point layout: an index table, and what it cannot do.

For each landmark the table has the vertex that lies nearest to it on 300 faces of ``train``, by its mean distance ÷
box diagonal (`benchmarks.peers.fit_mesh_points`). It is thus the most favourable table that there is for MediaPipe on
faces like these: the one that is passed around on the web leaves 3.1 % on those faces, this one 2.7 % (inner 51 points:
2.4 and 2.2 %), both where MediaPipe's own detector found the face.

The mesh is a surface with a topology of its own. Its oval is the outline of a frontal face and turns with the head; the
jaw of the 68 points is the contour that the camera sees, from ear to ear. No vertex is that contour on a turned face:
the 17 points of the jaw leave 4.1 % even so, and the inner 51 points (17 to 67) stand beside all 68 wherever the two
are compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

#: TABLE[n] is the vertex of landmark n, both counted from 0.
# fmt: off
TABLE: tuple[int, ...] = (
    127, 227, 177, 215, 172, 136, 149, 148, 152, 400, 379, 365, 397, 435, 401, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    6, 197, 5, 274, 99, 97, 164, 326, 460,  # nose
    7, 159, 157, 112, 22, 144, 381, 385, 387, 255, 339, 253,  # eyes
    76, 73, 72, 11, 302, 304, 273, 335, 314, 17, 84, 181,  # outer lip
    77, 82, 13, 311, 375, 316, 15, 86,  # inner lip
)
# fmt: on


def to_68(mesh: F64) -> F64:
    """(468 or 478, 2) points of the mesh → (68, 2)."""
    return mesh[list(TABLE)]
