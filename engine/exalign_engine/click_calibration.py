"""How much of what a click is expected to buy it really buys, landmark by landmark.

`exalign_engine.suggestion` expects Δε(n) of a click on landmark n as if the posterior were the truth. It is not: a jaw
point says less about the rest of the face than the exemplars believe. So clicks are simulated on faces of ``val``,
clean and disturbed as the stress suite disturbs them, and

    g_n = Σ a_n Δε(n) / Σ Δε(n)²        over faces and conditions, both in units of ε                       (S4)

where a_n is by how much the root mean square error really fell. Half of the clicks come first, half second, after one
on a landmark drawn by the face's id. g is the same for mirrored landmarks. A suggestion promises g_n Δε(n).
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.source import FaceSource
from exalign_engine.frames import extract_crop
from exalign_engine.landmarks import MIRROR, N_LANDMARKS
from exalign_engine.posterior import Posterior, PosteriorModel
from exalign_engine.runtime import Runtime
from exalign_engine.scoring import Progress, score
from exalign_engine.stress.corruptions import seeded, stress
from exalign_engine.stress.policies import Case, simulated_clicks
from exalign_engine.suggestion import suggest

F64 = NDArray[np.float64]

#: What the faces go through: nothing, much hidden, a little and a lot of everything.
CONDITIONS = (("clean", 0), ("occluder", 3), ("mixed", 1), ("mixed", 3))

#: Faces that clicks are simulated on, evenly spaced.
FACES = 120


def fit_click_gain(
    model: PosteriorModel,
    runtime: Runtime,
    faces: FaceSource,
    input_size: int,
    margin: float,
    *,
    limit: int = FACES,
    threads: int = 2,
    progress: Progress | None = None,
) -> F64:
    """g of Eq. S4.

    Args:
        model: whose gains are all 1.
        runtime: executes its network.
        faces: ``val``.
        input_size: of the network, pixels.
        margin: of the crop, box sides.
        limit: at most so many faces.
        threads: that simulate clicks.
        progress: told how many faces are done.

    Returns:
        (68,) ≥ 0, the same for mirrored landmarks.
    """
    rows = np.unique(np.linspace(0, len(faces) - 1, min(limit, len(faces))).astype(int))
    products, squares = np.zeros(N_LANDMARKS), np.zeros(N_LANDMARKS)
    with ThreadPoolExecutor(threads) as pool:
        for done, i in enumerate(rows):
            name = faces.ids[i]
            stressed = [stress(faces.image(i), faces.landmarks[i], name, *c) for c in CONDITIONS]
            out = score(runtime, (extract_crop(s.picture, s.given, margin, input_size) for s in stressed))
            cases = []
            for s, row in zip(stressed, out.rows(), strict=True):
                truth = s.given.from_image(s.truth)
                clicks = simulated_clicks(truth, s.click_sigma, name)
                cases.append(Case(model.posterior(row.scores, row.image), truth, clicks, s.click_sigma, name))
            for product, square in pool.map(_gains, cases):
                products += product
                squares += square
            if progress:
                progress(done + 1)
    products, squares = products + products[MIRROR], squares + squares[MIRROR]
    return np.asarray(np.maximum(products, 0) / np.maximum(squares, 1e-12))


def _gains(case: Case) -> tuple[F64, F64]:
    """Σ a_n Δε(n) and Σ Δε(n)² of one case, first and second clicks together, in units of ε²: (68,) each."""
    products, squares = np.zeros(N_LANDMARKS), np.zeros(N_LANDMARKS)
    first = int(seeded(case.face_id, "first click").integers(N_LANDMARKS))
    unit = case.posterior.expected_error
    for clicked in ([], [first]):
        current = case.answer(clicked) if clicked else case.posterior
        before = _rms(case, current)
        for s in suggest(current, case.sigma).ranked:
            expected = max(s.error_reduction, 0.0) / unit
            really = (before - _rms(case, case.answer([*clicked, s.landmark]))) / unit
            products[s.landmark] += really * expected
            squares[s.landmark] += expected**2
    return products, squares


def _rms(case: Case, posterior: Posterior) -> float:
    """Root mean square error of the mean over the 68 points, box sides."""
    return math.sqrt(float(np.square(posterior.mean - case.truth).sum(axis=1).mean()))
