"""A crop that is that of the frame before, bit for bit, is no second measurement of its face.

The errors of two crops with the same pixels are the same error. So the likelihood of the second, given the first, is 1
for every shape: the posterior after it is that before it. Nothing in the face has moved either, as its picture has not,
so the chain takes no step. Belief, displacement and visibility stay as they are, and a path goes on where it is.
All that counts frames goes on counting (docs/decisions/faces-in-motion.md).

Crops are told by what the network said about them. Only those count in which the face is seen: an obstacle that stays
the same does not tell that the face behind it does. A frame with evidence is a frame like any other.
"""

from __future__ import annotations

import hashlib
import zlib

import numpy as np

from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.tracking.motion import MOTION
from exalign_engine.tracking.track import Observation
from exalign_engine.tracking.visibility import TrackState


def said_by(row: FaceOutputs) -> bytes:
    """(16 bytes) names what the network said about a crop."""
    # A hash of K scores would cost a twentieth of a frame. What they follow from tells crops apart; the checksum is for
    # a runtime of which that is not so.
    name = hashlib.blake2b(row.embedding.tobytes(), digest_size=16)
    name.update(row.features.tobytes())
    name.update(zlib.crc32(np.ascontiguousarray(row.scores).data).to_bytes(4, "little"))
    return name.digest()


def shows_face(observation: Observation) -> bool:
    """Whether a frame's crop shows the face, and not what is before it."""
    return observation.visibility.state is TrackState.VISIBLE and observation.presence >= MOTION.min_presence
