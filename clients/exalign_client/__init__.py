"""The caller's side of Exalign: landmarks of faces, with their uncertainty, from a server.

Example:
    >>> from exalign_client import Client
    >>> with Client("localhost:50051") as client:
    ...     faces = client.predict("photo.jpg")
    ...     print(faces[0].landmarks)
"""

from exalign_client.aio import AsyncClient
from exalign_client.errors import (
    AccessDeniedError,
    DeadlineError,
    ExalignClientError,
    InternalServerError,
    InvalidRequestError,
    LocalServerError,
    MessageTooLargeError,
    MissingExtraError,
    NotFoundError,
    PreconditionError,
    ServerBusyError,
    UnavailableError,
    UnimplementedError,
    Violation,
)
from exalign_client.health import HealthStatus
from exalign_client.local import LocalServer, local_server
from exalign_client.model import Model
from exalign_client.requests import Box
from exalign_client.results import (
    BoxSource,
    ExemplarProbability,
    Face,
    GroupUncertainty,
    Prediction,
    Timing,
)
from exalign_client.sync import Client

__all__ = [
    "AccessDeniedError",
    "AsyncClient",
    "Box",
    "BoxSource",
    "Client",
    "DeadlineError",
    "ExalignClientError",
    "ExemplarProbability",
    "Face",
    "GroupUncertainty",
    "HealthStatus",
    "InternalServerError",
    "InvalidRequestError",
    "LocalServer",
    "LocalServerError",
    "MessageTooLargeError",
    "MissingExtraError",
    "Model",
    "NotFoundError",
    "PreconditionError",
    "Prediction",
    "ServerBusyError",
    "Timing",
    "UnavailableError",
    "UnimplementedError",
    "Violation",
    "local_server",
]
