"""The requests about faces, method by method, with every wrong field named at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from exalign.v1 import service_pb2
from exalign_engine.errors import InvalidInputError, Violation
from exalign_service.requests.evidence import (
    RequestedEvidence,
    SuggestionOptions,
    read_evidence,
    read_suggestion_options,
)
from exalign_service.requests.picture import (
    LandmarkOptions,
    Picture,
    RequestLimits,
    read_box,
    read_boxes,
    read_detection,
    read_landmark_options,
    unknown_enum,
)
from exalign_service.requests.views import (
    HeatmapOptions,
    PoseOptions,
    ViewOptions,
    read_heatmap_options,
    read_pose_options,
)

ManyFaces = service_pb2.PredictLandmarksRequest | service_pb2.PredictHeatmapsRequest | service_pb2.EstimatePoseRequest
OneFace = service_pb2.QueryConditionalRequest | service_pb2.SuggestEvidenceRequest


@dataclass(frozen=True)
class PosteriorId:
    """Names the face of an earlier answer, which the server has kept."""

    value: str


@dataclass(frozen=True)
class FacesRequest:
    """What is wanted of all faces of a picture, or of one that is kept.

    Attributes:
        source: the picture, or a posterior id.
        views: of each face.
        detect_only: stop after detection.
    """

    source: Picture | PosteriorId
    views: ViewOptions
    detect_only: bool = False


@dataclass(frozen=True)
class EvidenceRequest:
    """What is wanted of one face given evidence.

    Attributes:
        source: the picture, or a posterior id.
        evidence: to be added to what the face holds.
        views: of the face.
        include_prior: the same views without this evidence too.
        suggestion: what to suggest.
    """

    source: Picture | PosteriorId
    evidence: RequestedEvidence
    views: ViewOptions
    include_prior: bool = False
    suggestion: SuggestionOptions = field(default_factory=SuggestionOptions)


def read_predict(request: service_pb2.PredictLandmarksRequest, limits: RequestLimits) -> FacesRequest:
    """PredictLandmarks. What is wrong is told by `Picture.open_image`."""
    wrong: list[Violation] = []
    views = _views(request, limits, wrong, landmarks=True)
    if request.stop_after not in service_pb2.StopAfter.values():
        wrong.append(unknown_enum("stop_after", request.stop_after, service_pb2.StopAfter.DESCRIPTOR))
    detect_only = request.stop_after == service_pb2.STOP_AFTER_DETECTION
    if detect_only and request.boxes:
        wrong.append(Violation("stop_after", "is STOP_AFTER_DETECTION, must not be with boxes given"))
    return FacesRequest(_picture_of_faces(request, limits, wrong), views, detect_only)


def read_heatmaps(request: service_pb2.PredictHeatmapsRequest, limits: RequestLimits) -> FacesRequest:
    """PredictHeatmaps.

    Raises:
        InvalidInputError: something is wrong, and there is no picture that may be wrong as well.
    """
    wrong: list[Violation] = []
    views = _views(request, limits, wrong, heatmaps=True)
    return FacesRequest(_source_of_faces(request, limits, wrong), views)


def read_pose(request: service_pb2.EstimatePoseRequest, limits: RequestLimits) -> FacesRequest:
    """EstimatePose.

    Raises:
        InvalidInputError: as `read_heatmaps`.
    """
    wrong: list[Violation] = []
    views = _views(request, limits, wrong, pose=True)
    return FacesRequest(_source_of_faces(request, limits, wrong), views)


def read_conditional(request: service_pb2.QueryConditionalRequest, limits: RequestLimits) -> EvidenceRequest:
    """QueryConditional.

    Raises:
        InvalidInputError: as `read_heatmaps`.
    """
    wrong: list[Violation] = []
    if not request.HasField("evidence"):
        wrong.append(Violation("evidence", "is not set, must be there; it may be empty"))
    evidence = read_evidence(request.evidence, wrong)
    alone = not (request.HasField("heatmaps") or request.HasField("pose"))
    views = _views(request, limits, wrong, landmarks=alone)
    return EvidenceRequest(_source_of_one(request, limits, wrong), evidence, views, request.include_prior)


def read_suggest(request: service_pb2.SuggestEvidenceRequest, limits: RequestLimits) -> EvidenceRequest:
    """SuggestEvidence.

    Raises:
        InvalidInputError: as `read_heatmaps`.
    """
    wrong: list[Violation] = []
    evidence = read_evidence(request.evidence, wrong)
    suggestion = read_suggestion_options(request.suggestion, wrong)
    views = _views(request, limits, wrong)
    return EvidenceRequest(_source_of_one(request, limits, wrong), evidence, views, suggestion=suggestion)


def _views(
    request: ManyFaces | OneFace,
    limits: RequestLimits,
    wrong: list[Violation],
    *,
    landmarks: bool = False,
    heatmaps: bool = False,
    pose: bool = False,
) -> ViewOptions:
    """The views asked for, and those that the method gives unasked."""
    of_landmarks: LandmarkOptions | None = None
    of_heatmaps: HeatmapOptions | None = None
    of_pose: PoseOptions | None = None
    if landmarks or request.HasField("landmarks"):
        of_landmarks = read_landmark_options(request.landmarks, limits.config, wrong)
    if heatmaps or request.HasField("heatmaps"):
        of_heatmaps = read_heatmap_options(request.heatmaps, wrong)
    if pose or request.HasField("pose"):
        of_pose = read_pose_options(request.pose, wrong)
    return ViewOptions(of_landmarks, of_heatmaps, of_pose)


def _picture_of_faces(request: ManyFaces, limits: RequestLimits, wrong: list[Violation]) -> Picture:
    boxes = read_boxes(request.boxes, limits, wrong)
    detection = read_detection(request.detection, limits, wrong, ignored=bool(request.boxes))
    return Picture(request.image, boxes, detection, tuple(wrong))


def _source_of_faces(
    request: service_pb2.PredictHeatmapsRequest | service_pb2.EstimatePoseRequest,
    limits: RequestLimits,
    wrong: list[Violation],
) -> Picture | PosteriorId:
    which = request.WhichOneof("source")
    if which == "image":
        return _picture_of_faces(request, limits, wrong)
    if request.boxes:
        wrong.append(_needs_image("boxes"))
    return _posterior_id(which, request.posterior_id, wrong)


def _source_of_one(request: OneFace, limits: RequestLimits, wrong: list[Violation]) -> Picture | PosteriorId:
    which, boxed = request.WhichOneof("source"), request.HasField("box")
    if which == "image":
        box = read_box(request.box, "box", limits, wrong) if boxed else None
        detection = read_detection(request.detection, limits, wrong, ignored=boxed, one_face=True)
        return Picture(request.image, {} if box is None else {"box": box}, detection, tuple(wrong))
    if boxed:
        wrong.append(_needs_image("box"))
    return _posterior_id(which, request.posterior_id, wrong)


def _needs_image(field: str) -> Violation:
    return Violation(field, "is set, must not be without an image: a posterior_id has its box already")


def _posterior_id(which: str | None, name: str, wrong: list[Violation]) -> PosteriorId:
    if which is None:
        wrong.append(Violation("source", "is not set, must hold an image or a posterior_id"))
    elif not name:
        wrong.append(Violation("posterior_id", "is empty, must be one from an earlier answer"))
    if wrong:
        raise InvalidInputError(wrong)
    return PosteriorId(name)
