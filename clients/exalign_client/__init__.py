"""The caller's side of Exalign: landmarks of faces, with their uncertainty, from a server.

Example:
    >>> from exalign_client import Client
    >>> with Client("localhost:50051") as client:
    ...     faces = client.predict("photo.jpg")
    ...     print(faces[0].landmarks)
"""

from exalign_client.aio import AsyncClient
from exalign_client.answers import Conditional, Exemplar, Suggestion, Suggestions
from exalign_client.arguments import Box
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
from exalign_client.evidence import (
    Circle,
    Click,
    EvidenceOutcome,
    Inside,
    Outside,
    Polygon,
    PoseRange,
    Rectangle,
)
from exalign_client.health import HealthStatus
from exalign_client.local import LocalServer, local_server
from exalign_client.model import Model
from exalign_client.requests import LandmarkOptions
from exalign_client.results import (
    BoxSource,
    ExemplarProbability,
    Face,
    Faces,
    GroupUncertainty,
    Prediction,
    Timing,
)
from exalign_client.sync import Client
from exalign_client.views import HeatmapOptions, Heatmaps, Pose, PoseHistogram, PoseIntervals, PoseOptions

__all__ = [
    "AccessDeniedError",
    "AsyncClient",
    "Box",
    "BoxSource",
    "Circle",
    "Click",
    "Client",
    "Conditional",
    "DeadlineError",
    "EvidenceOutcome",
    "ExalignClientError",
    "Exemplar",
    "ExemplarProbability",
    "Face",
    "Faces",
    "GroupUncertainty",
    "HealthStatus",
    "HeatmapOptions",
    "Heatmaps",
    "Inside",
    "InternalServerError",
    "InvalidRequestError",
    "LandmarkOptions",
    "LocalServer",
    "LocalServerError",
    "MessageTooLargeError",
    "MissingExtraError",
    "Model",
    "NotFoundError",
    "Outside",
    "Polygon",
    "Pose",
    "PoseHistogram",
    "PoseIntervals",
    "PoseOptions",
    "PoseRange",
    "PreconditionError",
    "Prediction",
    "Rectangle",
    "ServerBusyError",
    "Suggestion",
    "Suggestions",
    "Timing",
    "UnavailableError",
    "UnimplementedError",
    "Violation",
    "local_server",
]
