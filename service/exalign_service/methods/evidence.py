"""The methods about one face given evidence: what then, and what to ask next."""

from __future__ import annotations

from dataclasses import replace

from exalign.v1 import evidence_pb2, service_pb2
from exalign_engine.evidence.conditioning import Outcome
from exalign_engine.evidence.suggestion import Suggestions
from exalign_engine.face.views import ConditionedFace
from exalign_service.inference.posterior_cache import Subject
from exalign_service.methods.pipeline import Pipeline
from exalign_service.requests.faces import EvidenceRequest, read_conditional, read_suggest
from exalign_service.responses.face_views import given_evidence, read_suggestions
from exalign_service.responses.views import evidence_message

_OUTCOMES = {
    Outcome.CONDITIONED: evidence_pb2.EVIDENCE_OUTCOME_CONDITIONED,
    Outcome.IMPOSSIBLE: evidence_pb2.EVIDENCE_OUTCOME_IMPOSSIBLE,
}


class EvidenceMethods:
    """One method each.

    Args:
        pipeline: does the work.
        bundle_id: which bundle answers.
    """

    def __init__(self, pipeline: Pipeline, bundle_id: str) -> None:
        self._pipeline, self._bundle_id = pipeline, bundle_id

    async def conditional(self, request: service_pb2.QueryConditionalRequest) -> service_pb2.QueryConditionalResponse:
        """QueryConditional; see service.proto."""
        pipeline = self._pipeline
        with pipeline.call() as clock:
            asked = read_conditional(request, pipeline.known)
            before = await pipeline.subject(asked.source, clock)
            after = _with_evidence(before, asked)

            def work() -> tuple[ConditionedFace, ConditionedFace]:
                prior = given_evidence(pipeline.aligner, before)
                return prior, prior if after is before else given_evidence(pipeline.aligner, after)

            prior, given = await pipeline.read(clock, work)
            face = await pipeline.tell(given, pipeline.cache.keep(after), asked.views, clock)
            response = service_pb2.QueryConditionalResponse(
                bundle_id=self._bundle_id,
                face=face,
                evidence=evidence_message(after.evidence),
                outcome=_OUTCOMES[given.outcome],
                surprise=_added_surprise(prior, given),
            )
            if asked.include_prior:
                name = asked.source if isinstance(asked.source, str) else pipeline.cache.keep(before)
                response.prior.CopyFrom(await pipeline.tell(prior, name, asked.views, clock))
            response.timing.CopyFrom(clock.message())
            return response

    async def suggest(self, request: service_pb2.SuggestEvidenceRequest) -> service_pb2.SuggestEvidenceResponse:
        """SuggestEvidence; see service.proto."""
        pipeline = self._pipeline
        with pipeline.call() as clock:
            asked = read_suggest(request, pipeline.known)
            before = await pipeline.subject(asked.source, clock)
            after = _with_evidence(before, asked)

            def work() -> tuple[ConditionedFace, Suggestions]:
                given = given_evidence(pipeline.aligner, after)
                return given, read_suggestions(given, after, asked.suggestion)

            given, found = await pipeline.read(clock, work)
            same = after is before and isinstance(asked.source, str)
            name = asked.source if same and isinstance(asked.source, str) else pipeline.cache.keep(after)
            return service_pb2.SuggestEvidenceResponse(
                bundle_id=self._bundle_id,
                suggestions=[
                    evidence_pb2.Suggestion(
                        landmark=s.landmark,
                        error_reduction=s.error_reduction,
                        entropy_reduction=s.entropy_reduction,
                    )
                    for s in found.ranked[: asked.suggestion.most]
                ],
                expected_error=found.expected_error,
                face=await pipeline.tell(given, name, asked.views, clock),
                outcome=_OUTCOMES[given.outcome],
                timing=clock.message(),
            )


def _with_evidence(subject: Subject, asked: EvidenceRequest) -> Subject:
    """The face with the evidence of the request as well; the very same where that adds nothing.

    Raises:
        InvalidInputError: the evidence contradicts what the face holds.
    """
    evidence = asked.evidence.added_to(subject.evidence, subject.located)
    return subject if evidence == subject.evidence else replace(subject, evidence=evidence)


def _added_surprise(prior: ConditionedFace, given: ConditionedFace) -> float | None:
    """What the evidence of the request surprises by, given what was known; None where it is impossible."""
    if given.surprise is None or prior.surprise is None:
        return None
    return max(given.surprise - prior.surprise, 0.0)
