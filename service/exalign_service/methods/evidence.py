"""The methods about one face given evidence: its posterior, and what to click next. They answer in the wire format."""

from __future__ import annotations

from dataclasses import dataclass, replace

from exalign.v1 import evidence_pb2, service_pb2
from exalign_engine import Face
from exalign_engine.evidence.conditioning import ConditioningOutcome
from exalign_engine.evidence.suggestion import Suggestions
from exalign_engine.face.views import ConditionedFace
from exalign_service.inference.posterior_cache import CachedFace
from exalign_service.methods.faces import join
from exalign_service.methods.pipeline import Pipeline
from exalign_service.methods.stage_clock import StageClock
from exalign_service.requests.faces import EvidenceRequest, read_conditional, read_suggest
from exalign_service.responses.face_views import compute_suggestions, posterior_given_evidence
from exalign_service.responses.views import evidence_message, outcome_message
from exalign_service.responses.wire import WrittenFace, field_parts, serialized


@dataclass(frozen=True)
class _Conditional:
    """What QueryConditional answers, before its faces are kept.

    Attributes:
        before: the face as it was found.
        after: with the evidence of the request.
        outcome: of all the evidence.
        surprise: of the evidence of the request, nats; None where it is impossible.
        face: what is said about ``after``.
        prior: what is said about ``before``; None where the request leaves it out.
    """

    before: CachedFace
    after: CachedFace
    outcome: ConditioningOutcome
    surprise: float | None
    face: WrittenFace
    prior: WrittenFace | None


class EvidenceMethods:
    """One method each.

    Args:
        pipeline: does the work.
        bundle_id: which bundle answers.
    """

    def __init__(self, pipeline: Pipeline, bundle_id: str) -> None:
        self._pipeline, self._bundle_id = pipeline, bundle_id

    async def conditional(self, request: service_pb2.QueryConditionalRequest) -> bytes:
        """QueryConditional; see service.proto."""
        pipeline = self._pipeline
        async with pipeline.call(request) as clock:
            asked = read_conditional(request, pipeline.request_limits)

            def work(before: CachedFace, face: Face) -> _Conditional:
                return self._conditional(asked, before, face, clock)

            found = await pipeline.one_face(asked.source, clock, work)
            asked.size.check_sparse(sum(f.size for f in (found.face, found.prior) if f is not None))
            face = found.face.parts(pipeline.cache.keep(found.after))
            pipeline.answered(clock, [found.face.summary])
            prior = None if found.prior is None else found.prior.parts(pipeline.keep(asked.source, found.before))
            response = service_pb2.QueryConditionalResponse(
                bundle_id=self._bundle_id,
                evidence=evidence_message(found.after.evidence),
                outcome=outcome_message(found.outcome),
                surprise=found.surprise,
                timing=clock.message(),
            )
            parts = [serialized(response), *field_parts(type(response), "face", face)]
            if prior is not None:
                parts += field_parts(type(response), "prior", prior)
            return await join(pipeline, parts, clock)

    def _conditional(self, asked: EvidenceRequest, before: CachedFace, face: Face, clock: StageClock) -> _Conditional:
        after = _with_evidence(before, asked)
        given = self._given(face, after, clock)
        # Of the prior, only the surprise is computed, unless the request wants it whole.
        prior = given if after is before else self._given(face, before, clock)
        return _Conditional(
            before,
            after,
            given.outcome,
            _added_surprise(prior, given),
            self._pipeline.write_face(given, asked.views, clock),
            self._pipeline.write_face(prior, asked.views, clock) if asked.include_prior else None,
        )

    async def suggest(self, request: service_pb2.SuggestEvidenceRequest) -> bytes:
        """SuggestEvidence; see service.proto."""
        pipeline = self._pipeline
        async with pipeline.call(request) as clock:
            asked = read_suggest(request, pipeline.request_limits)

            def work(
                before: CachedFace, face: Face
            ) -> tuple[CachedFace, CachedFace, ConditioningOutcome, Suggestions, WrittenFace]:
                after = _with_evidence(before, asked)
                given = self._given(face, after, clock)
                found = clock.run(
                    "posterior", compute_suggestions, given.face, after.evidence, asked.suggestion, clock.check
                )
                return before, after, given.outcome, found, self._pipeline.write_face(given, asked.views, clock)

            before, after, outcome, found, face = await pipeline.one_face(asked.source, clock, work)
            asked.size.check_sparse(face.size)
            pipeline.answered(clock, [face.summary])
            same = after is before
            posterior_id = pipeline.keep(asked.source, after) if same else pipeline.cache.keep(after)
            response = service_pb2.SuggestEvidenceResponse(
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
                outcome=outcome_message(outcome),
                timing=clock.message(),
            )
            parts = [serialized(response), *field_parts(type(response), "face", face.parts(posterior_id))]
            return await join(pipeline, parts, clock)

    def _given(self, face: Face, cached: CachedFace, clock: StageClock) -> ConditionedFace:
        poses = self._pipeline.aligner.bundle.poses
        return clock.run("posterior", posterior_given_evidence, face, cached.evidence, poses, clock.check)


def _with_evidence(face: CachedFace, asked: EvidenceRequest) -> CachedFace:
    """The face with the evidence of the request as well; the very same where that adds nothing.

    Raises:
        InvalidInputError: the evidence contradicts what the face holds.
    """
    evidence = asked.evidence.added_to(face.evidence, face.located)
    return face if evidence == face.evidence else replace(face, evidence=evidence)


def _added_surprise(prior: ConditionedFace, given: ConditionedFace) -> float | None:
    """The surprise of the request's evidence, given what was known; None where it is impossible."""
    if given.surprise is None or prior.surprise is None:
        return None
    return max(given.surprise - prior.surprise, 0.0)
