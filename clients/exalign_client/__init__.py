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
    SessionLostError,
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
from exalign_client.requests import LandmarkOptions, SuggestionOptions
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
from exalign_client.track_aio import AsyncTrackStream
from exalign_client.track_requests import PastEvidence, TrackFrame
from exalign_client.track_results import (
    FrameSuggestion,
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
from exalign_client.track_sync import TrackStream
from exalign_client.views import HeatmapOptions, Heatmaps, Pose, PoseHistogram, PoseIntervals, PoseOptions

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
    "LocalServer",
    "LocalServerError",
    "MessageTooLargeError",
    "MissingExtraError",
    "Model",
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
    "Timing",
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
