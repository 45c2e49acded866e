"""The answer about the faces in one picture, with NumPy arrays.

Everything is in the image frame: pixels after EXIF orientation, the centre of the top-left pixel is (0, 0),
x to the right, y down. Entropy is in nats, times are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import overload

import numpy as np
from numpy.typing import NDArray

from exalign.canvas import Pixels, draw_face
from exalign.summary import summarised, summary
from exalign.v1 import face_pb2, geometry_pb2, service_pb2, timing_pb2
from exalign_client.errors import InternalServerError, InvalidRequestError, Violation
from exalign_client.json_form import Json, float32_decimal, json_form
from exalign_client.landmarks import N_LANDMARKS
from exalign_client.opencv import require_opencv
from exalign_client.results.views import Heatmaps, Pose, heatmaps_from, pose_from

F32 = NDArray[np.float32]

#: A landmark counts as hidden from this probability on.
HIDDEN_FROM = 0.5


class BoxSource(StrEnum):
    """Where the box of a face came from."""

    CALLER = "caller"
    DETECTOR = "detector"
    TRACK = "track"
    #: The server is newer than this client and means something else.
    UNKNOWN = "unknown"


_BOX_SOURCES = {
    face_pb2.BOX_SOURCE_CALLER: BoxSource.CALLER,
    face_pb2.BOX_SOURCE_DETECTOR: BoxSource.DETECTOR,
    face_pb2.BOX_SOURCE_TRACK: BoxSource.TRACK,
}


@dataclass(frozen=True)
class ExemplarProbability:
    """An exemplar (class id, 0 to K − 1) and its share of the posterior, 0 to 1."""

    class_id: int
    probability: float


@dataclass(frozen=True, eq=False, repr=False)
class GroupUncertainty:
    """How several landmarks move together.

    Attributes:
        landmarks: the group's name, or its landmarks where they were listed.
        mean: (2,) float32, posterior mean of their centroid, pixels.
        centroid_covariance: (2, 2) float32, covariance of their centroid, px².
        rms_spread: root mean square over the landmarks of each one's standard deviation in the plane, pixels.
    """

    __repr__ = summarised

    landmarks: str | tuple[int, ...]
    mean: F32
    centroid_covariance: F32
    rms_spread: float


@dataclass(frozen=True, eq=False, repr=False)
class Face:
    """The answer about one face.

    Attributes:
        box: (4,) float32, the face box that was used: x0, y0, x1, y1, pixels.
        box_source: where it came from.
        source_box: (4,) float32, the box that it started from, in the convention of ``source_detector``.
        source_detector: the detector whose convention ``source_box`` follows; empty: the face box's own.
        detector_score: in the detector's own scale; None when no detector ran.
        presence: calibrated probability that there is a face, 0 to 1; see ``Model.presence_threshold``.
        landmarks: (68, 2) float32, posterior mean, pixels.
        covariances: (68, 2, 2) float32, covariance of each landmark, px².
        confidences: (68,) float32, probability that the truth lies within 5 % of the box's diagonal, 0 to 1.
        map_landmarks: (68, 2) float32, the most probable exemplar in the image, pixels.
        map_class_id: its class id.
        entropy: of the posterior over the K exemplars, nats, 0 to ln K.
        effective_exemplars: 1 ÷ Σ p², 1 to K.
        cut_mass: probability of the exemplars left out of the moments, 0 to 1.
        top_exemplars: the most probable exemplars, in descending order.
        groups: one for each group requested, in that order.
        posterior_id: names this posterior in the server's cache; None: not kept.
        heatmaps: None where they were not requested.
        pose: None where it was not requested.
        occluded_probabilities: (68,) float32, probability that something hides each landmark, 0 to 1, which is another
            thing than being uncertain; None where the bundle cannot tell, or there is no picture of it.
    """

    box: F32
    box_source: BoxSource
    source_box: F32
    source_detector: str
    detector_score: float | None
    presence: float
    landmarks: F32
    covariances: F32
    confidences: F32
    map_landmarks: F32
    map_class_id: int
    entropy: float
    effective_exemplars: float
    cut_mass: float
    top_exemplars: tuple[ExemplarProbability, ...]
    groups: tuple[GroupUncertainty, ...]
    posterior_id: str | None
    heatmaps: Heatmaps | None = None
    pose: Pose | None = None
    occluded_probabilities: F32 | None = None

    @property
    def spreads(self) -> F32:
        """(68,) float32, standard deviation of each landmark in the plane (√trace of covariance), pixels."""
        spreads: F32 = np.sqrt(self.covariances[:, 0, 0] + self.covariances[:, 1, 1])
        return spreads

    @property
    def hidden(self) -> NDArray[np.bool_] | None:
        """(68,) bool, which landmarks are hidden more likely than not; None where that is not known."""
        known = self.occluded_probabilities
        return None if known is None else np.asarray(known >= HIDDEN_FROM)

    def draw(self, pixels: Pixels | None = None, *, mass: float = 0.9, width: int = 480) -> Pixels:
        """The face by itself, large enough to see, for a notebook.

        Args:
            pixels: (H, W, 3) uint8, RGB: its picture, upright; None: a plain ground.
            mass: probability that each landmark's ellipse holds, in (0, 1).
            width: of the drawing, pixels.

        Returns:
            (width, width, 3) uint8, RGB.

        Raises:
            InvalidRequestError: ``pixels`` is no such array.
            MissingExtraError: OpenCV is not installed.
        """
        require_opencv()
        if pixels is not None:
            given = np.asarray(pixels)
            if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or not given.size:
                problem = f"{given.dtype} of shape {given.shape} is no (H, W, 3) uint8 picture"
                raise InvalidRequestError([Violation("pixels", problem)])
        return draw_face(self.landmarks, self.covariances, pixels, mass=mass, width=width, hidden=self.hidden)

    def to_json(self) -> Json:
        """The face as plain JSON values, under the names of the attributes."""
        return json_form(self)

    def __repr__(self) -> str:
        box = ", ".join(f"{v:.1f}" for v in self.box)
        return f"<Face box=({box}) presence={self.presence:.3f} entropy={self.entropy:.2f}>"


@dataclass(frozen=True)
class Timing:
    """Wall-clock seconds in the server by stage, summed over the faces; 0 where a stage was skipped."""

    decode: float
    detect: float
    queue: float
    infer: float
    posterior: float
    hmm: float
    total: float


@dataclass(frozen=True, eq=False, repr=False)
class Faces(Sequence[Face]):
    """A sequence of faces, and what belongs to all of them.

    Attributes:
        bundle_id: the model bundle that answered.
        faces: in the order of the boxes given, or by falling detector score. Empty: no face was found.
        faces_left_out: detections above the threshold that were left out because of ``max_faces``.
        timing: where the server's time went.
    """

    bundle_id: str
    faces: tuple[Face, ...]
    faces_left_out: int
    timing: Timing

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    @overload
    def __getitem__(self, index: int) -> Face: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Face, ...]: ...
    def __getitem__(self, index: int | slice) -> Face | tuple[Face, ...]:
        return self.faces[index]

    def to_json(self) -> Json:
        """The answer as plain JSON values, under the names of the attributes."""
        return json_form(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} bundle={self.bundle_id[:12]} faces={summary(self.faces)}>"


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Faces):
    """The faces in one picture, and its size.

    Attributes:
        image_size: width and height of the picture after EXIF orientation, pixels.
    """

    image_size: tuple[int, int]


def prediction_from(response: service_pb2.PredictLandmarksResponse) -> Prediction:
    """Read an answer.

    Raises:
        InternalServerError: it does not keep to the contract.
    """
    return Prediction(
        bundle_id=response.bundle_id,
        faces=tuple(face_from(face, f"faces[{index}]") for index, face in enumerate(response.faces)),
        faces_left_out=response.faces_left_out,
        image_size=(response.image_width, response.image_height),
        timing=timing_from(response.timing),
    )


def faces_from(response: service_pb2.PredictHeatmapsResponse | service_pb2.EstimatePoseResponse) -> Faces:
    """Read an answer.

    Raises:
        InternalServerError: it does not keep to the contract.
    """
    return Faces(
        bundle_id=response.bundle_id,
        faces=tuple(face_from(face, f"faces[{index}]") for index, face in enumerate(response.faces)),
        faces_left_out=response.faces_left_out,
        timing=timing_from(response.timing),
    )


def face_from(face: face_pb2.Face, path: str) -> Face:
    """Read a face, which ``path`` names in errors.

    Raises:
        InternalServerError: it does not keep to the contract.
    """
    for name in ("box", "source_box", "presence", "posterior", "landmarks"):
        if not face.HasField(name):
            raise InternalServerError(f"the answer does not keep to the contract: {path}.{name} is absent")
    marks, posterior = face.landmarks, face.posterior
    xx, xy, yy = array_from(marks.covariances, (N_LANDMARKS, 3), f"{path}.landmarks.covariances").T
    return Face(
        box=_box(face.box),
        box_source=_BOX_SOURCES.get(face.box_source, BoxSource.UNKNOWN),
        source_box=_box(face.source_box),
        source_detector=face.source_box.detector,
        detector_score=float32_decimal(face.detector_score) if face.HasField("detector_score") else None,
        presence=float32_decimal(face.presence),
        landmarks=array_from(marks.points, (N_LANDMARKS, 2), f"{path}.landmarks.points"),
        covariances=np.stack([xx, xy, xy, yy], axis=-1).reshape(N_LANDMARKS, 2, 2),
        confidences=array_from(marks.confidences, (N_LANDMARKS,), f"{path}.landmarks.confidences"),
        map_landmarks=array_from(marks.map_points, (N_LANDMARKS, 2), f"{path}.landmarks.map_points"),
        map_class_id=marks.map_class_id,
        entropy=float32_decimal(posterior.entropy),
        effective_exemplars=float32_decimal(posterior.effective_exemplars),
        cut_mass=float32_decimal(posterior.cut_mass),
        top_exemplars=tuple(
            ExemplarProbability(e.class_id, float32_decimal(e.probability)) for e in posterior.top_exemplars
        ),
        groups=tuple(_group(group) for group in marks.groups),
        posterior_id=face.posterior_id or None,
        heatmaps=heatmaps_from(face.heatmaps, f"{path}.heatmaps") if face.HasField("heatmaps") else None,
        pose=pose_from(face.pose, f"{path}.pose") if face.HasField("pose") else None,
        occluded_probabilities=array_from(
            marks.occluded_probabilities, (N_LANDMARKS,), f"{path}.landmarks.occluded_probabilities"
        )
        if marks.occluded_probabilities
        else None,
    )


def array_from(values: Iterable[float], shape: tuple[int, ...], path: str) -> F32:
    """Numbers as a float32 array.

    Raises:
        InternalServerError: they are not as many as the shape holds.
    """
    array = np.fromiter(values, dtype=np.float32)
    expected = int(np.prod(shape))
    if array.size != expected:
        raise InternalServerError(
            f"the answer does not keep to the contract: {path} has {array.size} numbers instead of {expected}"
        )
    return array.reshape(shape)


def _box(box: geometry_pb2.Box) -> F32:
    return np.array([box.x0, box.y0, box.x1, box.y1], dtype=np.float32)


def _group(group: face_pb2.GroupUncertainty) -> GroupUncertainty:
    if group.selection.WhichOneof("selection") == "group":
        name = geometry_pb2.LandmarkGroup.Name(group.selection.group)
        landmarks: str | tuple[int, ...] = name.removeprefix("LANDMARK_GROUP_").lower()
    else:
        landmarks = tuple(group.selection.landmarks.indices)
    c = group.centroid_covariance
    return GroupUncertainty(
        landmarks=landmarks,
        mean=np.array([group.mean.x, group.mean.y], dtype=np.float32),
        centroid_covariance=np.array([[c.xx, c.xy], [c.xy, c.yy]], dtype=np.float32),
        rms_spread=float32_decimal(group.rms_spread),
    )


def timing_from(timing: timing_pb2.StageTiming) -> Timing:
    """Read times."""
    return Timing(
        decode=timing.decode_seconds,
        detect=timing.detect_seconds,
        queue=timing.queue_seconds,
        infer=timing.infer_seconds,
        posterior=timing.posterior_seconds,
        hmm=timing.hmm_seconds,
        total=timing.total_seconds,
    )
