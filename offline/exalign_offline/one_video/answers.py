"""From the engine's answers to the client's: a line of JSON is that of ``exalign track --json``, to the last digit.

What only a server could say (session, latency, timing, durable, skipped frames) is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from exalign_client.errors import Violation
from exalign_client.formats import LabelledFace, LabelledPicture, labelled_face
from exalign_client.json_form import float32_decimal
from exalign_client.results.faces import BoxSource, ExemplarProbability, Face
from exalign_client.track.results import Track, TrackState
from exalign_engine.face.aligner import FACE_BOX, LocatedFace
from exalign_engine.tracking.answers import TRACK_BOX, FrameAnswer, RevisionAnswer, TrackAnswer

F32 = NDArray[np.float32]

#: Exemplars that are named of each face: what a server names unless it is asked for another number.
TOP_EXEMPLARS = 5


@dataclass
class OpenFrame:
    """A frame that later ones may still revise.

    Attributes:
        index: of the frame.
        time: its presentation time, seconds.
        problems: why its picture was not used.
        through: newest frame that its tracks take into account.
        tracks: by id: the engine's, or JSON where they come from a checkpoint.
    """

    index: int
    time: float
    problems: tuple[Violation, ...]
    through: int
    tracks: dict[int, TrackAnswer | str] = field(default_factory=dict)

    @classmethod
    def of(cls, answer: FrameAnswer, time: float, problems: tuple[Violation, ...]) -> OpenFrame:
        """As it was answered."""
        tracks: dict[int, TrackAnswer | str] = {track.track_id: track for track in answer.tracks}
        return cls(answer.frame_index, time, problems, answer.frame_index, tracks)

    def revise(self, revision: RevisionAnswer) -> None:
        """Put a better answer in its place."""
        self.tracks.update({track.track_id: track for track in revision.tracks})
        self.through = revision.through_frame

    def line(self, video: str, bundle_id: str) -> bytes:
        """The line of JSON, in UTF-8; a video's name that is no text is escaped."""
        content = {
            "frame_index": self.index,
            "media_time": self.time,
            "tracks": [orjson.Fragment(_json(self.tracks[number])) for number in sorted(self.tracks)],
            "problems": self.problems,
            "through_frame": self.through,
            "bundle_id": bundle_id,
        }
        return b'{"video":%s,%s\n' % (json.dumps(video).encode("ascii"), orjson.dumps(content)[1:])

    def kept(self) -> dict[str, Any]:
        """For a checkpoint: plain values. Tracks are JSON already: it is that of their line, to the byte."""
        tracks = {str(number): _json(track) for number, track in self.tracks.items()}
        problems = [asdict(problem) for problem in self.problems]
        return {"index": self.index, "time": self.time, "problems": problems, "through": self.through, "tracks": tracks}

    @classmethod
    def of_kept(cls, kept: dict[str, Any]) -> OpenFrame:
        """Back from `kept`."""
        problems = tuple(Violation(**problem) for problem in kept["problems"])
        tracks: dict[int, TrackAnswer | str] = {int(number): track for number, track in kept["tracks"].items()}
        return cls(kept["index"], kept["time"], problems, kept["through"], tracks)


def _json(track: TrackAnswer | str) -> str:
    """A track in its line."""
    if isinstance(track, str):
        return track
    # Its library has the shortest decimals of 32-bit floats; a face has hundreds of them.
    return orjson.dumps(track_of(track), option=orjson.OPT_SERIALIZE_NUMPY).decode("ascii")


def track_of(answer: TrackAnswer) -> Track:
    """A track as a client has it from a server: every number rounded as the contract rounds it."""
    given = answer.given
    face, posterior = given.face.compute(), given.face.posterior
    located = face.located
    xx, xy, yy = face.covariance.astype(np.float32).T
    cut = min(float(np.float32(posterior.cut_mass)) + answer.cut_mass, 1.0)
    return Track(
        track_id=answer.track_id,
        state=TrackState(answer.state.value),
        visible_probability=float32_decimal(answer.visible_probability),
        lost_probability=float32_decimal(answer.lost_probability),
        face=Face(
            box=_float32(given.box),
            box_source=_source(located),
            source_box=_float32(located.source_box),
            source_detector="" if located.source in (FACE_BOX, TRACK_BOX) else located.source,
            detector_score=None if located.score is None else float32_decimal(located.score),
            presence=float32_decimal(face.presence),
            landmarks=_float32(face.landmarks),
            covariances=np.stack([xx, xy, xy, yy], axis=-1).reshape(-1, 2, 2),
            confidences=_float32(face.confidence),
            map_landmarks=_float32(face.map_landmarks),
            map_class_id=face.map_exemplar,
            entropy=float32_decimal(posterior.entropy),
            effective_exemplars=float32_decimal(posterior.effective_number),
            cut_mass=float32_decimal(cut),
            top_exemplars=tuple(
                ExemplarProbability(number, float32_decimal(p)) for number, p in posterior.top(TOP_EXEMPLARS)
            ),
            groups=(),
            posterior_id=None,
            occluded_probabilities=None if face.occluded is None else _float32(face.occluded),
        ),
        evidence_outcome=None,
        surprise=None,
    )


def pictures_in(lines: Path, video: str, size: tuple[int, int] | None) -> Iterator[LabelledPicture]:
    """The frames of a file of lines, as other formats have them.

    Args:
        lines: JSON lines.
        video: file name of the video.
        size: width and height of its frames; None: not known.
    """
    with lines.open("rb") as file:
        for line in file:
            frame = json.loads(line)
            faces = tuple(_labelled(track) for track in frame["tracks"] if track["state"] != TrackState.LOST)
            yield LabelledPicture(video, size, faces, frame["frame_index"], frame["media_time"])


def _labelled(track: dict[str, Any]) -> LabelledFace:
    face: dict[str, Any] = track["face"]
    fields: dict[str, Any] = {
        n: _float32(value) if n in _ARRAYS and value is not None else value for n, value in face.items()
    }
    hidden = track["state"] == TrackState.HIDDEN
    return labelled_face(Face(**fields), hidden=hidden, track_id=track["track_id"])


_ARRAYS = ("box", "source_box", "landmarks", "covariances", "confidences", "map_landmarks", "occluded_probabilities")


def _float32(values: Sequence[Any] | NDArray[np.float64]) -> F32:
    return np.asarray(values, dtype=np.float32)


def _source(located: LocatedFace) -> BoxSource:
    if located.source == TRACK_BOX:
        return BoxSource.TRACK
    return BoxSource.DETECTOR if located.detected else BoxSource.CALLER
