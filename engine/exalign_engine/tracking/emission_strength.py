"""What a picture tells about a shape, and how much that counts against what is remembered.

    s_t  = π min(1, i/i₀)                                                                                      (T1)
    κ_t  = max(s_t, d κ_{t−1})                                                                                 (T2)
    s'_t = s_t ^ max(κ_{t−1}, κ₀), or 0 where s_t < s₀                                                         (T3)
    stay = c κ_{t−1}² max(0, 1 − s_t/s₁)                                                                       (T4)

π is the crop's presence and i = 1 − H(p)/ln K. A frame's emission is p^s', and the chain's step into it keeps ``stay``
of every exemplar's mass where it is (Eq. F2 of `exalign_engine.hmm.chain`).

The less there is a face and the less of it is seen, the less weight its shape has: a face in full view has i ≥ i₀,
s = 1 and keeps its p. What is behind one obstacle is covered in the same way for several frames, whose errors are not
independent; so half a face counts for less than a chain of independent pictures would let it. κ is what is known of
the face from before: 1 in full view, and then it grows stale. While a face disappears, κ is near 1: its shape was seen
a moment ago, and the chain hardly moves. When it comes out again it may have turned: κ has faded, the chain moves
freely, and the same half of a face counts for more.

The filter's error behind an obstacle that covers 40 to 95 % of the face, ÷ that of single frames, on 20 clips of
``val`` that do not cut (true boxes with 3 % jitter, taken as they are; a κ₀ of .4 and a stay of
.6 κ (1 − s), in the last row .3 and Eq. T4 with .98):

                    all     going in  coming out  in view
    neither         .698    .578      .839        1.011
    T3 alone        .676    .575      .793        1.011
    T4 alone        .679    .543      .838        1.014
    both            .652    .542      .779        1.012

With filtered boxes (`exalign_engine.tracking.box_filter`), over all 41, and how often 90 % intervals hold the yaw while
the face is half covered, and hidden:

    c         κ₀            all     going in  coming out  hidden    intervals
    .98       .3            .651    .520      .786        .520      81.5 %, 83.0 %
    .98       .6            .655    .520      .795        .513      84.9 %, 83.8 %
    .9        .6            .656    .521      .795        .514      85.6 %, 84.1 %

A half-covered face that counts for less leaves wider intervals, which hold more; the last row is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from exalign_engine.posterior.posterior import Posterior


@dataclass(frozen=True)
class EmissionSettings:
    """Constants of Eq. T1 to T4.

    Attributes:
        full_information: i₀, chosen on ``val``: an open face tells .7 of ln K on average, one that is half covered .5,
            a hidden one .1.
        decay: d, what is left of κ after each frame in which less is seen.
        initial_memory: κ of a face that is seen for the first time: s' is s.
        min_memory: κ₀, the least exponent in Eq. T3.
        min_ratio: s₀, below which a frame's emission is flat.
        max_self_transition: c.
        free_ratio: s₁, from which on the chain moves freely: where all was held back that is not in full view, faces in
            view lagged.
    """

    full_information: float = 0.6
    decay: float = 0.9
    initial_memory: float = 1.0
    min_memory: float = 0.6
    min_ratio: float = 0.02
    max_self_transition: float = 0.9
    free_ratio: float = 0.9


EMISSION = EmissionSettings()


def strength(posterior: Posterior, full: float = EMISSION.full_information) -> float:
    """s, from 0 to 1 (Eq. T1).

    Args:
        posterior: of a crop alone.
        full: i₀.
    """
    telling = 1 - posterior.entropy / math.log(len(posterior.probabilities))
    return posterior.presence * min(max(telling / full, 0.0), 1.0)


def weighed(s: float, known: float) -> float:
    """s' from s and κ, all from 0 to 1 (Eq. T3)."""
    return 0.0 if s < EMISSION.min_ratio else float(s ** max(known, EMISSION.min_memory))


def staying(s: float, known: float) -> float:
    """``stay`` from s and κ, from 0 to c (Eq. T4)."""
    return EMISSION.max_self_transition * known * known * max(0.0, 1 - s / EMISSION.free_ratio)


def faded(known: float, frames: int) -> float:
    """κ after so many frames ≥ 0 in which nothing was seen (Eq. T2)."""
    return float(known * EMISSION.decay**frames)
