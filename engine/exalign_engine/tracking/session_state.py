"""A session's state as bytes.

    magic (8) · version (u16) · SHA-256 of the rest (32) · bundle id · settings · options · the session

Everything that the next frame depends on is in it, every number exact, and nothing else: a session that was decoded
goes on bit for bit as the one that was encoded. Beliefs, emissions and paths write themselves
(`exalign_engine.hmm.chain`); they are kept in the very form that they are written in.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exalign_engine.errors import InvalidInputError
from exalign_engine.face.aligner import Aligner, LocatedFace
from exalign_engine.geometry.frames import BoxFrame
from exalign_engine.hmm.chain import Belief, Chain, Emission, LowPass, PathState
from exalign_engine.posterior.residual import REACH as SHARED_REACH
from exalign_engine.tracking.association import ASSOCIATION
from exalign_engine.tracking.binary_io import Reader, Writer
from exalign_engine.tracking.box_filter import BOX_FILTER, BoxFilter, Variances
from exalign_engine.tracking.displacement import CAUTION, OPEN_TELLING
from exalign_engine.tracking.emission_strength import (
    FADING,
    FRESH,
    FULL_TELLING,
    LAZINESS,
    LEAST_KNOWN,
    LEAST_STRENGTH,
    OPEN,
)
from exalign_engine.tracking.errors import StateError, StateReason
from exalign_engine.tracking.evidence_json import read_evidence, write_evidence
from exalign_engine.tracking.filter_step import EMISSION_MEMBERS, LEAST_REST, Joiner
from exalign_engine.tracking.motion import MOTION, Motion
from exalign_engine.tracking.options import SessionOptions, TemporalModel
from exalign_engine.tracking.temporal_mean import JUMP, REACH, Moment
from exalign_engine.tracking.track import SKETCH_DRAWS, SURE, Record, Seen, Sketch, Start, Track
from exalign_engine.tracking.visibility import VISIBILITY, TrackState, Visibility

MAGIC, VERSION = b"exaltrck", 5

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
    """

    options: SessionOptions
    size: tuple[int, int] | None = None
    last_frame: int = -1
    next_id: int = 1
    recent: tuple[int, ...] = ()
    tracks: tuple[Track, ...] = ()


def settings_name(aligner: Aligner, chain: Chain) -> str:
    """Names every constant that a state depends on beside bundle and options."""
    parts = (
        chain.settings,
        chain.count,
        aligner.bundle.manifest.tau,
        VISIBILITY,
        MOTION,
        BOX_FILTER,
        ASSOCIATION,
        EMISSION_MEMBERS,
        SKETCH_DRAWS,
        LEAST_REST,
        FULL_TELLING,
        FADING,
        FRESH,
        LEAST_KNOWN,
        LEAST_STRENGTH,
        LAZINESS,
        OPEN,
        OPEN_TELLING,
        CAUTION,
        SURE,
        REACH,
        JUMP,
        SHARED_REACH,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def encode(state: SessionState, aligner: Aligner, chain: Chain) -> bytes:
    """See the module."""
    w = Writer()
    w.text(aligner.bundle.id)
    w.text(settings_name(aligner, chain))
    _write_options(w, state.options)
    w.flag(state.size is not None)
    for side in state.size or ():
        w.integer(side)
    w.integer(state.last_frame)
    w.integer(state.next_id)
    w.integer(len(state.recent))
    for index in state.recent:
        w.integer(index)
    w.integer(len(state.tracks))
    for track in state.tracks:
        _write_track(w, track)
    body = w.bytes_of()
    return _HEADER.pack(MAGIC, VERSION, hashlib.sha256(body).digest()) + body


def decode(data: bytes, aligner: Aligner, chain: Chain) -> SessionState:
    """What `encode` wrote.

    Raises:
        StateError: the data are damaged, of another version, or made with another bundle or other settings.
    """
    if len(data) < _HEADER.size or not data.startswith(MAGIC):
        raise StateError(StateReason.DAMAGED, f"{len(data)} bytes that are no session state")
    _, version, digest = _HEADER.unpack_from(data)
    if version != VERSION:
        raise StateError(StateReason.VERSION, f"version is {version}, this software reads {VERSION}")
    body = data[_HEADER.size :]
    if hashlib.sha256(body).digest() != digest:
        raise StateError(StateReason.DAMAGED, "its checksum does not fit")
    r = Reader(body)
    bundle_id = r.text()
    if bundle_id != aligner.bundle.id:
        raise StateError(StateReason.OTHER_BUNDLE, f"was made with bundle {bundle_id}, this is {aligner.bundle.id}")
    if r.text() != settings_name(aligner, chain):
        raise StateError(StateReason.OTHER_OPTIONS, "was made with other settings of the chain or the tracker")
    try:
        return _read_session(r, aligner, chain)
    except (ValueError, InvalidInputError) as error:
        # The checksum fits, so these bytes were written so: by software that differs from this.
        raise StateError(StateReason.VERSION, f"holds what this software does not write: {error}") from error


def _read_session(r: Reader, aligner: Aligner, chain: Chain) -> SessionState:
    options = _read_options(r)
    size = (r.integer(), r.integer()) if r.flag() else None
    last_frame, next_id = r.integer(), r.integer()
    recent = tuple(r.integer() for _ in range(r.integer()))
    tracks = [_read_track(r, chain.count) for _ in range(r.integer())]
    r.close()
    joiner = Joiner(aligner, chain, options)
    return SessionState(options, size, last_frame, next_id, recent, tuple(_with_evidence(joiner, t) for t in tracks))


def _write_options(w: Writer, options: SessionOptions) -> None:
    w.text(options.temporal_model.value)
    for value in (options.smoothing_lag, options.max_faces, options.detect_every, options.path_frames):
        w.integer(value)
    w.flag(options.steadied)


def _read_options(r: Reader) -> SessionOptions:
    return SessionOptions(TemporalModel(r.text()), r.integer(), r.integer(), r.integer(), r.integer(), r.flag())


def _write_track(w: Writer, track: Track) -> None:
    w.integer(track.track_id)
    _write_visibility(w, track.visibility)
    _write_motion(w, track.motion)
    w.optional(track.boxes, lambda boxes: _write_boxes(w, boxes))
    # The newest record holds the belief already.
    w.optional(None if track.records else track.belief, lambda belief: w.blob(belief.encode()))
    w.real(track.known)
    w.halves(track.displacement)
    w.optional(track.start.belief, lambda belief: w.blob(belief.encode()))
    w.optional(track.start.motion, lambda motion: _write_motion(w, motion))
    w.integer(len(track.records))
    for record in track.records:
        _write_record(w, record)
    w.integer(len(track.settled))
    for moment in track.settled:
        _write_moment(w, moment)
    w.optional(track.path, lambda path: w.blob(path.encode()))
    w.blob(track.low_pass.encode())
    w.integer(len(track.sketches))
    for sketch in track.sketches:
        _write_sketch(w, sketch)


def _read_track(r: Reader, count: int) -> Track:
    track_id, visibility, motion = r.integer(), _read_visibility(r), _read_motion(r)
    boxes = r.optional(lambda: _read_boxes(r))
    belief = r.optional(lambda: Belief.decode(r.blob(), count))
    known, displacement = r.real(), _read_displacement(r)
    start = Start(r.optional(lambda: Belief.decode(r.blob(), count)), r.optional(lambda: _read_motion(r)))
    records = tuple(_read_record(r, count) for _ in range(r.integer()))
    settled = tuple(_read_moment(r) for _ in range(r.integer()))
    path = r.optional(lambda: PathState.decode(r.blob(), count))
    low_pass = LowPass.decode(r.blob())
    sketches = tuple(_read_sketch(r) for _ in range(r.integer()))
    belief = records[-1].belief if records else belief
    seen = visibility, motion, boxes, belief, known, displacement
    return Track(track_id, *seen, start, records, settled, path, low_pass, sketches)


def _write_record(w: Writer, record: Record) -> None:
    seen = record.seen
    w.integer(seen.index)
    w.integer(seen.gap)
    _write_located(w, seen.located)
    w.real(seen.presence)
    _write_visibility(w, seen.visibility)
    w.blob(seen.picture.encode())
    w.optional(seen.evidence, lambda evidence: w.text(write_evidence(evidence)))
    w.halves(seen.displacement)
    w.blob(record.belief.encode())
    _write_motion(w, record.motion)


def _read_record(r: Reader, count: int) -> Record:
    index, gap, located, presence = r.integer(), r.integer(), _read_located(r), r.real()
    visibility, picture = _read_visibility(r), Emission.decode(r.blob(), count)
    evidence = r.optional(lambda: read_evidence(r.text()))
    seen = Seen(index, gap, located, presence, visibility, picture, evidence, _read_displacement(r))
    return Record(seen, picture, Belief.decode(r.blob(), count), _read_motion(r))


def _with_evidence(joiner: Joiner, track: Track) -> Track:
    """Make the emissions of frames with evidence again: what they are made of is in the state, and takes less room."""
    made = [
        r if r.seen.evidence is None else replace(r, emission=joiner.join(track.start_of(r), r.seen).emission)
        for r in track.records
    ]
    return replace(track, records=tuple(made))


def _write_moment(w: Writer, moment: Moment) -> None:
    w.integer(moment.index)
    w.reals(moment.points)
    w.flag(moment.lost)


def _read_moment(r: Reader) -> Moment:
    return Moment(r.integer(), r.reals().reshape(-1, 2), r.flag())


def _write_sketch(w: Writer, sketch: Sketch) -> None:
    w.integer(sketch.index)
    w.reals(sketch.box)
    w.real(sketch.presence)
    w.blob(bytes(sketch.clicked))
    w.integers(sketch.classes)
    w.integers(sketch.counts)
    w.halves(sketch.displacement)


def _read_sketch(r: Reader) -> Sketch:
    place = r.integer(), r.reals(), r.real()
    return Sketch(*place, tuple(r.blob()), r.integers(), r.integers(), _read_displacement(r))


def _read_displacement(r: Reader) -> NDArray[np.float16]:
    return r.halves().reshape(-1, 2)


def _write_located(w: Writer, located: LocatedFace) -> None:
    w.reals(located.box)
    w.reals(located.source_box)
    w.text(located.source)
    w.flag(located.detected)
    w.optional(located.score, w.real)


def _read_located(r: Reader) -> LocatedFace:
    return LocatedFace(r.reals(), r.reals(), r.text(), r.flag(), r.optional(r.real))


def _write_visibility(w: Writer, visibility: Visibility) -> None:
    for p in visibility.probabilities:
        w.real(p)
    w.text(visibility.state.value)
    w.integer(visibility.lost_frames)


def _read_visibility(r: Reader) -> Visibility:
    return Visibility((r.real(), r.real(), r.real()), TrackState(r.text()), r.integer())


def _write_motion(w: Writer, motion: Motion) -> None:
    for value in (motion.cx, motion.cy, motion.width, motion.height, motion.vx, motion.vy):
        w.real(value)
    w.integer(motion.unseen_frames)


def _read_motion(r: Reader) -> Motion:
    return Motion(r.real(), r.real(), r.real(), r.real(), r.real(), r.real(), r.integer())


def _write_boxes(w: Writer, boxes: BoxFilter) -> None:
    frame, centre, size = boxes.frame, boxes.centre, boxes.size
    for value in (frame.cx, frame.cy, frame.side, boxes.vx, boxes.vy, boxes.growth):
        w.real(value)
    for value in (centre.place, centre.shared, centre.speed, size.place, size.shared, size.speed):
        w.real(value)


def _read_boxes(r: Reader) -> BoxFilter:
    frame = BoxFrame(r.real(), r.real(), r.real())
    speeds = r.real(), r.real(), r.real()
    centre, size = (Variances(r.real(), r.real(), r.real()) for _ in range(2))
    return BoxFilter(frame, *speeds, centre, size)
