"""Every gRPC service that the server has."""

from __future__ import annotations

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from exalign.open_inference import inference_pb2
from exalign.v1 import service_pb2

FACE_ALIGNMENT = service_pb2.DESCRIPTOR.services_by_name["FaceAlignmentService"]
OPEN_INFERENCE = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]

SERVICES = (
    FACE_ALIGNMENT,
    OPEN_INFERENCE,
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)

#: Those that the model answers: their calls are waited for at the end, and ended where something is stuck.
ANSWERED = (FACE_ALIGNMENT.full_name, OPEN_INFERENCE.full_name)

#: What health is asked about; "" is the server.
HEALTH_NAMES = ("", *ANSWERED)
