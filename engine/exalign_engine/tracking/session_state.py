"""A session's state as bytes.

    magic (8) · version (u16) · SHA-256 of the rest (32) · `Envelope` as `exalign_engine.tracking.codec` writes it

Everything that the next frame depends on is in it, every number exact, and nothing else: a session that was decoded
goes on bit for bit as the one that was encoded.

Servers of two versions of this software run side by side while one replaces the other. So a version reads the states of
the one before (`READERS`): a test holds it to that, by states that were written then.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from exalign_engine.errors import InvalidInputError
from exalign_engine.face.aligner import Aligner
from exalign_engine.hmm.chain import Chain, ChainSettings
from exalign_engine.tracking import codec
from exalign_engine.tracking.errors import StateError, StateReason
from exalign_engine.tracking.filter_step import FrameFilter
from exalign_engine.tracking.former_state import SessionState7, fields_of_7
from exalign_engine.tracking.options import SessionOptions
from exalign_engine.tracking.settings import TRACKER, TrackerSettings
from exalign_engine.tracking.track import Track

MAGIC, VERSION = b"exaltrck", 8

_HEADER = struct.Struct("<8sH32s")


@dataclass(frozen=True)
class SessionState:
    """A session between two frames.

    Attributes:
        options: of the session.
        size: (height, width) of all its pictures; None before the first.
        last_frame: index of the newest frame; −1 before the first.
        next_id: of the next track to be opened.
        recent: indices of the frames within the lag, the newest included, ascending.
        tracks: ascending by id.
        thumbnail: of the newest frame that had one (`exalign_engine.tracking.cuts`); empty before.
        search: whether the newest frame ended or lost a track, so that the detector looks at the next one.
    """

    options: SessionOptions
    size: tuple[int, int] | None = None
    last_frame: int = -1
    next_id: int = 1
    recent: tuple[int, ...] = ()
    tracks: tuple[Track, ...] = ()
    thumbnail: bytes = b""
    search: bool = False


@dataclass(frozen=True)
class Envelope:
    """What is judged before the session is read, and the session.

    Attributes:
        bundle_id: the bundle that the state was made with.
        settings: `settings_name`.
        layout: SHA-256 of `exalign_engine.tracking.codec.layout`: whether these bytes can be read at all.
        session: a `SessionState`.
    """

    bundle_id: str
    settings: bytes
    layout: bytes
    session: bytes


@dataclass(frozen=True)
class StateReader:
    """How the states of one version are read.

    Attributes:
        layout: `Envelope.layout` of that version.
        session: from `Envelope.session` and K to a session as this version has it.
        envelope: from what follows the header to the envelope.
        exact: whether a session that was read goes on bit for bit as it would have there.
    """

    layout: bytes
    session: Callable[[bytes, int], SessionState]
    envelope: Callable[[bytes], Envelope] = lambda body: codec.decode(Envelope, body, 0)
    exact: bool = True


def settings_name(aligner: Aligner, chain: Chain, tracker: TrackerSettings = TRACKER) -> bytes:
    """(32 bytes) names every constant that a state depends on beside bundle and options."""
    return _settings_name(chain.settings, chain.count, float(aligner.bundle.manifest.tau), tracker)


@cache
def _settings_name(chain: ChainSettings, count: int, tau: float, tracker: TrackerSettings) -> bytes:
    return hashlib.sha256(repr((chain, count, tau, tracker)).encode()).digest()


def layout_name(kind: type) -> bytes:
    """(32 bytes) names the form of a class's bytes."""
    return hashlib.sha256(codec.layout(kind).encode()).digest()


#: By version. A change of any class within `SessionState` is another `VERSION`: the reader of the one before then stays
#: here, with copies of the classes that have changed, in a module of its own. It may go with the next version but one.
READERS: dict[int, StateReader] = {
    7: StateReader(
        layout_name(SessionState7), lambda data, count: SessionState(**fields_of_7(data, count)), exact=False
    ),
    VERSION: StateReader(layout_name(SessionState), lambda data, count: codec.decode(SessionState, data, count)),
}


def encode(state: SessionState, aligner: Aligner, chain: Chain) -> bytes:
    """See the module."""
    session = codec.encode(SessionState, replace(state, tracks=tuple(_without_derived(t) for t in state.tracks)))
    envelope = Envelope(aligner.bundle.id, settings_name(aligner, chain), READERS[VERSION].layout, session)
    body = codec.encode(Envelope, envelope)
    return _HEADER.pack(MAGIC, VERSION, hashlib.sha256(body).digest()) + body


def decode(data: bytes, aligner: Aligner, chain: Chain, *, other_settings: bool = False) -> SessionState:
    """What `encode` wrote, in this version or one of `READERS`.

    Args:
        data: all of it.
        aligner: the same model.
        chain: the same chain.
        other_settings: read also what does not go on bit for bit: who does must say so to the caller.

    Raises:
        StateError: the data are damaged, of a version without a reader, or made with another bundle or other settings.
    """
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        raise StateError(StateReason.DAMAGED, f"{len(data)} bytes that are no session state")
    _, version, digest = _HEADER.unpack_from(data)
    reader = READERS.get(version)
    if reader is None:
        known = " and ".join(map(str, sorted(READERS)))
        raise StateError(StateReason.VERSION, f"version is {version}, this software reads {known}")
    body = data[_HEADER.size :]
    if hashlib.sha256(body).digest() != digest:
        raise StateError(StateReason.DAMAGED, "its checksum does not fit")
    try:
        envelope = reader.envelope(body)
        bundle_id = envelope.bundle_id
        if bundle_id != aligner.bundle.id:
            raise StateError(StateReason.OTHER_BUNDLE, f"was made with bundle {bundle_id}, this is {aligner.bundle.id}")
        if envelope.layout != reader.layout:
            raise StateError(StateReason.VERSION, f"has another layout than version {version} of this software")
        same = reader.exact and envelope.settings == settings_name(aligner, chain)
        if not (same or other_settings):
            raise StateError(StateReason.OTHER_SETTINGS, "was made with other settings of the chain or the tracker")
        state = reader.session(envelope.session, chain.count)
        frame_filter = FrameFilter(aligner, chain, state.options)
        return replace(state, tracks=tuple(_with_derived(frame_filter, track) for track in state.tracks))
    except (ValueError, ArithmeticError, InvalidInputError) as error:
        # The checksum fits, so these bytes were written so: by software that differs from this.
        raise StateError(StateReason.VERSION, f"holds what this software does not write: {error}") from error


def _without_derived(track: Track) -> Track:
    """A track without what `_with_derived` makes of the rest, which takes less room."""
    if not track.records:
        return track
    records = tuple(r if r.joint is None else replace(r, joint=None) for r in track.records)
    return replace(track, belief=None, records=records)


def _with_derived(frame_filter: FrameFilter, track: Track) -> Track:
    """A track with the newest record's belief, and with the emissions of frames that have evidence."""
    if not track.records:
        return track
    records = tuple(
        r
        if r.observation.evidence is None
        else replace(r, joint=frame_filter.step(track.state_before(r), r.observation).emission)
        for r in track.records
    )
    return replace(track, belief=records[-1].belief, records=records)
