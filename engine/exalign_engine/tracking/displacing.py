"""What pictures do to a track beside the chain: they displace its exemplars (`exalign_engine.posterior`).

The chain knows nothing of it: beliefs, transitions and emissions are about the exemplars as they are. An answer is
about exemplars displaced by

    r_t = e_t r(I_t, m_t) + (1 − e_t) r_{t−1}                                                                  (D1)

with r(I, m) what the residual reads in picture I from shape m (`exalign_engine.residual`), m_t the mean of the frame's
belief, and e_t the exponent of its emission, 0 where that is flat. So a picture in which little is seen of the face
displaces it little, and what the face was seen to have of its own stays with it while it is hidden. How much of r_t an
exemplar takes depends on how far it is from the mean of whatever belief is answered with.

Evidence is weighed with displaced exemplars and leaves r_t as it is, whether it comes in time or late.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from exalign_engine.kernels import nearness
from exalign_engine.posterior import Posterior, PosteriorModel
from exalign_engine.residual import REACH

F16 = NDArray[np.float16]
F32 = NDArray[np.float32]

#: i₀, chosen on ``val``: an open face tells .7 of ln K on average, one that is half covered .5, a hidden one .1.
FULL_TELLING = 0.6


def displacement(weights: F32, posterior: Posterior, carried: F16) -> F16:
    """Eq. D1 where the emission is not flat.

    Args:
        weights: (K,) of the belief.
        posterior: of the crop alone.
        carried: (68, 2) r_{t−1}.

    Returns:
        (68, 2) r_t, box sides.
    """
    model, image, e = posterior.model, posterior.image, strength(posterior)
    if model.displacer is None or image is None:
        return carried
    found = model.displacer.displacement(image, Posterior(model, weights, 1.0).mixture_mean)
    return np.asarray(e * found + (1 - e) * carried.astype(np.float64), dtype=np.float16)


def displaced(model: PosteriorModel, weights: F32, presence: float, r: F16) -> Posterior:
    """The posterior with these weights, (K,), over displaced exemplars."""
    plain = Posterior(model, weights, presence)
    if not r.any():
        return plain
    index, share = plain.kept[0], np.zeros_like(weights)
    share[index] = nearness(index, model.shapes, plain.mixture_mean.T, REACH)
    return Posterior(model, weights, presence, displacement=r.astype(np.float64), share=share)


def reweighted(posterior: Posterior, weights: F32) -> Posterior:
    """The same exemplars where they are displaced to, with other weights (K,)."""
    return Posterior(
        posterior.model, weights, posterior.presence, displacement=posterior.displacement, share=posterior.share
    )


def strength(posterior: Posterior) -> float:
    """How much a crop counts against the frames before, from 0 to 1: e_t, the exponent of its emission."""
    telling = 1 - posterior.entropy / math.log(len(posterior.probabilities))
    return posterior.presence * min(max(telling / FULL_TELLING, 0.0), 1.0)
