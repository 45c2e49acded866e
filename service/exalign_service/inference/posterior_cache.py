"""What is kept of a face behind its posterior id, so that a later call needs no image.

An entry holds the network's probabilities and the evidence. Moments, heatmaps and conditioned posteriors are computed
from it when they are needed. They equal those of an answer from the image, unless the network's graph made that
answer's sums (``--sums device``): these are not kept, and the host's own differ from them in the last digits.

A whole entry takes 4 bytes an exemplar (135 kB at K = 33,736, 573 kB at K = 143,378). Where the model has a residual,
it also takes 200 kB of the network's maps, from which the displacement is found again. Whole entries have half of the
room. Those that were not used for longest keep only the network's crop, 38 kB: whoever asks for one waits for the
network, which answers the same bits, and then it is whole again (docs/decisions/memory.md). Entries of one face with
different evidence share all but the evidence; each is counted as if it shared nothing.

Callers share the room: where it is full, the caller that keeps most gives up what it has not used for longest. An entry
counts for the caller that made it. Where callers have names (`Call.owner`), nobody else finds it; otherwise whoever has
its id does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import U8
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
        probabilities: (K,) float32, the network's posterior; None where only the crop is kept.
        presence: calibrated probability that there is a face in the crop at all.
        image: what the displacement is found from; None where the model displaces nothing.
        evidence: image frame, pixels; empty where the posterior is the network's own.
        bundle_id: of the model that made it.
        crop: (S, S, 3) uint8 that the network saw; None: the probabilities cannot be found again.
    """

    located: LocatedFace
    probabilities: NDArray[np.float32] | None
    presence: float
    image: ImageFeatures | None = None
    evidence: Evidence = field(default_factory=Evidence)
    bundle_id: str = ""
    crop: U8 | None = None

    @classmethod
    def of(cls, face: Face, bundle_id: str, crop: U8) -> CachedFace:
        """What is kept of a face that the network has just scored, by this crop."""
        posterior = face.posterior
        image = _image_kept(posterior)
        return cls(face.located, posterior.probabilities, posterior.presence, image, bundle_id=bundle_id, crop=crop)

    def reduced(self) -> CachedFace | None:
        """What the network finds again left out; None where nothing can be, or it would gain nothing."""
        if self.crop is None or self.probabilities is None or self.size_bytes <= _ENTRY + 2 * self.crop.nbytes:
            return None
        return replace(self, probabilities=None, image=None)

    def scored(self, posterior: Posterior) -> CachedFace:
        """Whole again, from what the network says about the crop."""
        return replace(self, probabilities=posterior.probabilities, image=_image_kept(posterior))

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory, as if it shared nothing."""
        arrays = sum(array.nbytes for array in (self.probabilities, self.crop) if array is not None)
        if self.image is not None:
            arrays += self.image.embedding.nbytes + self.image.local.nbytes
        evidence = self.evidence
        constraints = len(evidence.clicks) + len(evidence.regions) + len(evidence.poses)
        corners = sum(len(r.region.vertices) for r in evidence.regions if isinstance(r.region, Polygon))
        return _ENTRY + arrays + _CONSTRAINT * constraints + _CORNER * corners

    def face(self, model: PosteriorModel) -> Face:
        """The face as the network saw it, before any evidence; its numbers are computed anew when they are read.

        Raises:
            ValueError: only the crop is kept.
        """
        if self.probabilities is None:
            raise ValueError("only the crop of this face is kept: the network has to score it first")
        return Face(self.located, Posterior(model, self.probabilities, self.presence, image=self.image))


def _image_kept(posterior: Posterior) -> ImageFeatures | None:
    image = None if posterior.model.displacer is None else posterior.image
    # Rows of a batch: kept as they are, they would keep all of it.
    return None if image is None else ImageFeatures(image.embedding.copy(), image.local.copy())


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
        max_bytes: what they may take, bytes, whole ones half of it; an entry that is larger by itself is not kept.
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
        #: Those of which more than the crop is kept, and could be left out.
        self._whole = CallerShares()
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
        self._make_room(name, call.caller)
        return name if name in self._entries else ""

    def restore(self, name: str, face: CachedFace) -> None:
        """An entry of which only the crop was kept is whole again; nothing happens where it has gone meanwhile.

        Args:
            name: its id.
            face: of it, see `CachedFace.scored`.
        """
        entry = self._entries.get(name)
        if entry is None or entry[1].probabilities is not None:
            return
        self._entries[name] = entry[0], face
        self._shares.resize(name, face.size_bytes)
        self._make_room(name, self._shares.caller_of(name))

    def _make_room(self, name: str, caller: str) -> None:
        """Reduce entries, then give some up, for one that is whole; itself where it needs more than there is."""
        face, own, evicted = self._entries[name][1], self.max_bytes_per_caller, 0
        if face.reduced() is not None:
            self._whole.add(name, caller, face.size_bytes)
        while own is not None and self._whole.size_of(caller) > own // 2:
            self._reduce(self._whole.oldest_of(caller))
        while self._whole.size > self._max_bytes // 2:
            self._reduce(self._whole.first_to_go(by_size=True))
        while own is not None and self._shares.size_of(caller) > own:
            evicted += self._evict(self._shares.oldest_of(caller))
        while len(self._entries) > self._capacity or self._shares.size > self._max_bytes:
            evicted += self._evict(self._shares.first_to_go(by_size=self._shares.size > self._max_bytes))
        self._observer.posteriors_changed(len(self._entries), evicted)

    def _reduce(self, name: str) -> None:
        self._whole.remove(name)
        owner, face = self._entries[name]
        reduced = face.reduced()
        assert reduced is not None  # noqa: S101  # else it is not among them
        self._entries[name] = owner, reduced
        self._shares.resize(name, reduced.size_bytes)

    def _evict(self, name: str) -> int:
        """Give an entry up; returns that it is one."""
        self._shares.remove(name)
        self._whole.remove(name)
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
        if name in self._whole:
            self._whole.touch(name)
        return face
