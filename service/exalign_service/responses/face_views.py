"""The views of one face that a request names, computed with the engine. Blocks."""

from __future__ import annotations

from dataclasses import dataclass

from exalign_engine import Bundle, Face
from exalign_engine.evidence.conditioning import ConditioningOutcome
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.evidence.suggestion import Suggestions
from exalign_engine.exemplars.poses import Poses
from exalign_engine.face.views import (
    ConditionedFace,
    HeatmapView,
    conditioned,
    crop_square,
    heatmaps,
    pose,
    suggestions,
)
from exalign_engine.posterior.checks import Check, unchecked
from exalign_engine.posterior.pose import PoseView
from exalign_service.requests.evidence import SuggestionOptions
from exalign_service.requests.views import ViewOptions


@dataclass(frozen=True)
class FaceViews:
    """Views of one face.

    Attributes:
        given: the face given its evidence.
        heatmaps: None where the request has none.
        pose: None where the request has none.
    """

    given: ConditionedFace
    heatmaps: HeatmapView | None
    pose: PoseView | None


def posterior_given_evidence(face: Face, evidence: Evidence, poses: Poses, check: Check = unchecked) -> ConditionedFace:
    """A face given all its evidence.

    Args:
        face: as the network saw it; its own posterior is the answer where there is no evidence.
        evidence: image frame, pixels.
        poses: of the bundle's exemplars.
        check: called now and then; so it is below.
    """
    if not (evidence.clicks or evidence.regions or evidence.poses):
        return ConditionedFace(face, face.located.box, ConditioningOutcome.CONDITIONED, 0.0)
    return conditioned(face, evidence, poses, check=check)


def compute_views(bundle: Bundle, given: ConditionedFace, options: ViewOptions, check: Check = unchecked) -> FaceViews:
    """The views of a face that a request names, its landmarks and its entropy among them."""
    face = given.face
    # Computed when first read: their time belongs here, not where the message is written.
    _ = face.entropy, face.effective_exemplars
    if options.landmarks is not None:
        face.compute()
    maps = angles = None
    if options.heatmaps is not None:
        wanted = options.heatmaps
        square = crop_square(face.located, bundle.manifest.margin)
        rectangle = square if wanted.rectangle is None else wanted.rectangle
        maps = heatmaps(face, wanted.landmarks, rectangle, wanted.width, wanted.height, check)
    if options.pose is not None:
        angles = pose(face, bundle.poses, bundle.calibration, options.pose.masses, options.pose.grid, check)
    return FaceViews(given, maps, angles)


def compute_suggestions(
    face: Face, evidence: Evidence, options: SuggestionOptions, check: Check = unchecked
) -> Suggestions:
    """Which landmark to click next on a face that holds ``evidence``.

    Raises:
        InvalidInputError: a candidate is clicked already.
    """
    return suggestions(face, options.sigma, options.candidates(evidence), options.criterion, check=check)
