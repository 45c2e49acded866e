"""The answer of GetExemplars."""

from __future__ import annotations

import math

from exalign.v1 import model_pb2, service_pb2
from exalign_engine import Bundle
from exalign_engine.errors import InvalidInputError, Violation
from exalign_service.rpc.errors import PreconditionError


def answer_exemplars(
    request: service_pb2.GetExemplarsRequest, bundle: Bundle, most: int
) -> service_pb2.GetExemplarsResponse:
    """The shapes asked for.

    Args:
        request: which.
        bundle: has them.
        most: class ids in one call.

    Raises:
        InvalidInputError: names every wrong class id.
        PreconditionError: the ids are from another bundle.
    """
    if request.bundle_id and request.bundle_id != bundle.id:
        shown = request.bundle_id[:64]
        raise PreconditionError("OTHER_BUNDLE", f"bundle_id is {shown!r}, the bundle that answers is {bundle.id}")
    ids, k = request.class_ids, bundle.exemplars.count
    if not 1 <= len(ids) <= most:
        raise InvalidInputError.of("class_ids", f"has {len(ids)} ids, must have 1 to {most}")
    wrong = [
        Violation(f"class_ids[{i}]", f"is {class_id}, must be 0 to {k - 1}")
        for i, class_id in enumerate(ids)
        if not 0 <= class_id < k
    ]
    if wrong:
        raise InvalidInputError(wrong)
    return service_pb2.GetExemplarsResponse(bundle_id=bundle.id, exemplars=[_exemplar(bundle, i) for i in ids])


def _exemplar(bundle: Bundle, class_id: int) -> model_pb2.Exemplar:
    exemplars = bundle.exemplars
    mirror = int(exemplars.mirror_of[class_id])
    yaw, pitch, roll = (float(v) for v in bundle.poses.pose[class_id])
    return model_pb2.Exemplar(
        class_id=class_id,
        source_id=exemplars.source_id(class_id),
        points=exemplars.shapes[class_id].ravel().tolist(),
        mirror_class_id=mirror if mirror >= 0 else None,
        spread=math.sqrt(float(exemplars.variance[class_id])),
        yaw=yaw,
        pitch=pitch,
        roll=roll,
    )
