"""What is kept of a face behind its posterior id, so that a later call needs no image.

An entry holds the network's probabilities and the evidence. Moments, heatmaps and conditioned posteriors are computed
from it when they are needed. They equal those of an answer from the image, unless the network's graph made that
answer's sums (``--sums device``): these are not kept, and the host's own differ from them in the last digits.

An entry takes 4 bytes an exemplar (135 kB at K = 33,736, 560 kB at K = 140,000) and about 1 kB. Where the model has a
residual, it also takes 100 kB of the network's maps, from which the displacement is found again. Entries of one face
with different evidence share all but the evidence.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exalign_engine.evidence.evidence import Evidence
from exalign_engine.face.aligner import Face, LocatedFace
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.posterior.residual import ImageFeatures
from exalign_service.rpc.errors import PosteriorNotFoundError

#: Random bytes in an id.
_ID_BYTES = 18


@dataclass(frozen=True)
class CachedFace:
    """One face: what its posterior is made of, and the evidence about it.

    Attributes:
        located: where it is.
        probabilities: (K,) float32, the network's posterior.
        presence: calibrated probability that there is a face in the crop at all.
        image: what the displacement is found from; None where the model displaces nothing.
        evidence: image frame, pixels; empty where the posterior is the network's own.
    """

    located: LocatedFace
    probabilities: NDArray[np.float32]
    presence: float
    image: ImageFeatures | None = None
    evidence: Evidence = field(default_factory=Evidence)

    @classmethod
    def of(cls, face: Face) -> CachedFace:
        """What is kept of a face that the network has just scored."""
        posterior = face.posterior
        image = None if posterior.model.displacer is None else posterior.image
        if image is not None:
            # Rows of a batch: kept as they are, they would keep all of it.
            image = ImageFeatures(image.embedding.copy(), image.local.copy())
        return cls(face.located, posterior.probabilities, posterior.presence, image)

    def face(self, model: PosteriorModel) -> Face:
        """The face as the network saw it, before any evidence; its numbers are computed anew when they are read."""
        return Face(self.located, Posterior(model, self.probabilities, self.presence, image=self.image))


class CacheObserver(Protocol):
    """Counts the cache's hits and its entries."""

    def posterior_looked_up(self, hit: bool) -> None:
        """An id was looked up."""

    def posteriors_changed(self, count: int, evicted: int) -> None:
        """So many are kept now; so many were just evicted."""


class PosteriorCache:
    """The most recently used faces, by unguessable ids. For the event loop's thread only.

    Args:
        capacity: most entries; the least recently used goes first. 0 keeps nothing.
        observer: see `CacheObserver`.
    """

    def __init__(self, capacity: int, observer: CacheObserver) -> None:
        self._capacity, self._observer = capacity, observer
        self._entries: OrderedDict[str, CachedFace] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, face: CachedFace) -> str:
        """Keep a face.

        Returns:
            Its id; empty where nothing is kept.
        """
        if not self._capacity:
            return ""
        name = secrets.token_urlsafe(_ID_BYTES)
        self._entries[name] = face
        evicted = len(self._entries) > self._capacity
        if evicted:
            self._entries.popitem(last=False)
        self._observer.posteriors_changed(len(self._entries), int(evicted))
        return name

    def find(self, name: str) -> CachedFace:
        """The face behind an id, which becomes the most recently used.

        Raises:
            PosteriorNotFoundError: it was never here, or was evicted.
        """
        face = self._entries.get(name)
        self._observer.posterior_looked_up(face is not None)
        if face is None:
            raise PosteriorNotFoundError(
                f"posterior_id is not known to this process (or no longer: it keeps the {self._capacity} most"
                " recently used); send the image again"
            )
        self._entries.move_to_end(name)
        return face
