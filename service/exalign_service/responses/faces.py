"""Faces: from the engine's values to messages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from exalign.v1 import face_pb2, geometry_pb2
from exalign_engine import FACE_BOX, Face, LocatedFace, Posterior
from exalign_engine.tracking import TRACK_BOX
from exalign_service.requests.picture import LandmarkOptions
from exalign_service.requests.views import ViewOptions
from exalign_service.responses.face_views import FaceViews
from exalign_service.responses.views import heatmaps_parts, pose_message
from exalign_service.responses.wire import WrittenFace, field_parts


def located_face(located: LocatedFace, box: NDArray[np.float64] | None = None) -> face_pb2.Face:
    """A face of which only the place is known; ``box``: the face box where evidence has moved it."""
    source = face_pb2.BOX_SOURCE_DETECTOR if located.detected else face_pb2.BOX_SOURCE_CALLER
    if located.source == TRACK_BOX:
        source = face_pb2.BOX_SOURCE_TRACK
    named = "" if located.source in (FACE_BOX, TRACK_BOX) else located.source
    return face_pb2.Face(
        box=_box(located.box if box is None else box),
        box_source=source,
        source_box=_box(located.source_box, named),
        detector_score=located.score,
    )


def face_message(views: FaceViews, options: ViewOptions) -> face_pb2.Face:
    """A face with its views and a summary of its posterior; its posterior_id is left empty. Blocks, as below."""
    message = _without_heatmaps(views, options)
    message.MergeFromString(b"".join(_heatmaps(views, options)))
    return message


def written_face(views: FaceViews, options: ViewOptions) -> WrittenFace:
    """The same in its wire format; heatmaps are never copied into a message.

    Groups and encodings are computed here, so this may take milliseconds: for an executor.
    """
    message = _without_heatmaps(views, options)
    return WrittenFace.of(message, _heatmaps(views, options))


def _heatmaps(views: FaceViews, options: ViewOptions) -> list[bytes]:
    """The parts of the field of a face that holds its heatmaps; none where there are none."""
    if views.heatmaps is None or options.heatmaps is None:
        return []
    return field_parts(face_pb2.Face, "heatmaps", heatmaps_parts(views.heatmaps, options.heatmaps))


def _without_heatmaps(views: FaceViews, options: ViewOptions) -> face_pb2.Face:
    face = views.given.face
    message = located_face(face.located, views.given.box)
    message.presence = face.presence
    message.posterior.CopyFrom(_summary(face.posterior, options.top_exemplars))
    if options.landmarks is not None:
        message.landmarks.CopyFrom(_landmarks(face, options.landmarks))
    if views.pose is not None:
        message.pose.CopyFrom(pose_message(views.pose))
    return message


def _landmarks(face: Face, options: LandmarkOptions) -> face_pb2.Landmarks:
    message = face_pb2.Landmarks(
        points=_flat(face.landmarks),
        covariances=_flat(face.covariance),
        confidences=_flat(face.confidence),
        map_points=_flat(face.map_landmarks),
        map_class_id=face.map_exemplar,
    )
    for requested in options.groups:
        group = face.group(requested.landmarks)
        x, y = group.centroid
        xx, xy, yy = group.covariance
        message.groups.add(
            selection=requested.selection,
            mean=geometry_pb2.Point(x=x, y=y),
            centroid_covariance=geometry_pb2.Covariance2(xx=xx, xy=xy, yy=yy),
            rms_spread=group.rms_spread,
        )
    return message


def _summary(posterior: Posterior, top: int) -> face_pb2.PosteriorSummary:
    return face_pb2.PosteriorSummary(
        entropy=posterior.entropy,
        effective_exemplars=posterior.effective_number,
        cut_mass=posterior.cut_mass,
        top_exemplars=[
            face_pb2.ExemplarProbability(class_id=class_id, probability=p) for class_id, p in posterior.top(top)
        ],
    )


def _box(box: NDArray[np.float64], detector: str = "") -> geometry_pb2.Box:
    x0, y0, x1, y1 = (float(v) for v in box)
    return geometry_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1, detector=detector)


def _flat(values: NDArray[np.float64]) -> list[float]:
    result: list[float] = values.ravel().tolist()
    return result
