"""What a picture tells about a shape, and how much that counts against what is remembered.

    s_t  = π min(1, i/i₀)                                                                                      (T1)
    κ_t  = max(s_t, `FADING` κ_{t−1})                                                                          (T2)
    s'_t = s_t ^ max(κ_{t−1}, `LEAST_KNOWN`), or 0 where s_t < `LEAST_STRENGTH`                                (T3)
    stay = `LAZINESS` κ_{t−1}² max(0, 1 − s_t/`OPEN`)                                                          (T4)

π is the crop's presence and i = 1 − H(p)/ln K. A frame's emission is p^s', and the chain's step into it keeps ``stay``
of every exemplar's mass where it is (Eq. F2 of `exalign_engine.hmm.chain`).

The less there is a face and the less of it is seen, the less weight its shape has: a face in full view has i ≥ i₀,
s = 1 and keeps its p. What is behind one obstacle is covered in the same way for several frames, whose errors are not
independent; so half a face counts for less than a chain of independent pictures would let it. κ is what is known of
the face from before: 1 in full view, and then it grows stale. While a face disappears, κ is near 1: its shape was seen
a moment ago, and the chain hardly moves. When it comes out again it may have turned: κ has faded, the chain moves
freely, and the same half of a face counts for more.

The filter's error behind an obstacle that covers 40 to 95 % of the face, ÷ that of single frames, on 20 clips of
``val`` that do not cut (true boxes with 3 % jitter, taken as they are; a `LEAST_KNOWN` of .4 and a stay of
.6 κ (1 − s), in the last row .3 and Eq. T4 with .98):

                    all     going in  coming out  in view
    neither         .698    .578      .839        1.011
    T3 alone        .676    .575      .793        1.011
    T4 alone        .679    .543      .838        1.014
    both            .652    .542      .779        1.012

With filtered boxes (`exalign_engine.tracking.box_filter`), over all 41, and how often 90 % intervals hold the yaw while
the face is half covered, and hidden:

    LAZINESS  LEAST_KNOWN   all     going in  coming out  hidden    intervals
    .98       .3            .651    .520      .786        .520      81.5 %, 83.0 %
    .98       .6            .655    .520      .795        .513      84.9 %, 83.8 %
    .9        .6            .656    .521      .795        .514      85.6 %, 84.1 %

A half-covered face that counts for less leaves wider intervals, which hold more; the last row is used.
"""

from __future__ import annotations

import math

from exalign_engine.posterior.posterior import Posterior

#: i₀, chosen on ``val``: an open face tells .7 of ln K on average, one that is half covered .5, a hidden one .1.
FULL_TELLING = 0.6

#: What is left of κ after each frame in which less is seen.
FADING = 0.9

#: κ of a face that is seen for the first time: s' is s.
FRESH = 1.0

#: Bounds in Eq. T3.
LEAST_KNOWN, LEAST_STRENGTH = 0.6, 0.02

#: In Eq. T4. From s = `OPEN` on the chain moves freely: where all was lazy that is not in full view, faces in view
#: lagged.
LAZINESS, OPEN = 0.9, 0.9


def strength(posterior: Posterior, full: float = FULL_TELLING) -> float:
    """s, from 0 to 1 (Eq. T1).

    Args:
        posterior: of a crop alone.
        full: i₀.
    """
    telling = 1 - posterior.entropy / math.log(len(posterior.probabilities))
    return posterior.presence * min(max(telling / full, 0.0), 1.0)


def weighed(s: float, known: float) -> float:
    """s' from s and κ, all from 0 to 1 (Eq. T3)."""
    return 0.0 if s < LEAST_STRENGTH else float(s ** max(known, LEAST_KNOWN))


def staying(s: float, known: float) -> float:
    """``stay`` from s and κ, from 0 to `LAZINESS` (Eq. T4)."""
    return LAZINESS * known * known * max(0.0, 1 - s / OPEN)


def faded(known: float, frames: int) -> float:
    """κ after so many frames ≥ 0 in which nothing was seen (Eq. T2)."""
    return float(known * FADING**frames)
