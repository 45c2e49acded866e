"""What is said when no more frames come: most probable paths, and the click that would have helped most.

**Suggestion.** What a click in frame s buys there is `exalign_engine.evidence.suggestion`'s answer about that frame's
posterior, from a sketch of it. Through the chain it also helps the frames around, which is taken for

    buys(s, n) = Δ(s, n) · Σ_u FADE^|u−s| · min(1, ε_u / ε_s)                                                    (C1)

with Δ the reduction of error or entropy, ε the expected errors, and u over the kept frames around s up to the first one
whose mean shape is farther than τ from that of s, for shapes farther apart are no neighbours in the chain. Frames by
themselves help no others: there the sum is 1. It is an approximation: filtering the video again for every click
that might be given would be exact, and is what giving the click does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exalign_engine.evidence.suggestion import Criterion, Suggestion
from exalign_engine.face.aligner import Face
from exalign_engine.face.views import suggestions
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking.answers import FrameSuggestion, SuggestionWish, TrackPathAnswer
from exalign_engine.tracking.filter_step import Joiner
from exalign_engine.tracking.options import TemporalModel
from exalign_engine.tracking.track import Track, extended

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class SummarySettings:
    """Constants of a session's end.

    Attributes:
        neighbour_gain: FADE of Eq. C1: a neighbouring frame gets so much of what its neighbour got.
        candidates: frames of one track that are tried with a click: those with the most to gain by Eq. C1 with Δ = ε.
    """

    neighbour_gain: float = 0.9
    candidates: int = 16


SUMMARY = SummarySettings()


def paths(joiner: Joiner, tracks: Sequence[Track]) -> tuple[TrackPathAnswer, ...]:
    """The most probable path of every track through its last frames; none where none was wanted."""
    if not joiner.options.path_frames:
        return ()
    found = []
    for track in tracks:
        path = track.path
        for record in track.records:
            path = extended(path, record.emission, joiner.chain, joiner.options)
        if path is None:
            continue
        best = joiner.chain.best_path(path)
        classes = [int(k) for k in best.classes]
        last = track.sketches[-len(classes) :]
        shapes = joiner.aligner.bundle.exemplars.shapes
        points = [
            s.located.frame.to_image(shapes[k] + s.displacement.astype(np.float64))
            for s, k in zip(last, classes, strict=True)
        ]
        indices = tuple(s.index for s in last)
        array = np.array(points, dtype=np.float32)
        found.append(TrackPathAnswer(track.track_id, indices, tuple(classes), array, best.score, best.gap))
    return tuple(found)


def suggested(joiner: Joiner, tracks: Sequence[Track], wish: SuggestionWish) -> tuple[FrameSuggestion, ...]:
    """Which frame and landmark to click, best first; one landmark a frame and track.

    Raises:
        InvalidInputError: the wish names an unknown or repeated landmark, or its sigma is out of range.
    """
    found = [s for track in tracks for s in _of_track(joiner, track, wish)]

    def gain(s: FrameSuggestion) -> float:
        by_error = wish.criterion is Criterion.ERROR
        return s.suggestion.error_reduction if by_error else s.suggestion.entropy_reduction

    found.sort(key=lambda s: (-gain(s), s.frame_index, s.track_id))
    return tuple(found[: wish.count])


def _of_track(joiner: Joiner, track: Track, wish: SuggestionWish) -> Iterator[FrameSuggestion]:
    model, kept = joiner.aligner.model, track.sketches
    posteriors = [
        Posterior(
            model, s.probabilities(joiner.chain.count), s.presence, displacement=s.displacement.astype(np.float64)
        )
        for s in kept
    ]
    errors = [p.expected_error * s.located.frame.side for p, s in zip(posteriors, kept, strict=True)]
    # The chain's transitions are between exemplars as they are.
    means = [p.mixture_mean for p in posteriors]
    reach = [_reach(joiner, means, errors, at) for at in range(len(kept))]
    ranked = sorted(range(len(kept)), key=lambda at: (-reach[at] * errors[at], at))
    for at in ranked[: SUMMARY.candidates]:
        sketch = kept[at]
        if wish.landmarks is None:
            landmarks = [n for n in range(means[at].shape[0]) if n not in sketch.clicked]
        else:
            landmarks = [n for n in wish.landmarks if n not in sketch.clicked]
        if landmarks:
            face = Face(sketch.located, posteriors[at])
            best = suggestions(face, wish.sigma, landmarks, wish.criterion).ranked[0]
            summed = Suggestion(best.landmark, best.error_reduction * reach[at], best.entropy_reduction * reach[at])
            yield FrameSuggestion(sketch.index, track.track_id, summed)


def _reach(joiner: Joiner, means: Sequence[F64], errors: Sequence[float], at: int) -> float:
    """The sum of Eq. C1: how many frames a click in frame ``at`` changes, fading ones counted in part."""
    total = 1.0
    if joiner.options.temporal_model is not TemporalModel.FILTER:
        return total
    tau = joiner.aligner.bundle.manifest.tau
    for way in (range(at - 1, -1, -1), range(at + 1, len(means))):
        for u in way:
            apart = float(np.sqrt(np.square(means[u] - means[at]).sum(axis=1).mean()))
            if apart > tau:
                break
            total += SUMMARY.neighbour_gain ** abs(u - at) * min(1.0, errors[u] / errors[at])
    return total
