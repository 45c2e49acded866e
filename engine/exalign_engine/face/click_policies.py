"""Which landmark is clicked next, and what the answer is then: the policies of the stress suite.

A simulated click is the truth plus Gaussian noise of 1 % of the true box's diagonal, seeded by face and landmark:
two policies that click the same landmark see the same click.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.evidence.conditioning import condition
from exalign_engine.evidence.evidence import Evidence, SoftClick
from exalign_engine.evidence.suggestion import suggest
from exalign_engine.geometry.landmarks import N_LANDMARKS, NOSE_TIP
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.sampling.corruptions import seeded

#: What ``nose`` clicks: the nose tip, the chin, the outer corners of the eyes, those of the mouth, the ends of the jaw,
#: and the outer ends of the brows.
NOSE_ORDER = (NOSE_TIP, 8, 36, 45, 48, 54, 0, 16, 17, 26)

#: Policies that click, beside ``none``, ``regression`` and ``translate`` (one nose click).
CLICKING = ("nose", "random", "suggested", "oracle")
MAX_CLICKS = 3

#: Orders in which ``random`` clicks each face. Others are compared with their mean: with one order, the luck of the
#: draw is as large as all that policies differ by on an easy face.
RANDOM_ORDERS = 8

#: The oracle tries every landmark on so many of the heaviest exemplars, and the best few on all of them.
ORACLE_MEMBERS, ORACLE_FINALISTS = 1024, 5


@dataclass(frozen=True)
class Case:
    """One disturbed face as a policy sees it.

    Attributes:
        posterior: the network's.
        truth: (68, 2) frame of the given box.
        clicks: (68, 2) where a click on each landmark would land.
        sigma: of the clicks, box sides.
        face_id: seeds the random policy.
    """

    posterior: Posterior
    truth: F64
    clicks: F64
    sigma: float
    face_id: str

    def click(self, landmark: int) -> SoftClick:
        """The simulated click."""
        return SoftClick(landmark, float(self.clicks[landmark, 0]), float(self.clicks[landmark, 1]), self.sigma)

    def answer(self, clicked: Sequence[int], posterior: Posterior | None = None) -> Posterior:
        """The posterior given clicks on these landmarks."""
        evidence = Evidence(clicks=tuple(self.click(n) for n in clicked))
        return condition(posterior or self.posterior, evidence).posterior

    def error(self, points: F64) -> float:
        """Mean distance to the truth, box sides."""
        return float(np.linalg.norm(points - self.truth, axis=1).mean())


#: The case, the posterior so far and the landmarks clicked so far, to the next.
_Choice = Callable[[Case, Posterior, Sequence[int]], int]


def simulated_clicks(truth: F64, sigma: float, face_id: str) -> F64:
    """(68, 2) where a click on each landmark would land: (68, 2) truth and σ in box sides."""
    noise: F64 = seeded(face_id, "clicks").standard_normal((N_LANDMARKS, 2))
    return np.asarray(truth + sigma * noise, dtype=np.float64)


def translated(case: Case) -> F64:
    """(68, 2) the posterior's mean shape, shifted so that its nose tip meets the click: no conditioning."""
    mean = case.posterior.mean
    return np.asarray(mean + (case.clicks[NOSE_TIP] - mean[NOSE_TIP]), dtype=np.float64)


def click_answers(policy: str, case: Case, clicks: int = MAX_CLICKS, order: int = 0) -> Iterator[F64]:
    """Answers after 1, 2, … clicks of a policy of `CLICKING`: (68, 2) each, frame of the given box.

    Args:
        policy: which.
        case: the face.
        clicks: how many at most.
        order: of ``random``, which of its orders, from 0.
    """
    choose = _CHOICES.get(policy) or _random(case, order)
    clicked: list[int] = []
    current = case.posterior
    for _ in range(clicks):
        clicked.append(choose(case, current, clicked))
        current = case.answer(clicked)
        yield current.mean


def _random(case: Case, order: int) -> _Choice:
    landmarks = seeded(case.face_id, f"random {order}").permutation(N_LANDMARKS)
    return lambda case, current, clicked: int(landmarks[len(clicked)])


def _nose(case: Case, current: Posterior, clicked: Sequence[int]) -> int:
    return NOSE_ORDER[len(clicked)]


def _suggested(case: Case, current: Posterior, clicked: Sequence[int]) -> int:
    return suggest(current, case.sigma).ranked[0].landmark


def _oracle(case: Case, current: Posterior, clicked: Sequence[int]) -> int:
    """The landmark whose click leaves the least error; greedy."""
    open_ = [n for n in range(N_LANDMARKS) if n not in clicked]
    few = heaviest_part(case.posterior, ORACLE_MEMBERS)
    rough = {n: case.error(case.answer([*clicked, n], few).mean) for n in open_}
    finalists = sorted(open_, key=lambda n: (rough[n], n))[:ORACLE_FINALISTS]
    exact = {n: case.error(case.answer([*clicked, n]).mean) for n in finalists}
    return min(finalists, key=lambda n: (exact[n], n))


_CHOICES: dict[str, _Choice] = {
    "nose": _nose,
    "suggested": _suggested,
    "oracle": _oracle,
}


def heaviest_part(posterior: Posterior, members: int) -> Posterior:
    """The network's posterior with its ``members`` heaviest exemplars alone, renormalised."""
    p = posterior.probabilities
    if len(p) <= members:
        return posterior
    kept = np.sort(np.argpartition(p, -members)[-members:])
    weights = p[kept] / p[kept].sum(dtype=np.float64).astype(np.float32)
    share = None if posterior.share is None else posterior.share[kept]
    model = PosteriorModel(posterior.model.exemplars.part(kept), posterior.model.calibration)
    return Posterior(model, weights, posterior.presence, displacement=posterior.displacement, share=share)
