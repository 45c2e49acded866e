"""What is kept of a face behind its posterior id, so that a later call needs no image.

An entry holds the network's probabilities and the evidence. Moments, heatmaps and conditioned posteriors are computed
from it when they are needed. They equal those of an answer from the image, unless the network's graph made that
answer's sums (``--sums device``): these are not kept, and the host's own differ from them in the last digits.

An entry takes 4 bytes an exemplar (135 kB at K = 33,736, 560 kB at K = 140,000) and about 1 kB. Where the model has a
residual, it also takes 100 kB of the network's maps, from which the displacement is found again. Entries of one face
with different evidence share all but the evidence; each is counted as if it shared nothing.

Callers share the room: where it is full, the caller that keeps most gives up what it has not used for longest. An entry
counts for the caller that made it. Where callers have names (`Call.owner`), nobody else finds it; otherwise whoever has
its id does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exalign_engine.evidence.evidence import Evidence, Polygon
from exalign_engine.face.aligner import Face, LocatedFace
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.posterior.residual import ImageFeatures
from exalign_service.rpc.call_context import Call, current_call
from exalign_service.rpc.caller_shares import CallerShares
from exalign_service.rpc.errors import PosteriorNotFoundError

#: Random bytes in an id.
_ID_BYTES = 18

#: Bytes of an entry beside its arrays and its evidence; of one constraint; of one corner of a polygon. About.
_ENTRY, _CONSTRAINT, _CORNER = 1000, 300, 120


@dataclass(frozen=True)
class CachedFace:
    """One face: what its posterior is made of, and the evidence about it.

    Attributes:
        located: where it is.
        probabilities: (K,) float32, the network's posterior.
        presence: calibrated probability that there is a face in the crop at all.
        image: what the displacement is found from; None where the model displaces nothing.
        evidence: image frame, pixels; empty where the posterior is the network's own.
        bundle_id: of the model that made it.
    """

    located: LocatedFace
    probabilities: NDArray[np.float32]
    presence: float
    image: ImageFeatures | None = None
    evidence: Evidence = field(default_factory=Evidence)
    bundle_id: str = ""

    @classmethod
    def of(cls, face: Face, bundle_id: str) -> CachedFace:
        """What is kept of a face that the network has just scored."""
        posterior = face.posterior
        image = None if posterior.model.displacer is None else posterior.image
        if image is not None:
            # Rows of a batch: kept as they are, they would keep all of it.
            image = ImageFeatures(image.embedding.copy(), image.local.copy())
        return cls(face.located, posterior.probabilities, posterior.presence, image, bundle_id=bundle_id)

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory, as if it shared nothing."""
        arrays = self.probabilities.nbytes
        if self.image is not None:
            arrays += self.image.embedding.nbytes + self.image.local.nbytes
        evidence = self.evidence
        constraints = len(evidence.clicks) + len(evidence.regions) + len(evidence.poses)
        corners = sum(len(r.region.vertices) for r in evidence.regions if isinstance(r.region, Polygon))
        return _ENTRY + arrays + _CONSTRAINT * constraints + _CORNER * corners

    def face(self, model: PosteriorModel) -> Face:
        """The face as the network saw it, before any evidence; its numbers are computed anew when they are read."""
        return Face(self.located, Posterior(model, self.probabilities, self.presence, image=self.image))


class CacheObserver(Protocol):
    """Counts the cache's hits and its entries."""

    def posterior_looked_up(self, hit: bool) -> None:
        """An id was looked up."""

    def posteriors_changed(self, count: int, evicted: int) -> None:
        """So many are kept now; so many were just evicted."""


def _calling() -> Call:
    return current_call.get()


class PosteriorCache:
    """The most recently used faces, by unguessable ids. For the event loop's thread only.

    Args:
        capacity: most entries. 0 keeps nothing.
        max_bytes: what they may take, bytes; an entry that is larger by itself is not kept.
        observer: see `CacheObserver`.
        call: says which call makes or seeks an entry now.
    """

    def __init__(
        self, capacity: int, max_bytes: int, observer: CacheObserver, call: Callable[[], Call] = _calling
    ) -> None:
        self._capacity, self._max_bytes = capacity, max_bytes
        self._observer, self._call = observer, call
        #: Faces and their owners, by id.
        self._entries: dict[str, tuple[str, CachedFace]] = {}
        self._shares = CallerShares()
        #: What one caller's may take, bytes; None: no bound of its own.
        self.max_bytes_per_caller: int | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, face: CachedFace) -> str:
        """Keep a face.

        Returns:
            Its id; empty where it is not kept.
        """
        size, own = face.size_bytes, self.max_bytes_per_caller
        if not self._capacity or size > self._max_bytes or (own is not None and size > own):
            return ""
        name, call = secrets.token_urlsafe(_ID_BYTES), self._call()
        self._entries[name] = call.owner, face
        self._shares.add(name, call.caller, size)
        evicted = 0
        while own is not None and self._shares.size_of(call.caller) > own:
            evicted += self._evict(self._shares.oldest_of(call.caller))
        while len(self._entries) > self._capacity or self._shares.size > self._max_bytes:
            gone = self._shares.first_to_go(by_size=self._shares.size > self._max_bytes)
            evicted += self._evict(gone)
        self._observer.posteriors_changed(len(self._entries), evicted)
        return name if name in self._entries else ""

    def _evict(self, name: str) -> int:
        """Give an entry up; returns that it is one."""
        self._shares.remove(name)
        del self._entries[name]
        return 1

    def bundle_of(self, name: str) -> str:
        """The bundle that made what is behind an id; empty where there is nothing."""
        entry = self._entries.get(name)
        return "" if entry is None else entry[1].bundle_id

    def forget(self, bundle_id: str) -> None:
        """Give up all that a bundle made."""
        gone = [name for name, (_, face) in self._entries.items() if face.bundle_id == bundle_id]
        for name in gone:
            self._evict(name)
        self._observer.posteriors_changed(len(self._entries), 0)

    def find(self, name: str) -> CachedFace:
        """The face behind an id, which becomes the most recently used of the caller that made it.

        Raises:
            PosteriorNotFoundError: it was never here, was evicted, or is another owner's.
        """
        owner, face = self._entries.get(name, ("", None))
        found = face is not None and owner == self._call().owner
        self._observer.posterior_looked_up(found)
        if face is None or not found:
            raise PosteriorNotFoundError(
                f"posterior_id is not known to this process (or no longer: it keeps the {self._capacity} most"
                " recently used, of each caller its share, and none of a bundle that has gone); send the image again"
            )
        self._shares.touch(name)
        return face
