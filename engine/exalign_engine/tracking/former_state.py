"""Session states of the version before, 7: the classes that have changed since, as they were, and what becomes of them.

That a crop seen again is no second measurement came with version 8. A session of before goes on by other rules than
there: so it must be moved.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from exalign_engine.arrays import F16
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.face.aligner import LocatedFace
from exalign_engine.hmm.chain import Belief, Emission, LowPass, PathState
from exalign_engine.tracking import codec
from exalign_engine.tracking.box_filter import BoxFilter
from exalign_engine.tracking.motion import Motion
from exalign_engine.tracking.options import SessionOptions
from exalign_engine.tracking.temporal_mean import TrackPoint
from exalign_engine.tracking.track import FilterState, Observation, PosteriorSample, Record, Track
from exalign_engine.tracking.visibility import Visibility


@dataclass(frozen=True)
class _Motion:
    cx: float
    cy: float
    width: float
    height: float
    vx: float
    vy: float
    unseen_frames: int
    seen: tuple[float, float, float, float] | None
    rested: int


@dataclass(frozen=True)
class _Observation:
    index: int
    gap: int
    located: LocatedFace
    presence: float
    visibility: Visibility
    picture: Emission
    evidence: Evidence | None
    displacement: F16
    anew: bool
    meeting: bool


@dataclass(frozen=True)
class _Record:
    observation: _Observation
    belief: Belief
    motion: _Motion
    joint: Emission | None


@dataclass(frozen=True)
class _FilterState:
    belief: Belief | None
    motion: _Motion | None


@dataclass(frozen=True)
class _Track:
    track_id: int
    visibility: Visibility
    motion: _Motion
    boxes: BoxFilter | None
    belief: Belief | None
    memory: float
    displacement: F16
    start: _FilterState
    records: tuple[_Record, ...]
    settled: tuple[TrackPoint, ...]
    path: PathState | None
    low_pass: LowPass
    samples: tuple[PosteriorSample, ...]
    apart: int
    shape: F16


@dataclass(frozen=True)
class SessionState7:
    """A session between two frames, as version 7 wrote it: see `SessionState`."""

    options: SessionOptions
    size: tuple[int, int] | None
    last_frame: int
    next_id: int
    recent: tuple[int, ...]
    tracks: tuple[_Track, ...]
    thumbnail: bytes
    search: bool


def fields_of_7(data: bytes, count: int) -> dict[str, Any]:
    """The fields of today's `SessionState` from a session that version 7 wrote.

    Args:
        data: all of it.
        count: K.

    Raises:
        StateError: the data are damaged.
    """
    old = codec.decode(SessionState7, data, count)
    return {**_fields(old), "tracks": tuple(map(_track, old.tracks))}


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _motion(old: _Motion) -> Motion:
    return Motion(**{**_fields(old), "rested": old.rested > 0})


def _record(old: _Record) -> Record:
    observation = Observation(**_fields(old.observation))
    return Record(**{**_fields(old), "observation": observation, "motion": _motion(old.motion)})


def _track(old: _Track) -> Track:
    before = old.start.motion
    found: dict[str, Any] = {
        **_fields(old),
        "motion": _motion(old.motion),
        "start": FilterState(old.start.belief, None if before is None else _motion(before)),
        "records": tuple(map(_record, old.records)),
        "said": b"",
    }
    return Track(**found)
