
from collections import abc as _abc
from exalign.v1 import evidence_pb2 as _evidence_pb2
from exalign.v1 import face_pb2 as _face_pb2
from exalign.v1 import geometry_pb2 as _geometry_pb2
from exalign.v1 import heatmap_pb2 as _heatmap_pb2
from exalign.v1 import image_pb2 as _image_pb2
from exalign.v1 import model_pb2 as _model_pb2
from exalign.v1 import pose_pb2 as _pose_pb2
from exalign.v1 import timing_pb2 as _timing_pb2
from exalign.v1 import track_pb2 as _track_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
import builtins as _builtins
import sys
import typing as _typing

if sys.version_info >= (3, 11):
    from typing import TypeAlias as _TypeAlias, Never as _Never
else:
    from typing_extensions import TypeAlias as _TypeAlias, Never as _Never

DESCRIPTOR: _descriptor.FileDescriptor

class _StopAfter:
    ValueType = _typing.NewType("ValueType", _builtins.int)
    V: _TypeAlias = ValueType  # noqa: Y015

class _StopAfterEnumTypeWrapper(_enum_type_wrapper._EnumTypeWrapper[_StopAfter.ValueType], _builtins.type):
    DESCRIPTOR: _descriptor.EnumDescriptor
    STOP_AFTER_UNSPECIFIED: _StopAfter.ValueType  # 0
    STOP_AFTER_POSTERIOR: _StopAfter.ValueType  # 1
    STOP_AFTER_DETECTION: _StopAfter.ValueType  # 2

class StopAfter(_StopAfter, metaclass=_StopAfterEnumTypeWrapper):
    """Where to stop."""

STOP_AFTER_UNSPECIFIED: StopAfter.ValueType  # 0
STOP_AFTER_POSTERIOR: StopAfter.ValueType  # 1
STOP_AFTER_DETECTION: StopAfter.ValueType  # 2
Global___StopAfter: _TypeAlias = StopAfter  # noqa: Y015

@_typing.final
class PredictLandmarksRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    IMAGE_FIELD_NUMBER: _builtins.int
    BOXES_FIELD_NUMBER: _builtins.int
    DETECTION_FIELD_NUMBER: _builtins.int
    LANDMARKS_FIELD_NUMBER: _builtins.int
    HEATMAPS_FIELD_NUMBER: _builtins.int
    POSE_FIELD_NUMBER: _builtins.int
    STOP_AFTER_FIELD_NUMBER: _builtins.int
    stop_after: Global___StopAfter.ValueType
    @_builtins.property
    def image(self) -> _image_pb2.Image:
        """The picture. Required: INVALID_ARGUMENT when absent."""

    @_builtins.property
    def boxes(self) -> _containers.RepeatedCompositeFieldContainer[_geometry_pb2.Box]:
        """Faces to align, at most Limits.max_faces. They always win: with any box given, no detector runs.
        Empty: faces are detected.
        """

    @_builtins.property
    def detection(self) -> _face_pb2.DetectionOptions:
        """How faces are detected."""

    @_builtins.property
    def landmarks(self) -> _face_pb2.LandmarkOptions:
        """What to say about landmarks; absent: defaults."""

    @_builtins.property
    def heatmaps(self) -> _heatmap_pb2.HeatmapOptions:
        """Heatmaps too; absent: none."""

    @_builtins.property
    def pose(self) -> _pose_pb2.PoseOptions:
        """Pose too; absent: none."""

    def __init__(
        self,
        *,
        image: _image_pb2.Image | None = ...,
        boxes: _abc.Iterable[_geometry_pb2.Box] | None = ...,
        detection: _face_pb2.DetectionOptions | None = ...,
        landmarks: _face_pb2.LandmarkOptions | None = ...,
        heatmaps: _heatmap_pb2.HeatmapOptions | None = ...,
        pose: _pose_pb2.PoseOptions | None = ...,
        stop_after: Global___StopAfter.ValueType = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["detection", b"detection", "heatmaps", b"heatmaps", "image", b"image", "landmarks", b"landmarks", "pose", b"pose"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["boxes", b"boxes", "detection", b"detection", "heatmaps", b"heatmaps", "image", b"image", "landmarks", b"landmarks", "pose", b"pose", "stop_after", b"stop_after"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___PredictLandmarksRequest: _TypeAlias = PredictLandmarksRequest  # noqa: Y015

@_typing.final
class PredictLandmarksResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    FACES_FIELD_NUMBER: _builtins.int
    FACES_LEFT_OUT_FIELD_NUMBER: _builtins.int
    IMAGE_WIDTH_FIELD_NUMBER: _builtins.int
    IMAGE_HEIGHT_FIELD_NUMBER: _builtins.int
    TIMING_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    faces_left_out: _builtins.int
    image_width: _builtins.int
    image_height: _builtins.int
    @_builtins.property
    def faces(self) -> _containers.RepeatedCompositeFieldContainer[_face_pb2.Face]:
        """Faces in the order of the boxes given, or by falling detector score. Empty: none was found, which is no error."""

    @_builtins.property
    def timing(self) -> _timing_pb2.StageTiming:
        """Where the time went."""

    def __init__(
        self,
        *,
        bundle_id: _builtins.str = ...,
        faces: _abc.Iterable[_face_pb2.Face] | None = ...,
        faces_left_out: _builtins.int = ...,
        image_width: _builtins.int = ...,
        image_height: _builtins.int = ...,
        timing: _timing_pb2.StageTiming | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["timing", b"timing"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle_id", b"bundle_id", "faces", b"faces", "faces_left_out", b"faces_left_out", "image_height", b"image_height", "image_width", b"image_width", "timing", b"timing"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___PredictLandmarksResponse: _TypeAlias = PredictLandmarksResponse  # noqa: Y015

@_typing.final
class PredictHeatmapsRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    IMAGE_FIELD_NUMBER: _builtins.int
    POSTERIOR_ID_FIELD_NUMBER: _builtins.int
    BOXES_FIELD_NUMBER: _builtins.int
    DETECTION_FIELD_NUMBER: _builtins.int
    HEATMAPS_FIELD_NUMBER: _builtins.int
    LANDMARKS_FIELD_NUMBER: _builtins.int
    POSE_FIELD_NUMBER: _builtins.int
    posterior_id: _builtins.str
    @_builtins.property
    def image(self) -> _image_pb2.Image:
        """A picture."""

    @_builtins.property
    def boxes(self) -> _containers.RepeatedCompositeFieldContainer[_geometry_pb2.Box]:
        """Faces, as in PredictLandmarksRequest. INVALID_ARGUMENT together with posterior_id."""

    @_builtins.property
    def detection(self) -> _face_pb2.DetectionOptions:
        """How faces are detected."""

    @_builtins.property
    def heatmaps(self) -> _heatmap_pb2.HeatmapOptions:
        """Which heatmaps; absent: defaults."""

    @_builtins.property
    def landmarks(self) -> _face_pb2.LandmarkOptions:
        """Landmarks too; absent: none."""

    @_builtins.property
    def pose(self) -> _pose_pb2.PoseOptions:
        """Pose too; absent: none."""

    def __init__(
        self,
        *,
        image: _image_pb2.Image | None = ...,
        posterior_id: _builtins.str = ...,
        boxes: _abc.Iterable[_geometry_pb2.Box] | None = ...,
        detection: _face_pb2.DetectionOptions | None = ...,
        heatmaps: _heatmap_pb2.HeatmapOptions | None = ...,
        landmarks: _face_pb2.LandmarkOptions | None = ...,
        pose: _pose_pb2.PoseOptions | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["detection", b"detection", "heatmaps", b"heatmaps", "image", b"image", "landmarks", b"landmarks", "pose", b"pose", "posterior_id", b"posterior_id", "source", b"source"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["boxes", b"boxes", "detection", b"detection", "heatmaps", b"heatmaps", "image", b"image", "landmarks", b"landmarks", "pose", b"pose", "posterior_id", b"posterior_id", "source", b"source"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType_source: _TypeAlias = _typing.Literal["image", "posterior_id"]  # noqa: Y015
    _WhichOneofArgType_source: _TypeAlias = _typing.Literal["source", b"source"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType_source) -> _WhichOneofReturnType_source | None: ...

Global___PredictHeatmapsRequest: _TypeAlias = PredictHeatmapsRequest  # noqa: Y015

@_typing.final
class PredictHeatmapsResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    FACES_FIELD_NUMBER: _builtins.int
    FACES_LEFT_OUT_FIELD_NUMBER: _builtins.int
    TIMING_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    faces_left_out: _builtins.int
    @_builtins.property
    def faces(self) -> _containers.RepeatedCompositeFieldContainer[_face_pb2.Face]:
        """Faces, as in PredictLandmarksResponse; one for a posterior_id."""

    @_builtins.property
    def timing(self) -> _timing_pb2.StageTiming:
        """Where the time went."""

    def __init__(
        self,
        *,
        bundle_id: _builtins.str = ...,
        faces: _abc.Iterable[_face_pb2.Face] | None = ...,
        faces_left_out: _builtins.int = ...,
        timing: _timing_pb2.StageTiming | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["timing", b"timing"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle_id", b"bundle_id", "faces", b"faces", "faces_left_out", b"faces_left_out", "timing", b"timing"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___PredictHeatmapsResponse: _TypeAlias = PredictHeatmapsResponse  # noqa: Y015

@_typing.final
class EstimatePoseRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    IMAGE_FIELD_NUMBER: _builtins.int
    POSTERIOR_ID_FIELD_NUMBER: _builtins.int
    BOXES_FIELD_NUMBER: _builtins.int
    DETECTION_FIELD_NUMBER: _builtins.int
    POSE_FIELD_NUMBER: _builtins.int
    LANDMARKS_FIELD_NUMBER: _builtins.int
    HEATMAPS_FIELD_NUMBER: _builtins.int
    posterior_id: _builtins.str
    @_builtins.property
    def image(self) -> _image_pb2.Image:
        """A picture."""

    @_builtins.property
    def boxes(self) -> _containers.RepeatedCompositeFieldContainer[_geometry_pb2.Box]:
        """Faces, as in PredictLandmarksRequest. INVALID_ARGUMENT together with posterior_id."""

    @_builtins.property
    def detection(self) -> _face_pb2.DetectionOptions:
        """How faces are detected."""

    @_builtins.property
    def pose(self) -> _pose_pb2.PoseOptions:
        """What to say about the pose; absent: defaults."""

    @_builtins.property
    def landmarks(self) -> _face_pb2.LandmarkOptions:
        """Landmarks too; absent: none."""

    @_builtins.property
    def heatmaps(self) -> _heatmap_pb2.HeatmapOptions:
        """Heatmaps too; absent: none."""

    def __init__(
        self,
        *,
        image: _image_pb2.Image | None = ...,
        posterior_id: _builtins.str = ...,
        boxes: _abc.Iterable[_geometry_pb2.Box] | None = ...,
        detection: _face_pb2.DetectionOptions | None = ...,
        pose: _pose_pb2.PoseOptions | None = ...,
        landmarks: _face_pb2.LandmarkOptions | None = ...,
        heatmaps: _heatmap_pb2.HeatmapOptions | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["detection", b"detection", "heatmaps", b"heatmaps", "image", b"image", "landmarks", b"landmarks", "pose", b"pose", "posterior_id", b"posterior_id", "source", b"source"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["boxes", b"boxes", "detection", b"detection", "heatmaps", b"heatmaps", "image", b"image", "landmarks", b"landmarks", "pose", b"pose", "posterior_id", b"posterior_id", "source", b"source"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType_source: _TypeAlias = _typing.Literal["image", "posterior_id"]  # noqa: Y015
    _WhichOneofArgType_source: _TypeAlias = _typing.Literal["source", b"source"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType_source) -> _WhichOneofReturnType_source | None: ...

Global___EstimatePoseRequest: _TypeAlias = EstimatePoseRequest  # noqa: Y015

@_typing.final
class EstimatePoseResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    FACES_FIELD_NUMBER: _builtins.int
    FACES_LEFT_OUT_FIELD_NUMBER: _builtins.int
    TIMING_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    faces_left_out: _builtins.int
    @_builtins.property
    def faces(self) -> _containers.RepeatedCompositeFieldContainer[_face_pb2.Face]:
        """Faces, as in PredictLandmarksResponse; one for a posterior_id."""

    @_builtins.property
    def timing(self) -> _timing_pb2.StageTiming:
        """Where the time went."""

    def __init__(
        self,
        *,
        bundle_id: _builtins.str = ...,
        faces: _abc.Iterable[_face_pb2.Face] | None = ...,
        faces_left_out: _builtins.int = ...,
        timing: _timing_pb2.StageTiming | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["timing", b"timing"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle_id", b"bundle_id", "faces", b"faces", "faces_left_out", b"faces_left_out", "timing", b"timing"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___EstimatePoseResponse: _TypeAlias = EstimatePoseResponse  # noqa: Y015

@_typing.final
class QueryConditionalRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    IMAGE_FIELD_NUMBER: _builtins.int
    POSTERIOR_ID_FIELD_NUMBER: _builtins.int
    BOX_FIELD_NUMBER: _builtins.int
    DETECTION_FIELD_NUMBER: _builtins.int
    EVIDENCE_FIELD_NUMBER: _builtins.int
    LANDMARKS_FIELD_NUMBER: _builtins.int
    HEATMAPS_FIELD_NUMBER: _builtins.int
    POSE_FIELD_NUMBER: _builtins.int
    INCLUDE_PRIOR_FIELD_NUMBER: _builtins.int
    posterior_id: _builtins.str
    include_prior: _builtins.bool
    @_builtins.property
    def image(self) -> _image_pb2.Image:
        """A picture."""

    @_builtins.property
    def box(self) -> _geometry_pb2.Box:
        """The face. Absent: the detected face with the highest score; FAILED_PRECONDITION (reason NO_FACE) when there is
        none. INVALID_ARGUMENT together with posterior_id.
        """

    @_builtins.property
    def detection(self) -> _face_pb2.DetectionOptions:
        """How the face is detected; max_faces is ignored."""

    @_builtins.property
    def evidence(self) -> _evidence_pb2.Evidence:
        """What is known. Required: INVALID_ARGUMENT when absent; an empty set is allowed and changes nothing."""

    @_builtins.property
    def landmarks(self) -> _face_pb2.LandmarkOptions:
        """What to say about landmarks; absent: defaults when no other view is asked for, else none."""

    @_builtins.property
    def heatmaps(self) -> _heatmap_pb2.HeatmapOptions:
        """Heatmaps; absent: none."""

    @_builtins.property
    def pose(self) -> _pose_pb2.PoseOptions:
        """Pose; absent: none."""

    def __init__(
        self,
        *,
        image: _image_pb2.Image | None = ...,
        posterior_id: _builtins.str = ...,
        box: _geometry_pb2.Box | None = ...,
        detection: _face_pb2.DetectionOptions | None = ...,
        evidence: _evidence_pb2.Evidence | None = ...,
        landmarks: _face_pb2.LandmarkOptions | None = ...,
        heatmaps: _heatmap_pb2.HeatmapOptions | None = ...,
        pose: _pose_pb2.PoseOptions | None = ...,
        include_prior: _builtins.bool = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["box", b"box", "detection", b"detection", "evidence", b"evidence", "heatmaps", b"heatmaps", "image", b"image", "landmarks", b"landmarks", "pose", b"pose", "posterior_id", b"posterior_id", "source", b"source"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["box", b"box", "detection", b"detection", "evidence", b"evidence", "heatmaps", b"heatmaps", "image", b"image", "include_prior", b"include_prior", "landmarks", b"landmarks", "pose", b"pose", "posterior_id", b"posterior_id", "source", b"source"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType_source: _TypeAlias = _typing.Literal["image", "posterior_id"]  # noqa: Y015
    _WhichOneofArgType_source: _TypeAlias = _typing.Literal["source", b"source"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType_source) -> _WhichOneofReturnType_source | None: ...

Global___QueryConditionalRequest: _TypeAlias = QueryConditionalRequest  # noqa: Y015

@_typing.final
class QueryConditionalResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    FACE_FIELD_NUMBER: _builtins.int
    PRIOR_FIELD_NUMBER: _builtins.int
    EVIDENCE_FIELD_NUMBER: _builtins.int
    OUTCOME_FIELD_NUMBER: _builtins.int
    SURPRISE_FIELD_NUMBER: _builtins.int
    TIMING_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    outcome: _evidence_pb2.EvidenceOutcome.ValueType
    surprise: _builtins.float
    @_builtins.property
    def face(self) -> _face_pb2.Face:
        """The answer given all evidence. Its posterior_id names the conditioned posterior."""

    @_builtins.property
    def prior(self) -> _face_pb2.Face:
        """The answer before the evidence of this request, when asked for."""

    @_builtins.property
    def evidence(self) -> _evidence_pb2.Evidence:
        """All evidence that `face` rests on, including that of the posterior_id."""

    @_builtins.property
    def timing(self) -> _timing_pb2.StageTiming:
        """Where the time went."""

    def __init__(
        self,
        *,
        bundle_id: _builtins.str = ...,
        face: _face_pb2.Face | None = ...,
        prior: _face_pb2.Face | None = ...,
        evidence: _evidence_pb2.Evidence | None = ...,
        outcome: _evidence_pb2.EvidenceOutcome.ValueType = ...,
        surprise: _builtins.float | None = ...,
        timing: _timing_pb2.StageTiming | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["_surprise", b"_surprise", "evidence", b"evidence", "face", b"face", "prior", b"prior", "surprise", b"surprise", "timing", b"timing"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["_surprise", b"_surprise", "bundle_id", b"bundle_id", "evidence", b"evidence", "face", b"face", "outcome", b"outcome", "prior", b"prior", "surprise", b"surprise", "timing", b"timing"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType__surprise: _TypeAlias = _typing.Literal["surprise"]  # noqa: Y015
    _WhichOneofArgType__surprise: _TypeAlias = _typing.Literal["_surprise", b"_surprise"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType__surprise) -> _WhichOneofReturnType__surprise | None: ...

Global___QueryConditionalResponse: _TypeAlias = QueryConditionalResponse  # noqa: Y015

@_typing.final
class SuggestEvidenceRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    IMAGE_FIELD_NUMBER: _builtins.int
    POSTERIOR_ID_FIELD_NUMBER: _builtins.int
    BOX_FIELD_NUMBER: _builtins.int
    DETECTION_FIELD_NUMBER: _builtins.int
    EVIDENCE_FIELD_NUMBER: _builtins.int
    SUGGESTION_FIELD_NUMBER: _builtins.int
    LANDMARKS_FIELD_NUMBER: _builtins.int
    HEATMAPS_FIELD_NUMBER: _builtins.int
    POSE_FIELD_NUMBER: _builtins.int
    posterior_id: _builtins.str
    @_builtins.property
    def image(self) -> _image_pb2.Image:
        """A picture."""

    @_builtins.property
    def box(self) -> _geometry_pb2.Box:
        """The face, as in QueryConditionalRequest."""

    @_builtins.property
    def detection(self) -> _face_pb2.DetectionOptions:
        """How the face is detected; max_faces is ignored."""

    @_builtins.property
    def evidence(self) -> _evidence_pb2.Evidence:
        """What is known already, in addition to what the posterior_id holds; absent: nothing."""

    @_builtins.property
    def suggestion(self) -> _evidence_pb2.SuggestionOptions:
        """What to suggest; absent: defaults."""

    @_builtins.property
    def landmarks(self) -> _face_pb2.LandmarkOptions:
        """Landmarks too; absent: none."""

    @_builtins.property
    def heatmaps(self) -> _heatmap_pb2.HeatmapOptions:
        """Heatmaps too; absent: none."""

    @_builtins.property
    def pose(self) -> _pose_pb2.PoseOptions:
        """Pose too; absent: none."""

    def __init__(
        self,
        *,
        image: _image_pb2.Image | None = ...,
        posterior_id: _builtins.str = ...,
        box: _geometry_pb2.Box | None = ...,
        detection: _face_pb2.DetectionOptions | None = ...,
        evidence: _evidence_pb2.Evidence | None = ...,
        suggestion: _evidence_pb2.SuggestionOptions | None = ...,
        landmarks: _face_pb2.LandmarkOptions | None = ...,
        heatmaps: _heatmap_pb2.HeatmapOptions | None = ...,
        pose: _pose_pb2.PoseOptions | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["box", b"box", "detection", b"detection", "evidence", b"evidence", "heatmaps", b"heatmaps", "image", b"image", "landmarks", b"landmarks", "pose", b"pose", "posterior_id", b"posterior_id", "source", b"source", "suggestion", b"suggestion"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["box", b"box", "detection", b"detection", "evidence", b"evidence", "heatmaps", b"heatmaps", "image", b"image", "landmarks", b"landmarks", "pose", b"pose", "posterior_id", b"posterior_id", "source", b"source", "suggestion", b"suggestion"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType_source: _TypeAlias = _typing.Literal["image", "posterior_id"]  # noqa: Y015
    _WhichOneofArgType_source: _TypeAlias = _typing.Literal["source", b"source"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType_source) -> _WhichOneofReturnType_source | None: ...

Global___SuggestEvidenceRequest: _TypeAlias = SuggestEvidenceRequest  # noqa: Y015

@_typing.final
class SuggestEvidenceResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    SUGGESTIONS_FIELD_NUMBER: _builtins.int
    EXPECTED_ERROR_FIELD_NUMBER: _builtins.int
    FACE_FIELD_NUMBER: _builtins.int
    OUTCOME_FIELD_NUMBER: _builtins.int
    TIMING_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    expected_error: _builtins.float
    outcome: _evidence_pb2.EvidenceOutcome.ValueType
    @_builtins.property
    def suggestions(self) -> _containers.RepeatedCompositeFieldContainer[_evidence_pb2.Suggestion]:
        """Best first."""

    @_builtins.property
    def face(self) -> _face_pb2.Face:
        """The face given the evidence so far; its posterior holds the entropy now."""

    @_builtins.property
    def timing(self) -> _timing_pb2.StageTiming:
        """Where the time went."""

    def __init__(
        self,
        *,
        bundle_id: _builtins.str = ...,
        suggestions: _abc.Iterable[_evidence_pb2.Suggestion] | None = ...,
        expected_error: _builtins.float = ...,
        face: _face_pb2.Face | None = ...,
        outcome: _evidence_pb2.EvidenceOutcome.ValueType = ...,
        timing: _timing_pb2.StageTiming | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["face", b"face", "timing", b"timing"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle_id", b"bundle_id", "expected_error", b"expected_error", "face", b"face", "outcome", b"outcome", "suggestions", b"suggestions", "timing", b"timing"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___SuggestEvidenceResponse: _TypeAlias = SuggestEvidenceResponse  # noqa: Y015

@_typing.final
class TrackVideoRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    CONFIG_FIELD_NUMBER: _builtins.int
    FRAME_FIELD_NUMBER: _builtins.int
    PAST_EVIDENCE_FIELD_NUMBER: _builtins.int
    ACK_FIELD_NUMBER: _builtins.int
    HEARTBEAT_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def config(self) -> _track_pb2.TrackConfig:
        """First, once."""

    @_builtins.property
    def frame(self) -> _track_pb2.VideoFrame:
        """A frame."""

    @_builtins.property
    def past_evidence(self) -> _track_pb2.PastEvidence:
        """Evidence about a frame already sent."""

    @_builtins.property
    def ack(self) -> _track_pb2.TrackAck:
        """Results have arrived."""

    @_builtins.property
    def heartbeat(self) -> _track_pb2.Heartbeat:
        """Still here."""

    def __init__(
        self,
        *,
        config: _track_pb2.TrackConfig | None = ...,
        frame: _track_pb2.VideoFrame | None = ...,
        past_evidence: _track_pb2.PastEvidence | None = ...,
        ack: _track_pb2.TrackAck | None = ...,
        heartbeat: _track_pb2.Heartbeat | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["ack", b"ack", "config", b"config", "frame", b"frame", "heartbeat", b"heartbeat", "message", b"message", "past_evidence", b"past_evidence"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["ack", b"ack", "config", b"config", "frame", b"frame", "heartbeat", b"heartbeat", "message", b"message", "past_evidence", b"past_evidence"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType_message: _TypeAlias = _typing.Literal["config", "frame", "past_evidence", "ack", "heartbeat"]  # noqa: Y015
    _WhichOneofArgType_message: _TypeAlias = _typing.Literal["message", b"message"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType_message) -> _WhichOneofReturnType_message | None: ...

Global___TrackVideoRequest: _TypeAlias = TrackVideoRequest  # noqa: Y015

@_typing.final
class TrackVideoResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    OPENED_FIELD_NUMBER: _builtins.int
    RESULT_FIELD_NUMBER: _builtins.int
    REVISION_FIELD_NUMBER: _builtins.int
    HEARTBEAT_FIELD_NUMBER: _builtins.int
    GO_AWAY_FIELD_NUMBER: _builtins.int
    CLOSED_FIELD_NUMBER: _builtins.int
    MUST_ACKNOWLEDGE_FIELD_NUMBER: _builtins.int
    MODEL_CHANGED_FIELD_NUMBER: _builtins.int
    @_builtins.property
    def opened(self) -> _track_pb2.TrackOpened:
        """First, once."""

    @_builtins.property
    def result(self) -> _track_pb2.FrameResult:
        """The answer to a frame."""

    @_builtins.property
    def revision(self) -> _track_pb2.FrameRevision:
        """A better answer to an earlier frame."""

    @_builtins.property
    def heartbeat(self) -> _track_pb2.Heartbeat:
        """Still here."""

    @_builtins.property
    def go_away(self) -> _track_pb2.GoAway:
        """Please move on."""

    @_builtins.property
    def closed(self) -> _track_pb2.TrackClosed:
        """Last, once."""

    @_builtins.property
    def must_acknowledge(self) -> _track_pb2.MustAcknowledge:
        """Acknowledge results, or no more frames are answered."""

    @_builtins.property
    def model_changed(self) -> _track_pb2.ModelChanged:
        """Another bundle answers from now on."""

    def __init__(
        self,
        *,
        opened: _track_pb2.TrackOpened | None = ...,
        result: _track_pb2.FrameResult | None = ...,
        revision: _track_pb2.FrameRevision | None = ...,
        heartbeat: _track_pb2.Heartbeat | None = ...,
        go_away: _track_pb2.GoAway | None = ...,
        closed: _track_pb2.TrackClosed | None = ...,
        must_acknowledge: _track_pb2.MustAcknowledge | None = ...,
        model_changed: _track_pb2.ModelChanged | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["closed", b"closed", "go_away", b"go_away", "heartbeat", b"heartbeat", "message", b"message", "model_changed", b"model_changed", "must_acknowledge", b"must_acknowledge", "opened", b"opened", "result", b"result", "revision", b"revision"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["closed", b"closed", "go_away", b"go_away", "heartbeat", b"heartbeat", "message", b"message", "model_changed", b"model_changed", "must_acknowledge", b"must_acknowledge", "opened", b"opened", "result", b"result", "revision", b"revision"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    _WhichOneofReturnType_message: _TypeAlias = _typing.Literal["opened", "result", "revision", "heartbeat", "go_away", "closed", "must_acknowledge", "model_changed"]  # noqa: Y015
    _WhichOneofArgType_message: _TypeAlias = _typing.Literal["message", b"message"]  # noqa: Y015
    def WhichOneof(self, oneof_group: _WhichOneofArgType_message) -> _WhichOneofReturnType_message | None: ...

Global___TrackVideoResponse: _TypeAlias = TrackVideoResponse  # noqa: Y015

@_typing.final
class GetModelRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    def __init__(
        self,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___GetModelRequest: _TypeAlias = GetModelRequest  # noqa: Y015

@_typing.final
class GetModelResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    FILES_FIELD_NUMBER: _builtins.int
    MODEL_FIELD_NUMBER: _builtins.int
    RUNTIME_FIELD_NUMBER: _builtins.int
    LIMITS_FIELD_NUMBER: _builtins.int
    DETECTORS_FIELD_NUMBER: _builtins.int
    CALIBRATION_FIELD_NUMBER: _builtins.int
    PRESENCE_THRESHOLD_FIELD_NUMBER: _builtins.int
    LICENCES_FIELD_NUMBER: _builtins.int
    TRAINING_DATA_FIELD_NUMBER: _builtins.int
    SERVER_VERSION_FIELD_NUMBER: _builtins.int
    LIVE_BUNDLES_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    presence_threshold: _builtins.float
    training_data: _builtins.str
    server_version: _builtins.str
    @_builtins.property
    def files(self) -> _containers.RepeatedCompositeFieldContainer[_model_pb2.BundleFile]:
        """Its files."""

    @_builtins.property
    def model(self) -> _model_pb2.ModelInfo:
        """The network and its exemplars."""

    @_builtins.property
    def runtime(self) -> _model_pb2.RuntimeInfo:
        """What executes the network."""

    @_builtins.property
    def limits(self) -> _model_pb2.Limits:
        """What is accepted."""

    @_builtins.property
    def detectors(self) -> _containers.RepeatedCompositeFieldContainer[_model_pb2.DetectorInfo]:
        """Detectors known."""

    @_builtins.property
    def calibration(self) -> _model_pb2.CalibrationCard:
        """Calibration figures."""

    @_builtins.property
    def licences(self) -> _containers.RepeatedCompositeFieldContainer[_model_pb2.Licence]:
        """Terms of the weights and of what came with them."""

    @_builtins.property
    def live_bundles(self) -> _containers.RepeatedCompositeFieldContainer[_model_pb2.LiveBundle]:
        """Bundles in memory, the one that answers first. Others are there for as long as a call or session of theirs goes on."""

    def __init__(
        self,
        *,
        bundle_id: _builtins.str = ...,
        files: _abc.Iterable[_model_pb2.BundleFile] | None = ...,
        model: _model_pb2.ModelInfo | None = ...,
        runtime: _model_pb2.RuntimeInfo | None = ...,
        limits: _model_pb2.Limits | None = ...,
        detectors: _abc.Iterable[_model_pb2.DetectorInfo] | None = ...,
        calibration: _model_pb2.CalibrationCard | None = ...,
        presence_threshold: _builtins.float = ...,
        licences: _abc.Iterable[_model_pb2.Licence] | None = ...,
        training_data: _builtins.str = ...,
        server_version: _builtins.str = ...,
        live_bundles: _abc.Iterable[_model_pb2.LiveBundle] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _typing.Literal["calibration", b"calibration", "limits", b"limits", "model", b"model", "runtime", b"runtime"]  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle_id", b"bundle_id", "calibration", b"calibration", "detectors", b"detectors", "files", b"files", "licences", b"licences", "limits", b"limits", "live_bundles", b"live_bundles", "model", b"model", "presence_threshold", b"presence_threshold", "runtime", b"runtime", "server_version", b"server_version", "training_data", b"training_data"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___GetModelResponse: _TypeAlias = GetModelResponse  # noqa: Y015

@_typing.final
class GetExemplarsRequest(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    CLASS_IDS_FIELD_NUMBER: _builtins.int
    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    @_builtins.property
    def class_ids(self) -> _containers.RepeatedScalarFieldContainer[_builtins.int]:
        """Class ids, 0 to K − 1, at least one, at most Limits.max_exemplars. INVALID_ARGUMENT otherwise."""

    def __init__(
        self,
        *,
        class_ids: _abc.Iterable[_builtins.int] | None = ...,
        bundle_id: _builtins.str = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle_id", b"bundle_id", "class_ids", b"class_ids"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___GetExemplarsRequest: _TypeAlias = GetExemplarsRequest  # noqa: Y015

@_typing.final
class GetExemplarsResponse(_message.Message):

    DESCRIPTOR: _descriptor.Descriptor

    BUNDLE_ID_FIELD_NUMBER: _builtins.int
    EXEMPLARS_FIELD_NUMBER: _builtins.int
    bundle_id: _builtins.str
    @_builtins.property
    def exemplars(self) -> _containers.RepeatedCompositeFieldContainer[_model_pb2.Exemplar]:
        """One a class id, in the order asked for."""

    def __init__(
        self,
        *,
        bundle_id: _builtins.str = ...,
        exemplars: _abc.Iterable[_model_pb2.Exemplar] | None = ...,
    ) -> None: ...
    _HasFieldArgType: _TypeAlias = _Never  # noqa: Y015
    def HasField(self, field_name: _HasFieldArgType) -> _builtins.bool: ...
    _ClearFieldArgType: _TypeAlias = _typing.Literal["bundle_id", b"bundle_id", "exemplars", b"exemplars"]  # noqa: Y015
    def ClearField(self, field_name: _ClearFieldArgType) -> None: ...
    def WhichOneof(self, oneof_group: _Never) -> None: ...

Global___GetExemplarsResponse: _TypeAlias = GetExemplarsResponse  # noqa: Y015
