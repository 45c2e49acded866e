"""What the golden file holds: answers of every layer, computed from today's code.

Only the files `entries_…` name the project's own modules and classes. The others store and compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from entries_bundle import bundle
from entries_served import served
from entries_sessions import toy_sessions
from golden_inputs import KEEP, Tables, astronaut, jpeg
from golden_tree import Table, flatten

from drawn_faces import drawn_faces
from exalign_engine import Aligner

# Drawn faces: if these differ, so does all that is computed of them.


def drawn() -> Tables:
    """The pictures that the other entries begin with."""
    pictures, landmarks = drawn_faces(3, 21)
    return {
        "drawn/faces": flatten({"pictures": np.stack(pictures), "landmarks": landmarks}, keep=KEEP),
        "drawn/astronaut": flatten({"picture": astronaut(), "jpeg": jpeg(astronaut())}, keep=KEEP),
    }


# The engine by itself, on the default bundle.


def aligner() -> Tables:
    """Detected boxes, given ones, and a given one that is 15 % off."""
    engine = Aligner.default()
    found = engine.align(astronaut())
    tables = {"aligner/astronaut detected": _faces(found)}
    box = found[0].located.box
    tables["aligner/astronaut given"] = _faces(engine.align(astronaut(), [box.tolist()]))
    off = box + 0.15 * (box[2] - box[0]) * np.array([1.0, 0.0, 1.0, 0.0])
    tables["aligner/astronaut 15 % off"] = _faces(engine.align(astronaut(), [off.tolist()]))
    for i, (picture, points) in enumerate(zip(*drawn_faces(3, 21), strict=True)):
        given = [*points.min(axis=0), *points.max(axis=0)]
        tables[f"aligner/drawn {i}"] = _faces(engine.align(picture, [given]))
    return tables


def _faces(faces: Sequence[Any]) -> Table:
    """Of the engine's faces."""
    return flatten(
        [
            {
                "box": face.located.box,
                "source_box": face.located.source_box,
                "source": face.located.source,
                "score": face.located.score,
                "landmarks": face.landmarks,
                "covariance": face.covariance,
                "confidence": face.confidence,
                "map_landmarks": face.map_landmarks,
                "map_exemplar": face.map_exemplar,
                "presence": face.presence,
                "entropy": face.entropy,
                "effective_exemplars": face.effective_exemplars,
                "cut_mass": face.cut_mass,
                "displacement": face.posterior.displacement,
                "probabilities": face.posterior.probabilities,
                "group": face.group((36, 39, 42, 45)),
            }
            for face in faces
        ],
        keep=KEEP,
    )


#: Kind of entry (the part of its name before the slash) → what computes all entries of that kind.
GROUPS: dict[str, Callable[[], Tables]] = {
    "drawn": drawn,
    "aligner": aligner,
    "served": served,
    "state": toy_sessions,
    "bundle": bundle,
    "quantised": bundle,
}


@cache
def _made(maker: Callable[[], Tables]) -> Tables:
    return maker()


def computed(group: str) -> Tables:
    """All entries of a kind; computed once."""
    return {name: table for name, table in _made(GROUPS[group]).items() if name.partition("/")[0] == group}
