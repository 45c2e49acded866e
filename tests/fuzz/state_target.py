"""Bytes -> the state of a session. The server keeps states itself; a store beside it would hand them over as bytes.

    byte 0: 0 the rest as it is; 1 the rest is an envelope, its checksum is made to fit; 2 the rest is the session in
    an envelope of this model, which is made to fit too

What is read must be written, and read again, alike.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from exalign_engine import Aligner
from exalign_engine.evidence.evidence import Evidence, SoftClick
from exalign_engine.hmm.chain import Chain
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.residual import ImageFeatures
from exalign_engine.tracking import Frame, SessionOptions, StateError, TrackingSession, codec
from exalign_engine.tracking.options import TemporalModel
from exalign_engine.tracking.session_state import MAGIC, VERSION, Envelope
from fuzz_target import BrokenPromiseError, Target
from service_fakes import GOOD_BOX, FakeRuntime, K, tiny_bundle

_AS_IT_IS, _ENVELOPE, _SESSION = range(3)

#: (height, width) of the pictures.
SIZE = (48, 64)


class Fuzzed(Target):
    """See the module."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "bundle").mkdir()
        self._aligner = Aligner(tiny_bundle(folder / "bundle"), FakeRuntime(), {})
        bundle = self._aligner.bundle
        self._chain = Chain.of_exemplars(bundle.exemplars, bundle.manifest.tau)
        self._envelope = codec.decode(Envelope, self._states()[0][_header().size :], K)

    def seeds(self) -> Sequence[bytes]:
        found = [bytes([_AS_IT_IS]) + state for state in self._states()]
        for state in self._states():
            body = state[_header().size :]
            found.append(bytes([_ENVELOPE]) + body)
            found.append(bytes([_SESSION]) + codec.decode(Envelope, body, K).session)
        return found

    def run(self, data: bytes) -> str:
        kind, content = (data[0] % 3, data[1:]) if data else (_AS_IT_IS, b"")
        if kind == _SESSION:
            content = codec.encode(Envelope, replace(self._envelope, session=content))
        state = content if kind == _AS_IT_IS else _sealed(content)
        try:
            session = TrackingSession.decode(state, self._aligner, self._chain)
        except StateError as e:
            return f"{e.reason.name}"
        again = session.encode()
        if TrackingSession.decode(again, self._aligner, self._chain).encode() != again:
            raise BrokenPromiseError("what is read is written otherwise the second time")
        return "read"

    def mutate(self, data: bytes, random: Random) -> bytes | None:
        """Numbers of 8 bytes at their borders, where a state has most of them; mostly, bytes are changed."""
        if len(data) < 16 or random.random() < 0.6:
            return None
        at = random.randrange(1, len(data) - 8)
        values = (0.0, -1.0, 1e300, float("nan"), float("inf"), 0.5)
        number = struct.pack("<d", random.choice(values))
        if random.random() < 0.5:
            number = struct.pack("<q", random.choice((0, -1, 1, 7, 2**31, 2**63 - 1, -(2**63))))
        return data[:at] + number + data[at + 8 :]

    def _step(self, session: TrackingSession, index: int, evidence: Sequence[tuple[int, Evidence]] = ()) -> None:
        size = session.state.size or SIZE
        place = self._aligner.place(np.array(GOOD_BOX))
        pending = session.begin(Frame(index, size, boxes=((0, place),), evidence=tuple(evidence)))
        places = session.places(pending, ())
        session.finish(pending, [_row(index) for _ in places])

    def _states(self) -> list[bytes]:
        """Of sessions of every kind, after some frames."""
        found = []
        for options in (
            SessionOptions(),
            SessionOptions(smoothing_lag=2, path_frames=3),
            SessionOptions(temporal_model=TemporalModel.LOW_PASS),
            SessionOptions(temporal_model=TemporalModel.PER_FRAME),
        ):
            session = TrackingSession(self._aligner, self._chain, options)
            found.append(session.encode())
            for index in range(4):
                click = Evidence((SoftClick(30, 25.0, 25.0, 2.0),))
                self._step(session, index, ((0, click),) if index == 2 else ())
                found.append(session.encode())
        return found


def _row(index: int) -> FaceOutputs:
    """What the network says about a crop."""
    scores = -np.abs(np.arange(K, dtype=np.float32) - index % K)
    nothing, embedding = np.zeros((2, 1, 1), np.float32), np.zeros(4, np.float32)
    return FaceOutputs(scores, nothing, embedding, ImageFeatures(embedding, nothing))


def _header() -> struct.Struct:
    return struct.Struct("<8sH32s")


def _sealed(body: bytes) -> bytes:
    return _header().pack(MAGIC, VERSION, hashlib.sha256(body).digest()) + body
