"""How pictures displace a track's exemplars, beside the chain (docs/decisions/track-displacement.md).

    r_t = u_t r(I_t, m_t) + (1 − u_t) r_{t−1}                                                                  (D1)

r(I, m) is what the residual reads in picture I from shape m (`exalign_engine.posterior.residual`), m_t the mean of the
frame's belief. u_t = (π min(1, i/u₀))¹⁶, and 0 where the emission is flat; π and i are those of
`exalign_engine.tracking.emission_strength`.

Beliefs, transitions and emissions are about exemplars as they are; answers are about displaced ones. The farther an
exemplar is from the mean of the belief that is answered with, the less of r_t it takes. Evidence is weighed with
displaced exemplars and leaves r_t as it is, whether it comes in time or late.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exalign_engine.arrays import F16, F32
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking.emission_strength import information_ratio


@dataclass(frozen=True)
class DisplacementSettings:
    """Constants of u_t in Eq. D1.

    Attributes:
        full_information: u₀.
        power: its exponent.
    """

    # docs/decisions/track-displacement.md
    full_information: float = 0.7
    power: int = 16


DISPLACEMENT = DisplacementSettings()


def blend_displacement(plain: Posterior, posterior: Posterior, carried: F16) -> F16:
    """Eq. D1 where the emission is not flat.

    Args:
        plain: the belief's, nothing displaced.
        posterior: of the crop alone.
        carried: (68, 2) r_{t−1}, box sides.

    Returns:
        (68, 2) r_t, box sides.
    """
    displacer, image = posterior.model.displacer, posterior.image
    if displacer is None or image is None:
        return carried
    u = information_ratio(posterior, DISPLACEMENT.full_information) ** DISPLACEMENT.power
    found = displacer.displacement(image, plain.mixture_mean)
    return np.asarray(u * found + (1 - u) * carried.astype(np.float64), dtype=np.float16)


def displaced_posterior(plain: Posterior, r: F16) -> Posterior:
    """A belief's posterior, nothing displaced, over exemplars displaced by r, (68, 2), box sides."""
    if not r.any():
        return plain
    moved, start = r.astype(np.float64), plain.mixture_mean
    model, p = plain.model, plain.probabilities
    return Posterior(model, p, plain.presence, displacement=moved, start=start, kept=plain.kept, held=plain.held)


def with_weights(posterior: Posterior, weights: F32) -> Posterior:
    """The same displaced exemplars with other weights, (K,)."""
    return Posterior(
        posterior.model, weights, posterior.presence, displacement=posterior.displacement, share=posterior.share
    )
