"""The answers about a video, kept beside what a person said of it: COCO with an image a frame."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from exalign.output_files import write_file
from exalign_annotator.project.documents import (
    AnnotatedFace,
    Answer,
    Document,
    DocumentError,
    FrameEvidence,
    answer_from,
    box_of,
)
from exalign_client.errors import ExalignClientError
from exalign_client.formats import LabelledFace, LabelledPicture
from exalign_client.formats.coco import coco_content
from exalign_client.formats.faces import UNCERTAIN


@dataclass(frozen=True, eq=False)
class FrameAnswer:
    """The face in one frame.

    Attributes:
        time: of the frame, seconds.
        state: "visible", "hidden" or "lost".
        answer: of the face, given the whole video; None: there is none.
    """

    time: float
    state: str
    answer: Answer | None

    @property
    def uncertainty(self) -> float | None:
        """Mean standard deviation of a landmark in the plane, in shares of the box's diagonal."""
        if self.answer is None:
            return None
        x0, y0, x1, y1 = self.answer.box
        spread = np.sqrt(self.answer.covariances[:, 0] + self.answer.covariances[:, 2]).mean()
        return float(spread / max(np.hypot(x1 - x0, y1 - y0), 1e-9))


@dataclass(frozen=True)
class KeyFrame:
    """A click that would help the whole video: landmark, frame, and the expected drop of the error, pixels."""

    frame: int
    landmark: int
    error_reduction: float


@dataclass(frozen=True, eq=False)
class Track:
    """The answers about a video.

    Attributes:
        revision: of the evidence that they rest on.
        size: of a frame, pixels.
        frames: one a frame.
        suggestions: clicks that would help most, best first.
    """

    revision: int
    size: tuple[int, int]
    frames: tuple[FrameAnswer, ...]
    suggestions: tuple[KeyFrame, ...]

    def face(self, frame: int, said: FrameEvidence) -> AnnotatedFace | None:
        """The face of a frame, with what was said of it; None: there is none."""
        answer = self.frames[frame].answer
        if answer is None:
            return None
        return AnnotatedFace(1, box_of(answer.box), said.evidence, said.hidden, answer)

    def labelled(self, document: Document) -> list[LabelledPicture]:
        """As other tools can have it: a face that is hidden is uncertain as a whole, a lost one is none."""
        found = []
        for number, frame in enumerate(self.frames):
            face = self.face(number, document.frames.get(number, FrameEvidence()))
            faces: tuple[LabelledFace, ...] = ()
            if face is not None and frame.state != "lost":
                labelled = replace(face.labelled(), track_id=1)
                if frame.state == "hidden":
                    labelled = replace(labelled, visibility=np.minimum(labelled.visibility, UNCERTAIN))
                faces = (labelled,)
            found.append(LabelledPicture(document.name, self.size, faces, number, frame.time))
        return found


def track_file(folder: Path, name: str) -> Path:
    """Where the answers about a video are kept."""
    return folder / f"{name}.frames.json"


def save_track(folder: Path, document: Document, track: Track) -> None:
    """Write the answers.

    Raises:
        OSError: they cannot be written.
    """
    content = coco_content(track.labelled(document))
    content["exalign"] = {
        "revision": track.revision,
        "size": list(track.size),
        "frames": [
            {
                "time": round(frame.time, 6),
                "state": frame.state,
                "answer": None if frame.answer is None else frame.answer.to_json(),
            }
            for frame in track.frames
        ],
        "suggestions": [vars(one) for one in track.suggestions],
    }
    write_file(track_file(folder, document.name), json.dumps(content, ensure_ascii=False, allow_nan=False))


def load_track(folder: Path, name: str) -> Track | None:
    """The answers; None where there are none.

    Raises:
        DocumentError: the file is none of ours.
        OSError: it cannot be read.
    """
    file = track_file(folder, name)
    try:
        ours: Mapping[str, Any] = json.loads(file.read_bytes())["exalign"]
        width, height = ours["size"]
        return Track(
            int(ours["revision"]),
            (int(width), int(height)),
            tuple(_frame(one) for one in ours["frames"]),
            tuple(
                KeyFrame(int(one["frame"]), int(one["landmark"]), float(one["error_reduction"]))
                for one in ours["suggestions"]
            ),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ExalignClientError) as error:
        raise DocumentError(f"{file.name}: holds no answers of this tool: {type(error).__name__} {error}") from None


def _frame(value: Mapping[str, Any]) -> FrameAnswer:
    answer: Sequence[Any] | Mapping[str, Any] | None = value["answer"]
    found = None if answer is None else answer_from(value["answer"])
    return FrameAnswer(float(value["time"]), str(value["state"]), found)
