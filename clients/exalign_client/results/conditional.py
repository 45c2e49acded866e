"""Answers about one face given evidence, about what to click next, and about exemplars.

Everything is in the image frame (pixels) unless stated otherwise; entropy and surprise are in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign.summary import summarised
from exalign.v1 import model_pb2, service_pb2
from exalign_client.json_form import Json, float32_decimal, json_form
from exalign_client.landmarks import N_LANDMARKS
from exalign_client.requests.evidence import Constraint, EvidenceOutcome, evidence_from, outcome_from
from exalign_client.results.faces import Face, Timing, array_from, face_from, timing_from

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class Conditional:
    """One face given evidence.

    Attributes:
        bundle_id: the model bundle that answered.
        face: the answer given all evidence; its ``posterior_id`` names the conditioned posterior.
        prior: the answer before this call's evidence; None when it was not requested.
        evidence: all evidence that ``face`` rests on, earlier calls' included.
        outcome: whether the evidence could be met.
        surprise: −log of the probability of this call's evidence, nats, ≥ 0; None when it is impossible.
        timing: where the server's time went.
    """

    __repr__ = summarised

    bundle_id: str
    face: Face
    prior: Face | None
    evidence: tuple[Constraint, ...]
    outcome: EvidenceOutcome
    surprise: float | None
    timing: Timing

    def to_json(self) -> Json:
        """The answer as plain JSON values, under the names of the attributes."""
        return json_form(self)


@dataclass(frozen=True)
class Suggestion:
    """The expected gain of a click on one landmark.

    Attributes:
        landmark: 0-based index.
        error_reduction: expected drop of the expected shape error, pixels; may be slightly negative.
        entropy_reduction: expected drop of the entropy, nats.
    """

    landmark: int
    error_reduction: float
    entropy_reduction: float


@dataclass(frozen=True, eq=False, repr=False)
class Suggestions:
    """Landmarks to click next.

    Attributes:
        bundle_id: the model bundle that answered.
        suggestions: best first.
        expected_error: expected shape error now (root mean square over the 68 points), pixels.
        face: the face given the evidence so far.
        outcome: whether that evidence could be met.
        timing: where the server's time went.
    """

    __repr__ = summarised

    bundle_id: str
    suggestions: tuple[Suggestion, ...]
    expected_error: float
    face: Face
    outcome: EvidenceOutcome
    timing: Timing

    def to_json(self) -> Json:
        """The answer as plain JSON values, under the names of the attributes."""
        return json_form(self)


@dataclass(frozen=True, eq=False, repr=False)
class Exemplar:
    """The shape behind a class id.

    Attributes:
        class_id: 0 to K − 1.
        source_id: face of the training data that it comes from.
        points: (68, 2) float32, box frame: the face box made square about its centre, mapped to [0, 1]².
        mirror_class_id: class id of its mirror image; None: it has none.
        spread: root mean square distance per coordinate of the faces of this class, box sides.
        yaw: degrees; None: the bundle has no poses.
        pitch: degrees; None: the bundle has no poses.
        roll: degrees; None: the bundle has no poses.
    """

    __repr__ = summarised

    class_id: int
    source_id: str
    points: F32
    mirror_class_id: int | None
    spread: float
    yaw: float | None
    pitch: float | None
    roll: float | None

    def to_json(self) -> Json:
        """The exemplar as plain JSON values, under the names of the attributes."""
        return json_form(self)


def conditional_from(response: service_pb2.QueryConditionalResponse) -> Conditional:
    """Read an answer.

    Raises:
        InternalServerError: it does not keep to the contract.
    """
    return Conditional(
        bundle_id=response.bundle_id,
        face=face_from(response.face, "face"),
        prior=face_from(response.prior, "prior") if response.HasField("prior") else None,
        evidence=evidence_from(response.evidence),
        outcome=outcome_from(response.outcome),
        surprise=response.surprise if response.HasField("surprise") else None,
        timing=timing_from(response.timing),
    )


def suggestions_from(response: service_pb2.SuggestEvidenceResponse) -> Suggestions:
    """Read an answer.

    Raises:
        InternalServerError: it does not keep to the contract.
    """
    return Suggestions(
        bundle_id=response.bundle_id,
        suggestions=tuple(
            Suggestion(s.landmark, float32_decimal(s.error_reduction), float32_decimal(s.entropy_reduction))
            for s in response.suggestions
        ),
        expected_error=float32_decimal(response.expected_error),
        face=face_from(response.face, "face"),
        outcome=outcome_from(response.outcome),
        timing=timing_from(response.timing),
    )


def exemplars_from(response: service_pb2.GetExemplarsResponse) -> tuple[Exemplar, ...]:
    """Read an answer.

    Raises:
        InternalServerError: it does not keep to the contract.
    """
    return tuple(_exemplar(message, f"exemplars[{index}]") for index, message in enumerate(response.exemplars))


def _exemplar(message: model_pb2.Exemplar, path: str) -> Exemplar:
    def angle(name: str) -> float | None:
        return float32_decimal(getattr(message, name)) if message.HasField(name) else None  # type: ignore[arg-type]

    return Exemplar(
        class_id=message.class_id,
        source_id=message.source_id,
        points=array_from(message.points, (N_LANDMARKS, 2), f"{path}.points"),
        mirror_class_id=message.mirror_class_id if message.HasField("mirror_class_id") else None,
        spread=float32_decimal(message.spread),
        yaw=angle("yaw"),
        pitch=angle("pitch"),
        roll=angle("roll"),
    )
