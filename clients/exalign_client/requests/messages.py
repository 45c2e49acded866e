"""From a caller's arguments to request messages; what can be seen to be wrong here never reaches the wire.

The arguments are described at the methods of `exalign_client.Client`. Every function raises InvalidRequestError,
which names all wrong arguments, and OSError where an image file cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypedDict

from exalign.v1 import evidence_pb2, face_pb2, geometry_pb2, image_pb2, service_pb2
from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.landmarks import N_LANDMARKS
from exalign_client.requests.arguments import (
    BoxInput,
    Group,
    ImageInput,
    LandmarkOrGroup,
    box_message,
    box_messages,
    group_messages,
    image_message,
    landmark_indices,
    positive_number,
    whole_in,
)
from exalign_client.requests.evidence import Constraint, evidence_message
from exalign_client.requests.views import HeatmapOptions, PoseOptions, heatmap_message, pose_message

_CRITERIA = {
    "error": evidence_pb2.SUGGESTION_CRITERION_ERROR,
    "entropy": evidence_pb2.SUGGESTION_CRITERION_ENTROPY,
}

Evidence = Constraint | Iterable[Constraint]
Criterion = Literal["error", "entropy"]


@dataclass(frozen=True)
class LandmarkOptions:
    """What to say about the landmarks, beside the points.

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


class _Source(TypedDict, total=False):
    image: image_pb2.Image | None
    posterior_id: str


def predict_request(
    image: ImageInput,
    boxes: Iterable[BoxInput] | None = None,
    *,
    detector: str | None = None,
    max_faces: int | None = None,
    top_exemplars: int | None = None,
    groups: Iterable[Group] = (),
    heatmaps: HeatmapOptions | None = None,
    pose: PoseOptions | None = None,
) -> service_pb2.PredictLandmarksRequest:
    """Build the request of `Client.predict`."""
    wrong: list[Violation] = []
    request = service_pb2.PredictLandmarksRequest(
        image=image_message(image, wrong),
        boxes=box_messages(() if boxes is None else boxes, wrong),
        detection=detection_message(detector, max_faces, wrong),
        landmarks=face_pb2.LandmarkOptions(
            top_exemplars=whole_in("top_exemplars", top_exemplars, 0, wrong), groups=group_messages(groups, wrong)
        ),
        heatmaps=heatmap_message(heatmaps, "heatmaps", wrong),
        pose=pose_message(pose, "pose", wrong),
    )
    refuse(wrong)
    return request


def heatmaps_request(
    image: ImageInput | None,
    boxes: Iterable[BoxInput] | None,
    *,
    posterior_id: str | None,
    options: HeatmapOptions | None,
    pose: PoseOptions | None,
    landmarks: LandmarkOptions | None,
    detector: str | None,
    max_faces: int | None,
) -> service_pb2.PredictHeatmapsRequest:
    """Build the request of `Client.heatmaps`."""
    wrong: list[Violation] = []
    request = service_pb2.PredictHeatmapsRequest(
        **_source(image, posterior_id, {"boxes": boxes, "detector": detector, "max_faces": max_faces}, wrong),
        boxes=box_messages(boxes or (), wrong),
        detection=detection_message(detector, max_faces, wrong),
        heatmaps=heatmap_message(options or HeatmapOptions(), "options", wrong),
        landmarks=landmarks_message(landmarks, wrong),
        pose=pose_message(pose, "pose", wrong),
    )
    refuse(wrong)
    return request


def pose_request(
    image: ImageInput | None,
    boxes: Iterable[BoxInput] | None,
    *,
    posterior_id: str | None,
    options: PoseOptions | None,
    heatmaps: HeatmapOptions | None,
    landmarks: LandmarkOptions | None,
    detector: str | None,
    max_faces: int | None,
) -> service_pb2.EstimatePoseRequest:
    """Build the request of `Client.pose`."""
    wrong: list[Violation] = []
    request = service_pb2.EstimatePoseRequest(
        **_source(image, posterior_id, {"boxes": boxes, "detector": detector, "max_faces": max_faces}, wrong),
        boxes=box_messages(boxes or (), wrong),
        detection=detection_message(detector, max_faces, wrong),
        pose=pose_message(options or PoseOptions(), "options", wrong),
        landmarks=landmarks_message(landmarks, wrong),
        heatmaps=heatmap_message(heatmaps, "heatmaps", wrong),
    )
    refuse(wrong)
    return request


def condition_request(
    image: ImageInput | None,
    evidence: Evidence,
    *,
    posterior_id: str | None,
    box: BoxInput | None,
    box_moves: bool,
    heatmaps: HeatmapOptions | None,
    pose: PoseOptions | None,
    landmarks: LandmarkOptions | None,
    include_prior: bool,
    detector: str | None,
) -> service_pb2.QueryConditionalRequest:
    """Build the request of `Client.condition`."""
    wrong: list[Violation] = []
    request = service_pb2.QueryConditionalRequest(
        **_source(image, posterior_id, {"box": box, "detector": detector}, wrong),
        box=_one_box(box, wrong),
        detection=detection_message(detector, None, wrong),
        evidence=evidence_message(evidence, box_moves, wrong),
        landmarks=landmarks_message(landmarks, wrong),
        heatmaps=heatmap_message(heatmaps, "heatmaps", wrong),
        pose=pose_message(pose, "pose", wrong),
        include_prior=include_prior,
    )
    refuse(wrong)
    return request


def suggest_request(
    image: ImageInput | None,
    evidence: Evidence,
    *,
    posterior_id: str | None,
    box: BoxInput | None,
    box_moves: bool,
    candidates: Iterable[LandmarkOrGroup],
    max_suggestions: int | None,
    criterion: Criterion,
    click_sigma: float | None,
    heatmaps: HeatmapOptions | None,
    pose: PoseOptions | None,
    landmarks: LandmarkOptions | None,
    detector: str | None,
) -> service_pb2.SuggestEvidenceRequest:
    """Build the request of `Client.suggest`."""
    wrong: list[Violation] = []
    known = evidence_message(evidence, box_moves, wrong)
    request = service_pb2.SuggestEvidenceRequest(
        **_source(image, posterior_id, {"box": box, "detector": detector}, wrong),
        box=_one_box(box, wrong),
        detection=detection_message(detector, None, wrong),
        evidence=known if known.clicks or known.regions or known.poses else None,
        suggestion=suggestion_message(
            SuggestionOptions(candidates, max_suggestions, criterion, click_sigma), "", wrong
        ),
        landmarks=landmarks_message(landmarks, wrong),
        heatmaps=heatmap_message(heatmaps, "heatmaps", wrong),
        pose=pose_message(pose, "pose", wrong),
    )
    refuse(wrong)
    return request


def exemplars_request(class_ids: Iterable[int], bundle_id: str | None) -> service_pb2.GetExemplarsRequest:
    """Build the request of `Client.exemplars`."""
    wrong: list[Violation] = []
    checked = [whole_in(f"class_ids[{index}]", number, 0, wrong) for index, number in enumerate(class_ids)]
    if not checked:
        wrong.append(Violation("class_ids", "must hold at least one"))
    refuse(wrong)
    known = [number for number in checked if number is not None]
    return service_pb2.GetExemplarsRequest(class_ids=known, bundle_id=bundle_id or "")


def _source(
    image: ImageInput | None, posterior_id: str | None, only_with_image: dict[str, object], wrong: list[Violation]
) -> _Source:
    """Either the image or the posterior id; the others of ``only_with_image`` must be None beside an id."""
    if posterior_id is None:
        if image is None:
            wrong.append(Violation("image", "give an image or a posterior_id"))
            return {}
        return {"image": image_message(image, wrong)}
    if not isinstance(posterior_id, str) or not posterior_id:
        wrong.append(Violation("posterior_id", f"{posterior_id!r} is no posterior id of an earlier answer"))
    for name, value in {"image": image, **only_with_image}.items():
        if value is not None:
            wrong.append(Violation(name, "must not be given together with a posterior_id, which names one face"))
    return {"posterior_id": posterior_id} if isinstance(posterior_id, str) else {}


def _one_box(box: BoxInput | None, wrong: list[Violation]) -> geometry_pb2.Box | None:
    return None if box is None else box_message(box, "box", wrong)


def detection_message(detector: str | None, max_faces: int | None, wrong: list[Violation]) -> face_pb2.DetectionOptions:
    """How faces are looked for."""
    limit = whole_in("max_faces", max_faces, 1, wrong)
    return face_pb2.DetectionOptions(detector=detector or "", max_faces=limit)


def landmarks_message(given: LandmarkOptions | None, wrong: list[Violation]) -> face_pb2.LandmarkOptions:
    """What to say about the landmarks."""
    options = given or LandmarkOptions()
    top = whole_in("landmarks.top_exemplars", options.top_exemplars, 0, wrong)
    inner: list[Violation] = []
    groups = group_messages(options.groups, inner)
    wrong += [Violation(f"landmarks.{v.field}", v.description) for v in inner]
    return face_pb2.LandmarkOptions(top_exemplars=top, groups=groups)


def suggestion_message(
    options: SuggestionOptions, prefix: str, wrong: list[Violation]
) -> evidence_pb2.SuggestionOptions:
    """Which click to look for; ``prefix`` stands before the names of wrong options."""
    if options.criterion not in _CRITERIA:
        wrong.append(Violation(f"{prefix}criterion", f"{options.criterion!r} is none of {', '.join(_CRITERIA)}"))
    return evidence_pb2.SuggestionOptions(
        landmarks=landmark_indices(options.candidates, f"{prefix}candidates", wrong),
        max_suggestions=whole_in(f"{prefix}max_suggestions", options.max_suggestions, 1, wrong, N_LANDMARKS),
        criterion=_CRITERIA.get(options.criterion, evidence_pb2.SUGGESTION_CRITERION_UNSPECIFIED),
        click_sigma=positive_number(options.click_sigma, f"{prefix}click_sigma", wrong),
    )


def refuse(wrong: list[Violation]) -> None:
    """Raise InvalidRequestError with all that is wrong, if anything is."""
    if wrong:
        raise InvalidRequestError(wrong)
