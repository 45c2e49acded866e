"""How much a frame's picture counts in the filter (docs/decisions/emission-strength.md).

    s_t  = π min(1, i/i₀)                                                                                      (T1)
    κ_t  = max(s_t, d κ_{t−1})                                                                                 (T2)
    s'_t = s_t ^ max(κ_{t−1}, κ₀), or 0 where s_t < s₀                                                         (T3)
    stay = c κ_{t−1}² max(0, 1 − s_t/s₁)                                                                       (T4)

π is the crop's presence and i = 1 − H(p)/ln K. A frame's emission is p^s'. The step into the frame keeps ``stay`` of
every exemplar's mass where it is (Eq. F2 of `exalign_engine.hmm.chain`). κ is the memory: how recently the face was in
full view, from 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from exalign_engine.posterior.posterior import Posterior


@dataclass(frozen=True)
class EmissionSettings:
    """Constants of Eq. T1 to T4.

    Attributes:
        full_information: i₀.
        decay: d.
        initial_memory: κ of a face that is seen for the first time: s' is s.
        min_memory: κ₀.
        min_ratio: s₀; below it a frame's emission is flat.
        max_self_transition: c.
        free_ratio: s₁; from it on the chain moves freely.
    """

    # docs/decisions/emission-strength.md
    full_information: float = 0.6
    decay: float = 0.9
    initial_memory: float = 1.0
    min_memory: float = 0.6
    min_ratio: float = 0.02
    max_self_transition: float = 0.9
    free_ratio: float = 0.9


EMISSION = EmissionSettings()


def information_ratio(posterior: Posterior, full: float = EMISSION.full_information) -> float:
    """s, from 0 to 1 (Eq. T1).

    Args:
        posterior: of a crop alone.
        full: i₀.
    """
    information = 1 - posterior.entropy / math.log(len(posterior.probabilities))
    return posterior.presence * min(max(information / full, 0.0), 1.0)


def emission_exponent(s: float, memory: float) -> float:
    """s' from s and κ, all from 0 to 1 (Eq. T3)."""
    return 0.0 if s < EMISSION.min_ratio else float(s ** max(memory, EMISSION.min_memory))


def self_transition(s: float, memory: float) -> float:
    """``stay`` from s and κ, from 0 to c (Eq. T4)."""
    return EMISSION.max_self_transition * memory * memory * max(0.0, 1 - s / EMISSION.free_ratio)


def decay(memory: float, frames: int) -> float:
    """κ after so many frames ≥ 0 in which nothing was seen (Eq. T2)."""
    return float(memory * EMISSION.decay**frames)
