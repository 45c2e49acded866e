"""The standard health check (``grpc.health.v1.Health/Check``), without its package.

Its request is one string in field 1 and its answer one enumeration in field 1. On the wire these are the
well-known wrappers StringValue and Int32Value, so no further dependency is needed.
"""

from __future__ import annotations

from enum import Enum

from google.protobuf.wrappers_pb2 import Int32Value, StringValue

#: Full name of the method.
CHECK = "/grpc.health.v1.Health/Check"


class HealthStatus(Enum):
    """The status that a server reports."""

    UNKNOWN = "UNKNOWN"
    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    SERVICE_UNKNOWN = "SERVICE_UNKNOWN"


_BY_NUMBER = dict(enumerate(HealthStatus))


def encode_request(service: str) -> bytes:
    """A HealthCheckRequest for a service; empty: the server as a whole."""
    return StringValue(value=service).SerializeToString()


def decode_response(data: bytes) -> HealthStatus:
    """The status in a HealthCheckResponse."""
    return _BY_NUMBER.get(Int32Value.FromString(data).value, HealthStatus.UNKNOWN)
