"""Our own answer as that of ModelInfer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from exalign.open_inference import inference_pb2
from exalign.v1 import face_pb2, service_pb2
from exalign_service.open_inference.request import InferRequest
from exalign_service.open_inference.tensors import TensorKind, add_tensor

#: Of xx, xy, yy those that make the rows of a covariance matrix.
_ROWS = (0, 1, 1, 2)


def _box(face: face_pb2.Face) -> Sequence[float]:
    return face.box.x0, face.box.y0, face.box.x1, face.box.y1


def _covariances(face: face_pb2.Face) -> NDArray[np.float32]:
    return np.array(face.landmarks.covariances, np.float32).reshape(-1, 3)[:, _ROWS]


def _pose(face: face_pb2.Face) -> Sequence[float]:
    return face.pose.mean.yaw, face.pose.mean.pitch, face.pose.mean.roll


_VALUES: dict[str, Callable[[face_pb2.Face], Sequence[float] | NDArray[np.float32]]] = {
    "boxes": _box,
    "landmarks": lambda face: face.landmarks.points,
    "covariances": _covariances,
    "confidences": lambda face: face.landmarks.confidences,
    "presence": lambda face: (face.presence,),
    "pose": _pose,
}


def infer_response(
    answer: service_pb2.PredictLandmarksResponse, asked: InferRequest, model_name: str, call_id: str
) -> inference_pb2.ModelInferResponse:
    """The outputs that were asked for.

    Args:
        answer: to ``asked.predict``.
        asked: what was wanted.
        model_name: comes back.
        call_id: likewise.
    """
    response = inference_pb2.ModelInferResponse(model_name=model_name, model_version=answer.bundle_id, id=call_id)
    if answer.faces_left_out:
        response.parameters["faces_left_out"].int64_param = answer.faces_left_out
    for kind in asked.outputs:
        add_tensor(response, kind, _values(kind, answer.faces), raw=asked.raw)
    return response


def _values(kind: TensorKind, faces: Sequence[face_pb2.Face]) -> NDArray[np.float32]:
    """(n, …) float32: one output of all faces."""
    values = np.array([_VALUES[kind.name](face) for face in faces], np.float32)
    return values.reshape(len(faces), *kind.shape[1:])
