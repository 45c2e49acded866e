"""The requests of the unary methods, as checked values. One error names every wrong field."""

from __future__ import annotations

from dataclasses import dataclass, field

from exalign.v1 import service_pb2
from exalign_engine.errors import Violations
from exalign_service.requests.answer_size import AnswerSize, answer_size
from exalign_service.requests.enums import add_unknown_enum
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
    """A request about all faces of a picture, or about one that is kept.

    Attributes:
        source: the picture, or a posterior id.
        views: of each face.
        size: of the answer about each face.
        detect_only: stop after detection.
    """

    source: Picture | PosteriorId
    views: ViewOptions
    size: AnswerSize
    detect_only: bool = False


@dataclass(frozen=True)
class EvidenceRequest:
    """A request about one face given evidence.

    Attributes:
        source: the picture, or a posterior id.
        evidence: to be added to what the face holds.
        views: of the face.
        size: of the answer about a face.
        include_prior: the same views without this evidence too.
        suggestion: what to suggest.
    """

    source: Picture | PosteriorId
    evidence: RequestedEvidence
    views: ViewOptions
    size: AnswerSize
    include_prior: bool = False
    suggestion: SuggestionOptions = field(default_factory=SuggestionOptions)


def read_predict(request: service_pb2.PredictLandmarksRequest, limits: RequestLimits) -> FacesRequest:
    """PredictLandmarks. `Picture` raises what is wrong, once the picture is checked too."""
    violations = Violations()
    views = _views(request, limits, violations, landmarks=True)
    if request.stop_after not in service_pb2.StopAfter.values():
        add_unknown_enum(violations, "stop_after", request.stop_after, service_pb2.StopAfter.DESCRIPTOR)
    detect_only = request.stop_after == service_pb2.STOP_AFTER_DETECTION
    if detect_only and request.boxes:
        violations.add("stop_after", "is STOP_AFTER_DETECTION, must not be with boxes given")
    size = answer_size(views, limits.config.max_answer_bytes)
    return FacesRequest(_picture_of_faces(request, size, limits, violations), views, size, detect_only)


def read_heatmaps(request: service_pb2.PredictHeatmapsRequest, limits: RequestLimits) -> FacesRequest:
    """PredictHeatmaps.

    Raises:
        InvalidInputError: something is wrong, and there is no picture that may be wrong as well.
    """
    violations = Violations()
    views = _views(request, limits, violations, heatmaps=True)
    size = answer_size(views, limits.config.max_answer_bytes)
    return FacesRequest(_source_of_faces(request, size, limits, violations), views, size)


def read_pose(request: service_pb2.EstimatePoseRequest, limits: RequestLimits) -> FacesRequest:
    """EstimatePose.

    Raises:
        InvalidInputError: as `read_heatmaps`.
    """
    violations = Violations()
    views = _views(request, limits, violations, pose=True)
    size = answer_size(views, limits.config.max_answer_bytes)
    return FacesRequest(_source_of_faces(request, size, limits, violations), views, size)


def read_conditional(request: service_pb2.QueryConditionalRequest, limits: RequestLimits) -> EvidenceRequest:
    """QueryConditional.

    Raises:
        InvalidInputError: as `read_heatmaps`.
    """
    violations = Violations()
    if not request.HasField("evidence"):
        violations.add("evidence", "is not set, must be there; it may be empty")
    evidence = read_evidence(request.evidence, violations)
    alone = not (request.HasField("heatmaps") or request.HasField("pose"))
    views = _views(request, limits, violations, landmarks=alone)
    size = answer_size(views, limits.config.max_answer_bytes)
    size.add_violation(2 if request.include_prior else 1, violations)
    return EvidenceRequest(_source_of_one(request, limits, violations), evidence, views, size, request.include_prior)


def read_suggest(request: service_pb2.SuggestEvidenceRequest, limits: RequestLimits) -> EvidenceRequest:
    """SuggestEvidence.

    Raises:
        InvalidInputError: as `read_heatmaps`.
    """
    violations = Violations()
    evidence = read_evidence(request.evidence, violations)
    suggestion = read_suggestion_options(request.suggestion, violations)
    views = _views(request, limits, violations)
    size = answer_size(views, limits.config.max_answer_bytes)
    size.add_violation(1, violations)
    return EvidenceRequest(_source_of_one(request, limits, violations), evidence, views, size, suggestion=suggestion)


def _views(
    request: ManyFaces | OneFace,
    limits: RequestLimits,
    violations: Violations,
    *,
    landmarks: bool = False,
    heatmaps: bool = False,
    pose: bool = False,
) -> ViewOptions:
    """The views that are requested, and those that the method always gives."""
    of_landmarks: LandmarkOptions | None = None
    of_heatmaps: HeatmapOptions | None = None
    of_pose: PoseOptions | None = None
    if landmarks or request.HasField("landmarks"):
        of_landmarks = read_landmark_options(request.landmarks, limits.config, violations)
    if heatmaps or request.HasField("heatmaps"):
        of_heatmaps = read_heatmap_options(request.heatmaps, violations)
    if pose or request.HasField("pose"):
        of_pose = read_pose_options(request.pose, violations)
    return ViewOptions(of_landmarks, of_heatmaps, of_pose)


def _picture_of_faces(request: ManyFaces, size: AnswerSize, limits: RequestLimits, violations: Violations) -> Picture:
    boxes = read_boxes(request.boxes, limits, violations)
    size.add_violation(len(boxes), violations)
    detection = read_detection(request.detection, limits, violations, ignored=bool(request.boxes))
    return Picture(request.image, boxes, detection, tuple(violations))


def _source_of_faces(
    request: service_pb2.PredictHeatmapsRequest | service_pb2.EstimatePoseRequest,
    size: AnswerSize,
    limits: RequestLimits,
    violations: Violations,
) -> Picture | PosteriorId:
    which = request.WhichOneof("source")
    if which == "image":
        return _picture_of_faces(request, size, limits, violations)
    size.add_violation(1, violations)
    if request.boxes:
        _add_needs_image(violations, "boxes")
    return _posterior_id(which, request.posterior_id, violations)


def _source_of_one(request: OneFace, limits: RequestLimits, violations: Violations) -> Picture | PosteriorId:
    which, boxed = request.WhichOneof("source"), request.HasField("box")
    if which == "image":
        box = read_box(request.box, limits, violations.at("box")) if boxed else None
        detection = read_detection(request.detection, limits, violations, ignored=boxed, one_face=True)
        return Picture(request.image, {} if box is None else {"box": box}, detection, tuple(violations))
    if boxed:
        _add_needs_image(violations, "box")
    return _posterior_id(which, request.posterior_id, violations)


def _add_needs_image(violations: Violations, field: str) -> None:
    violations.add(field, "is set, must not be without an image: a posterior_id has its box already")


def _posterior_id(which: str | None, name: str, violations: Violations) -> PosteriorId:
    if which is None:
        violations.add("source", "is not set, must hold an image or a posterior_id")
    elif not name:
        violations.add("posterior_id", "is empty, must be one from an earlier answer")
    violations.raise_if_any()
    return PosteriorId(name)
