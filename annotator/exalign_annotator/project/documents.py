"""What is known of the faces of one picture, and the file that it is kept in.

A file is COCO keypoints, which `exalign convert` and other tools read. What COCO has no place for, such as the clicks,
stands beside it under the key ``exalign``: nothing is lost when a project is opened again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_annotator.project.evidence_json import evidence_from_json, evidence_to_json, landmarks_from_json
from exalign_client.errors import ExalignClientError
from exalign_client.formats import LabelledFace, LabelledPicture
from exalign_client.formats.coco import coco_content
from exalign_client.formats.faces import UNCERTAIN, VISIBLE, VISIBLE_FROM
from exalign_client.landmarks import N_LANDMARKS
from exalign_client.requests.arguments import Box
from exalign_client.requests.evidence import Click, Constraint

F64 = NDArray[np.float64]

#: Version of the part of a file that is ours.
FORMAT = 1


class DocumentError(ExalignClientError):
    """A file of a project cannot be understood."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says about one face, given all evidence. Pixels of the upright picture; degrees.

    Attributes:
        points: (68, 2) float64, posterior mean.
        covariances: (68, 3) float64, px²: xx, xy, yy.
        confidences: (68,) float64, probability within 5 % of the box diagonal.
        box: (4,) float64, the face box.
        presence: that there is a face, 0 to 1.
        pose: yaw, pitch, roll.
        outcome: what became of the evidence: "conditioned" or "impossible".
        surprise: of the evidence, nats; None: there was none, or it was impossible.
    """

    points: F64
    covariances: F64
    confidences: F64
    box: F64
    presence: float
    pose: tuple[float, float, float]
    outcome: str = "conditioned"
    surprise: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As the page and the files have it: pixels to a thousandth."""
        return {
            "points": self.points.round(3).tolist(),
            "covariances": self.covariances.round(4).tolist(),
            "confidences": self.confidences.round(4).tolist(),
            "box": self.box.round(3).tolist(),
            "presence": round(self.presence, 6),
            "pose": [round(angle, 3) for angle in self.pose],
            "outcome": self.outcome,
            "surprise": None if self.surprise is None else round(self.surprise, 4),
        }


@dataclass(frozen=True, eq=False)
class AnnotatedFace:
    """One face of a picture.

    Attributes:
        number: unique in the picture, and never used twice.
        source_box: what the answer began with: a detector's box, or one that was drawn.
        evidence: what a person said.
        hidden: landmarks that a person said are hidden.
        answer: what the model says.
    """

    number: int
    source_box: Box
    evidence: tuple[Constraint, ...]
    hidden: frozenset[int]
    answer: Answer

    def visibility(self) -> NDArray[np.uint8]:
        """(68,) as COCO counts it: hidden ones are uncertain, clicked ones seen; else the confidence decides."""
        seen = np.where(self.answer.confidences >= VISIBLE_FROM, VISIBLE, UNCERTAIN).astype(np.uint8)
        seen[[int(one.landmark) for one in self.evidence if isinstance(one, Click)]] = VISIBLE
        seen[sorted(self.hidden)] = UNCERTAIN
        return seen

    def labelled(self) -> LabelledFace:
        """As other tools can have it."""
        xx, xy, yy = self.answer.covariances.T
        covariances = np.stack([xx, xy, xy, yy], axis=-1).reshape(N_LANDMARKS, 2, 2)
        return LabelledFace(
            self.answer.points, self.visibility(), self.answer.box, self.answer.presence, None, covariances
        )

    def to_json(self) -> dict[str, Any]:
        """As the page and the files have it."""
        source = self.source_box
        return {
            "id": self.number,
            "source": {"box": [source.x0, source.y0, source.x1, source.y1], "detector": source.detector},
            "evidence": evidence_to_json(self.evidence),
            "hidden": sorted(self.hidden),
            **self.answer.to_json(),
        }


@dataclass(frozen=True)
class FrameEvidence:
    """What a person said of the face in one frame of a video.

    Attributes:
        evidence: constraints.
        hidden: landmarks that are hidden.
    """

    evidence: tuple[Constraint, ...] = ()
    hidden: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Document:
    """What is known of one picture, or what a person said of one video.

    Attributes:
        name: of the item.
        size: width and height of the upright picture, pixels; None: it was never looked at.
        faces: those in it.
        revision: counts what was saved; 0: nothing yet.
        done: whether a person said so.
        next_number: of the next face.
        frames: of a video: evidence by the number of its frame.
    """

    name: str
    size: tuple[int, int] | None = None
    faces: tuple[AnnotatedFace, ...] = field(default=())
    revision: int = 0
    done: bool = False
    next_number: int = 1
    frames: Mapping[int, FrameEvidence] = field(default_factory=dict)

    def face(self, number: int) -> AnnotatedFace | None:
        """The face of a number; None: it is not here."""
        return next((face for face in self.faces if face.number == number), None)

    def labelled(self) -> LabelledPicture:
        """As other tools can have it."""
        return LabelledPicture(self.name, self.size, tuple(face.labelled() for face in self.faces))

    def to_json(self) -> dict[str, Any]:
        """As the page has it."""
        return {
            "name": self.name,
            "size": None if self.size is None else list(self.size),
            "faces": [face.to_json() for face in self.faces],
            "revision": self.revision,
            "done": self.done,
            "frames": [_frame_json(number, one) for number, one in sorted(self.frames.items())],
        }


def _frame_json(number: int, one: FrameEvidence) -> dict[str, Any]:
    return {"frame": number, "evidence": evidence_to_json(one.evidence), "hidden": sorted(one.hidden)}


def document_text(document: Document) -> str:
    """The file of a document."""
    content = coco_content([document.labelled()])
    for annotation, face in zip(content["annotations"], document.faces, strict=True):
        annotation["exalign"] = face.to_json()
    content["exalign"] = {
        "format": FORMAT,
        "revision": document.revision,
        "done": document.done,
        "next_number": document.next_number,
        "frames": document.to_json()["frames"],
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def document_from(text: str, name: str) -> Document:
    """Read the file of a document.

    Raises:
        DocumentError: it is none.
    """
    try:
        content = json.loads(text)
        ours = content["exalign"]
        if ours["format"] != FORMAT:
            raise DocumentError(f"{name}: is of format {ours['format']}, this version reads {FORMAT}")
        (image,) = content["images"]
        size = (int(image["width"]), int(image["height"])) if "width" in image else None
        faces = tuple(_face(annotation["exalign"]) for annotation in content["annotations"])
        frames = {
            int(one["frame"]): FrameEvidence(
                evidence_from_json(one["evidence"]), landmarks_from_json(one["hidden"], "hidden")
            )
            for one in ours["frames"]
        }
        revision, number = int(ours["revision"]), int(ours["next_number"])
        return Document(name, size, faces, revision, bool(ours["done"]), number, frames)
    except DocumentError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ExalignClientError) as error:
        raise DocumentError(f"{name}: is no annotation file of this tool: {type(error).__name__} {error}") from None


def _face(value: Mapping[str, Any]) -> AnnotatedFace:
    source = value["source"]
    return AnnotatedFace(
        number=int(value["id"]),
        source_box=box_of(source["box"], str(source["detector"])),
        evidence=evidence_from_json(value["evidence"]),
        hidden=landmarks_from_json(value["hidden"], "hidden"),
        answer=answer_from(value),
    )


def box_of(edges: Sequence[float] | F64, detector: str = "") -> Box:
    """A box of four edges, x0, y0, x1, y1, pixels to a thousandth: it names a posterior, before and after a file."""
    x0, y0, x1, y1 = (round(float(edge), 3) for edge in edges)
    return Box(x0, y0, x1, y1, detector)


def answer_from(value: Mapping[str, Any]) -> Answer:
    """Read an answer as `Answer.to_json` writes it.

    Raises:
        ValueError: an array has another shape, or a number is not finite.
        KeyError: something is absent.
    """
    yaw, pitch, roll = (float(angle) for angle in value["pose"])
    return Answer(
        points=_array(value["points"], (N_LANDMARKS, 2)),
        covariances=_array(value["covariances"], (N_LANDMARKS, 3)),
        confidences=_array(value["confidences"], (N_LANDMARKS,)),
        box=_array(value["box"], (4,)),
        presence=float(value["presence"]),
        pose=(yaw, pitch, roll),
        outcome=str(value["outcome"]),
        surprise=None if value["surprise"] is None else float(value["surprise"]),
    )


def _array(value: Sequence[Any], shape: tuple[int, ...]) -> F64:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"an array has the shape {array.shape} instead of {shape}, or holds what is no number")
    return array
