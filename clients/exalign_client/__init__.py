"""The caller's side of Exalign: landmarks of faces, with their uncertainty, from a server.

Example:
    >>> from exalign_client import Client
    >>> with Client("localhost:50051") as client:
    ...     faces = client.predict("photo.jpg")
    ...     print(faces[0].landmarks)
"""

from exalign_client.calls.aio import AsyncClient
from exalign_client.calls.sync import Client
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
    SessionLostError,
    UnavailableError,
    UnimplementedError,
    Violation,
)
from exalign_client.requests.arguments import Box
from exalign_client.requests.evidence import (
    Circle,
    Click,
    EvidenceOutcome,
    Inside,
    Outside,
    Polygon,
    PoseRange,
    Rectangle,
)
from exalign_client.requests.messages import LandmarkOptions, SuggestionOptions
from exalign_client.requests.views import HeatmapOptions, PoseOptions
from exalign_client.results.conditional import Conditional, Exemplar, Suggestion, Suggestions
from exalign_client.results.faces import (
    BoxSource,
    ExemplarProbability,
    Face,
    Faces,
    GroupUncertainty,
    Prediction,
    Timing,
)
from exalign_client.results.model import LiveBundle, Model, SwappedModel
from exalign_client.results.views import Heatmaps, Pose, PoseHistogram, PoseIntervals
from exalign_client.track.aio import AsyncTrackStream
from exalign_client.track.requests import PastEvidence, TrackFrame
from exalign_client.track.results import (
    FrameSuggestion,
    ModelChanged,
    RevisionCause,
    Track,
    TrackClosed,
    TrackEvent,
    TrackPath,
    TrackResult,
    TrackRevision,
    TrackState,
    TrackSummary,
    settled,
)
from exalign_client.track.sync import TrackStream
from exalign_client.transport.channel import Tls
from exalign_client.transport.health import HealthStatus
from exalign_client.transport.local_server import LocalServer, local_server

__all__ = [
    "AccessDeniedError",
    "AsyncClient",
    "AsyncTrackStream",
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
    "FrameSuggestion",
    "GroupUncertainty",
    "HealthStatus",
    "HeatmapOptions",
    "Heatmaps",
    "Inside",
    "InternalServerError",
    "InvalidRequestError",
    "LandmarkOptions",
    "LiveBundle",
    "LocalServer",
    "LocalServerError",
    "MessageTooLargeError",
    "MissingExtraError",
    "Model",
    "ModelChanged",
    "NotFoundError",
    "Outside",
    "PastEvidence",
    "Polygon",
    "Pose",
    "PoseHistogram",
    "PoseIntervals",
    "PoseOptions",
    "PoseRange",
    "PreconditionError",
    "Prediction",
    "Rectangle",
    "RevisionCause",
    "ServerBusyError",
    "SessionLostError",
    "Suggestion",
    "SuggestionOptions",
    "Suggestions",
    "SwappedModel",
    "Timing",
    "Tls",
    "Track",
    "TrackClosed",
    "TrackEvent",
    "TrackFrame",
    "TrackPath",
    "TrackResult",
    "TrackRevision",
    "TrackState",
    "TrackStream",
    "TrackSummary",
    "UnavailableError",
    "UnimplementedError",
    "Violation",
    "local_server",
    "settled",
]
