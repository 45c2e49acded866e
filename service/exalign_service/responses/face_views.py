"""What the engine says about one face: the wanted views, given the evidence that the face holds. Blocks."""

from __future__ import annotations

from dataclasses import dataclass

from exalign_engine import Aligner, Face, Posterior
from exalign_engine.evidence.conditioning import Outcome
from exalign_engine.evidence.suggestion import Suggestions
from exalign_engine.face.views import (
    ConditionedFace,
    HeatmapView,
    conditioned,
    crop_square,
    heatmaps,
    pose,
    suggestions,
)
from exalign_engine.posterior.pose import PoseView
from exalign_service.inference.posterior_cache import Subject
from exalign_service.requests.evidence import SuggestionWishes
from exalign_service.requests.views import ViewWishes


@dataclass(frozen=True)
class Reading:
    """Views of one face.

    Attributes:
        given: the face given its evidence.
        heatmaps: None where not wanted.
        pose: None where not wanted.
    """

    given: ConditionedFace
    heatmaps: HeatmapView | None
    pose: PoseView | None


def given_evidence(aligner: Aligner, subject: Subject) -> ConditionedFace:
    """The face given all that is known of it."""
    posterior = Posterior(aligner.model, subject.probabilities, subject.presence, image=subject.image)
    face = Face.of(subject.located, posterior)
    evidence = subject.evidence
    if not (evidence.clicks or evidence.regions or evidence.poses):
        return ConditionedFace(face, subject.located.box, Outcome.CONDITIONED, 0.0)
    return conditioned(face, evidence, aligner.bundle.poses)


def read_views(aligner: Aligner, given: ConditionedFace, wishes: ViewWishes) -> Reading:
    """The views of a face that are wanted."""
    face, bundle = given.face, aligner.bundle
    _ = face.entropy, face.effective_exemplars  # computed when first read: their time belongs here
    maps = angles = None
    if wishes.heatmaps is not None:
        wanted = wishes.heatmaps
        square = crop_square(face.located, bundle.manifest.margin)
        rectangle = square if wanted.rectangle is None else wanted.rectangle
        maps = heatmaps(face, wanted.landmarks, rectangle, wanted.width, wanted.height)
    if wishes.pose is not None:
        angles = pose(face, bundle.poses, bundle.calibration, wishes.pose.masses, wishes.pose.grid)
    return Reading(given, maps, angles)


def read_suggestions(given: ConditionedFace, subject: Subject, wishes: SuggestionWishes) -> Suggestions:
    """What to click next.

    Raises:
        InvalidInputError: a candidate is clicked already.
    """
    return suggestions(given.face, wishes.sigma, wishes.candidates(subject.evidence), wishes.criterion)
