"""Every gRPC service that a server has, or may have."""

from __future__ import annotations

from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from exalign.open_inference import inference_pb2
from exalign.v1 import admin_pb2, service_pb2
from exalign_service.config.schema import ServerConfig
from exalign_service.config.start_checks import is_loopback

FACE_ALIGNMENT = service_pb2.DESCRIPTOR.services_by_name["FaceAlignmentService"]
MODEL_ADMIN = admin_pb2.DESCRIPTOR.services_by_name["ModelAdminService"]
OPEN_INFERENCE = inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]

SERVICES: tuple[ServiceDescriptor, ...] = (
    FACE_ALIGNMENT,
    OPEN_INFERENCE,
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)

#: Those that the model answers: their calls are waited for at the end, and ended where something is stuck.
ANSWERED = (FACE_ALIGNMENT.full_name, OPEN_INFERENCE.full_name)

#: What health is asked about; "" is the server.
HEALTH_NAMES = ("", *ANSWERED)


#: Those whose methods wait for the model.
LATE = (FACE_ALIGNMENT, MODEL_ADMIN)


def services_of(config: ServerConfig) -> tuple[ServiceDescriptor, ...]:
    """What a server has. `MODEL_ADMIN` only where there are bundles to choose from, and not everybody may choose."""
    access = config.access
    callers_known = any(path is not None for path in (access.token_file, access.token_jwks, access.tls_client_ca))
    if config.model.bundle_directory is not None and (callers_known or is_loopback(config.address)):
        return (*SERVICES, MODEL_ADMIN)
    return SERVICES
