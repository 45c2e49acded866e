"""The parts that several request messages share: source, detection, landmarks, suggestion.

The arguments are described at the methods of `exalign_client.Client`. Each function adds what is wrong to a collector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

from exalign.v1 import evidence_pb2, face_pb2, geometry_pb2, image_pb2
from exalign_client.errors import Violations
from exalign_client.landmarks import N_LANDMARKS
from exalign_client.requests.arguments import (
    BoxInput,
    Group,
    ImageInput,
    LandmarkOrGroup,
    box_message,
    group_messages,
    image_message,
    kind_of,
    landmark_indices,
    positive_number,
    text,
    whole_in,
)
from exalign_client.requests.evidence import Constraint

_CRITERIA = {
    "error": evidence_pb2.SUGGESTION_CRITERION_ERROR,
    "entropy": evidence_pb2.SUGGESTION_CRITERION_ENTROPY,
}

Evidence = Constraint | Iterable[Constraint]
Criterion = Literal["error", "entropy"]


@dataclass(frozen=True)
class LandmarkOptions:
    """What to report about the landmarks, beside the points.

    Args:
        top_exemplars: how many of the most probable exemplars to name, ≥ 0; None: the server's choice.
        groups: groups whose uncertainty as a whole is wanted: names ("jaw", "brows", "nose", "eyes", "mouth",
            "all") or lists of 0-based landmarks.
    """

    top_exemplars: int | None = None
    groups: Iterable[Group] = ()


@dataclass(frozen=True)
class SuggestionOptions:
    """Which click to look for.

    Args:
        candidates: landmarks and groups to choose from; empty: all that are not yet clicked.
        max_suggestions: at most so many, 1 to 68; None: the server's choice.
        criterion: rank by the expected drop in "error" (pixels) or in "entropy" (nats).
        click_sigma: standard deviation of the coming click, pixels a coordinate, > 0; None: 1 % of the face box's
            diagonal.
    """

    candidates: Iterable[LandmarkOrGroup] = ()
    max_suggestions: int | None = None
    criterion: Criterion = "error"
    click_sigma: float | None = None


class Source(TypedDict, total=False):
    """The fields of a request that name its face: one of the two, or none where both are wrong."""

    image: image_pb2.Image | None
    posterior_id: str


def source_fields(
    image: ImageInput | None, posterior_id: str | None, only_with_image: Mapping[str, object], wrong: Violations
) -> Source:
    """Either the image or the posterior id; the others of ``only_with_image`` must be None beside an id.

    Raises:
        OSError: the image file cannot be read.
    """
    if posterior_id is None:
        if image is None:
            wrong.at("image").add("give an image or a posterior_id")
            return {}
        return {"image": image_message(image, wrong.at("image"))}
    if not isinstance(posterior_id, str) or not posterior_id:
        wrong.at("posterior_id").add(f"{posterior_id!r} is no posterior id of an earlier answer")
    for name, value in {"image": image, **only_with_image}.items():
        if value is not None:
            wrong.at(name).add("must not be given together with a posterior_id, which names one face")
    return {"posterior_id": posterior_id} if isinstance(posterior_id, str) else {}


def one_box_message(box: BoxInput | None, wrong: Violations) -> geometry_pb2.Box | None:
    """The box of the one face that a call is about; None where it is absent or wrong."""
    return None if box is None else box_message(box, wrong.at("box"))


def detection_message(detector: str | None, max_faces: int | None, wrong: Violations) -> face_pb2.DetectionOptions:
    """How faces are detected."""
    limit = whole_in(max_faces, 1, wrong.at("max_faces"))
    return face_pb2.DetectionOptions(detector=text(detector, wrong.at("detector")), max_faces=limit)


def landmarks_message(options: LandmarkOptions, wrong: Violations) -> face_pb2.LandmarkOptions:
    """What to report about the landmarks."""
    hint = ", which says what to report; the landmarks of heatmaps are those of options=HeatmapOptions(landmarks=...)"
    if kind_of(options, LandmarkOptions, wrong, hint) is None:
        return face_pb2.LandmarkOptions()
    return face_pb2.LandmarkOptions(
        top_exemplars=whole_in(options.top_exemplars, 0, wrong.at("top_exemplars")),
        groups=group_messages(options.groups, wrong.at("groups")),
    )


def suggestion_message(options: SuggestionOptions, wrong: Violations) -> evidence_pb2.SuggestionOptions:
    """Which click to look for."""
    if kind_of(options, SuggestionOptions, wrong) is None:
        return evidence_pb2.SuggestionOptions()
    criterion = options.criterion if isinstance(options.criterion, str) else ""
    if criterion not in _CRITERIA:
        wrong.at("criterion").add(f"{options.criterion!r} is none of {', '.join(_CRITERIA)}")
    return evidence_pb2.SuggestionOptions(
        landmarks=landmark_indices(options.candidates, wrong.at("candidates")),
        max_suggestions=whole_in(options.max_suggestions, 1, wrong.at("max_suggestions"), N_LANDMARKS),
        criterion=_CRITERIA.get(criterion, evidence_pb2.SUGGESTION_CRITERION_UNSPECIFIED),
        click_sigma=positive_number(options.click_sigma, wrong.at("click_sigma")),
    )
