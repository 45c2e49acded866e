"""What is kept of a face behind its posterior id, so that a caller may ask more without sending the image again.

An entry is what the network said and what is known beside it; moments, heatmaps and conditioned posteriors are
computed from that when asked for, and are then exactly what an answer from the image would be. It takes 4 bytes an
exemplar (135 kB at K = 33,736, 560 kB at K = 140,000), where the model has a residual 100 kB of what the network saw in
the crop, from which the displacement is found again, and about 1 kB; entries of one face with different evidence share
all but the last.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exalign_engine import LocatedFace, Posterior
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.posterior.residual import ImageFeatures
from exalign_service.rpc.errors import PosteriorNotFoundError

#: Random bytes in an id.
_ID_BYTES = 18


@dataclass(frozen=True)
class Subject:
    """One face, and all that has been said about it.

    Attributes:
        located: where it is.
        probabilities: (K,) float32, what the network said.
        presence: calibrated probability that there is a face in the crop at all.
        image: what else the network saw in the crop; None where nothing reads it.
        evidence: image frame, pixels; what was added to the network's word.
    """

    located: LocatedFace
    probabilities: NDArray[np.float32]
    presence: float
    image: ImageFeatures | None = None
    evidence: Evidence = field(default_factory=Evidence)

    @classmethod
    def of(cls, located: LocatedFace, posterior: Posterior) -> Subject:
        """A face as the network saw it."""
        image = None if posterior.model.displacer is None else posterior.image
        if image is not None:
            # Rows of a batch: kept as they are, they would keep all of it.
            image = ImageFeatures(image.embedding.copy(), image.local.copy())
        return cls(located, posterior.probabilities, posterior.presence, image)


class CacheObserver(Protocol):
    """Who wants to know how the cache does."""

    def posterior_looked_up(self, hit: bool) -> None:
        """An id was asked for."""

    def posteriors_changed(self, count: int, evicted: int) -> None:
        """So many are kept now; so many have just given way."""


class PosteriorCache:
    """The most recently used subjects, by unguessable ids. For the event loop's thread only.

    Args:
        capacity: most entries; the least recently used goes first. 0 keeps nothing.
        observer: see `CacheObserver`.
    """

    def __init__(self, capacity: int, observer: CacheObserver) -> None:
        self._capacity, self._observer = capacity, observer
        self._entries: OrderedDict[str, Subject] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, subject: Subject) -> str:
        """Keep a subject.

        Returns:
            Its id; empty where nothing is kept.
        """
        if not self._capacity:
            return ""
        name = secrets.token_urlsafe(_ID_BYTES)
        self._entries[name] = subject
        evicted = len(self._entries) > self._capacity
        if evicted:
            self._entries.popitem(last=False)
        self._observer.posteriors_changed(len(self._entries), int(evicted))
        return name

    def find(self, name: str) -> Subject:
        """The subject behind an id, which becomes the most recently used.

        Raises:
            PosteriorNotFoundError: it was never here, or has given way.
        """
        subject = self._entries.get(name)
        self._observer.posterior_looked_up(subject is not None)
        if subject is None:
            raise PosteriorNotFoundError(
                f"posterior_id is not known to this process (or no longer: it keeps the {self._capacity} most"
                " recently used); send the image again"
            )
        self._entries.move_to_end(name)
        return subject
