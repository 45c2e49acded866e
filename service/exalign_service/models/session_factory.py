"""Makes and restores the engine's sessions."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from exalign_engine.face.aligner import Aligner, LocatedFace
from exalign_engine.hmm.belief import LOG_FLOOR
from exalign_engine.hmm.chain import Chain, Emission
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking import Frame, SessionOptions, SuggestionQuery, TrackingSession


class SessionFactory:
    """Makes the engine's sessions. All of it blocks, and may be called from any thread.

    Args:
        aligner: the model.
    """

    def __init__(self, aligner: Aligner) -> None:
        self._aligner = aligner

    @cached_property
    def chain(self) -> Chain:
        """The transitions between the exemplars; built when first needed, which is slow."""
        bundle = self._aligner.bundle
        return Chain.of_exemplars(bundle.exemplars, bundle.manifest.tau)

    def warm_up(self, place: LocatedFace, row: FaceOutputs) -> None:
        """Track a face through a few frames that all look like ``row``, so that no caller waits for a compiler.

        Then the chain takes a step into a frame that shows nothing, from one that showed one exemplar; and what is said
        of a face whose other exemplars are out of the question is said.
        """
        session = self.new(SessionOptions(smoothing_lag=1, path_frames=2))
        size = (math.ceil(float(place.box[3])), math.ceil(float(place.box[2])))
        for index in range(3):
            pending = session.begin(Frame(index, size, boxes=((0, place),)))
            places = session.places(pending, ())
            session.finish(pending, [row] * len(places))
        session.close(SuggestionQuery())
        self.restore(session.encode(), session.options)
        peak = np.full(self.chain.count, LOG_FLOOR, np.float32)
        peak[0] = 0
        seen, nothing = Emission(peak), Emission(None)
        self.chain.step(self.chain.start(seen), nothing)
        self.chain.extend_path(self.chain.open_path(seen, 2), nothing)
        certain = np.zeros(self.chain.count, np.float32)
        certain[0] = 1
        _ = Posterior(self._aligner.model, certain, 1.0, held=np.zeros(1, np.int32)).effective_number

    def new(self, options: SessionOptions) -> TrackingSession:
        """A session that has seen nothing."""
        return TrackingSession(self._aligner, self.chain, options)

    def restore(self, state: bytes, options: SessionOptions, *, other_settings: bool = False) -> TrackingSession:
        """A session as it was.

        Args:
            state: encoded.
            options: of the session.
            other_settings: also one that does not go on bit for bit: it must be moved.

        Raises:
            StateError: the state is damaged, or of another version, bundle, options or settings.
        """
        return TrackingSession.decode(state, self._aligner, self.chain, options, other_settings=other_settings)
