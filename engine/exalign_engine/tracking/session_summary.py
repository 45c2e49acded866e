"""The end of a session: most probable paths, and the clicks that would have helped most.

A click on landmark n in frame s also helps the frames around, through the chain. Its gain is taken for

    G(s, n) = Δ(s, n) · Σ_u g^|u−s| · min(1, ε_u / ε_s)                                                          (C1)

Δ is the reduction of error or entropy in frame s (`exalign_engine.evidence.suggestion`, from a sample of its
posterior), ε the expected errors. u runs over the kept frames around s, up to the first one whose mean shape is farther
than τ from that of s: such shapes are no neighbours in the chain. Without the chain the sum is 1. It is an
approximation: the exact gain would take filtering the video again for every click that might be given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.evidence.suggestion import Criterion, Suggestion
from exalign_engine.face.aligner import Face
from exalign_engine.face.views import suggestions
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking.answers import FrameSuggestion, SuggestionQuery, TrackPathAnswer
from exalign_engine.tracking.filter_step import FrameFilter
from exalign_engine.tracking.options import TemporalModel
from exalign_engine.tracking.track import Track


@dataclass(frozen=True)
class SummarySettings:
    """Constants of a session's end.

    Attributes:
        neighbour_gain: g of Eq. C1.
        candidates: most frames of a track for which Δ is computed: those with the greatest G for Δ = ε.
    """

    neighbour_gain: float = 0.9
    candidates: int = 16


SUMMARY = SummarySettings()


def best_paths(frame_filter: FrameFilter, tracks: Sequence[Track]) -> tuple[TrackPathAnswer, ...]:
    """The most probable path of every track through its last frames; none where `SessionOptions.path_frames` is 0."""
    if not frame_filter.options.path_frames:
        return ()
    found = []
    for track in tracks:
        path = track.path
        for record in track.records:
            path = frame_filter.extended_path(path, record.emission, record.observation.held)
        if path is None:
            continue
        best = frame_filter.chain.best_path(path)
        classes = [int(k) for k in best.classes]
        last = track.samples[-len(classes) :]
        shapes = frame_filter.aligner.bundle.exemplars.shapes
        points = [
            s.located.frame.to_image(shapes[k] + s.displacement.astype(np.float64))
            for s, k in zip(last, classes, strict=True)
        ]
        indices = tuple(s.index for s in last)
        array = np.array(points, dtype=np.float32)
        found.append(TrackPathAnswer(track.track_id, indices, tuple(classes), array, best.score, best.gap))
    return tuple(found)


def rank_suggestions(
    frame_filter: FrameFilter, tracks: Sequence[Track], query: SuggestionQuery
) -> tuple[FrameSuggestion, ...]:
    """Which frame and landmark to click, best first; one landmark a frame and track.

    Raises:
        InvalidInputError: the query names an unknown or repeated landmark, or its sigma is out of range.
    """
    found = [s for track in tracks for s in _of_track(frame_filter, track, query)]

    def gain(s: FrameSuggestion) -> float:
        by_error = query.criterion is Criterion.ERROR
        return s.suggestion.error_reduction if by_error else s.suggestion.entropy_reduction

    found.sort(key=lambda s: (-gain(s), s.frame_index, s.track_id))
    return tuple(found[: query.count])


def _of_track(frame_filter: FrameFilter, track: Track, query: SuggestionQuery) -> Iterator[FrameSuggestion]:
    model, kept = frame_filter.aligner.model, track.samples
    posteriors = [
        Posterior(
            model, s.probabilities(frame_filter.chain.count), s.presence, displacement=s.displacement.astype(np.float64)
        )
        for s in kept
    ]
    frame_filter.check()
    errors = [p.expected_error * s.located.frame.side for p, s in zip(posteriors, kept, strict=True)]
    # The chain's transitions are between exemplars as they are.
    means = [p.mixture_mean for p in posteriors]
    reach = [_reach(frame_filter, means, errors, at) for at in range(len(kept))]
    ranked = sorted(range(len(kept)), key=lambda at: (-reach[at] * errors[at], at))
    for at in ranked[: SUMMARY.candidates]:
        sample = kept[at]
        if query.landmarks is None:
            landmarks = [n for n in range(means[at].shape[0]) if n not in sample.clicked]
        else:
            landmarks = [n for n in query.landmarks if n not in sample.clicked]
        if landmarks:
            face = Face(sample.located, posteriors[at])
            found = suggestions(face, query.sigma, landmarks, query.criterion, check=frame_filter.check)
            best = found.ranked[0]
            summed = Suggestion(best.landmark, best.error_reduction * reach[at], best.entropy_reduction * reach[at])
            yield FrameSuggestion(sample.index, track.track_id, summed)


def _reach(frame_filter: FrameFilter, means: Sequence[F64], errors: Sequence[float], at: int) -> float:
    """The sum of Eq. C1: how many frames a click in frame ``at`` changes, farther ones counted in part."""
    total = 1.0
    if frame_filter.options.temporal_model is not TemporalModel.FILTER:
        return total
    tau = frame_filter.aligner.bundle.manifest.tau
    for way in (range(at - 1, -1, -1), range(at + 1, len(means))):
        for u in way:
            apart = float(np.sqrt(np.square(means[u] - means[at]).sum(axis=1).mean()))
            if apart > tau:
                break
            total += SUMMARY.neighbour_gain ** abs(u - at) * min(1.0, errors[u] / errors[at])
    return total
