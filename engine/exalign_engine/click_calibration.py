"""How much of what a click is expected to buy it really buys, landmark by landmark.

`exalign_engine.suggestion` expects Δε(n) of a click on landmark n as if the posterior were the truth. It is not: a jaw
point says less about the rest of the face than the exemplars believe. So clicks are simulated on faces of ``val``,
clean and disturbed as the stress suite disturbs them, and

    (g_n, o_n) = argmin Σ ((a_n − g_n Δε(n)) / ε − o_n)²        over faces and conditions                   (S4)

where a_n is by how much the mean distance from the truth really fell. Half of the clicks come first, half second, after
one on a landmark drawn by the face's id. Mirrored landmarks share g and o. A suggestion promises g_n Δε(n) + o_n ε.

Without the offset, g_n = Σ a_n Δε / Σ Δε², what clicks buy on hidden faces speaks for clean ones as well: there a jaw
point, of which the posterior is least sure, was preferred to the nose, which bought .0006 of AUC more (200 faces of
``val``, cross-validated; with it .0002 less, and .007 less where everything is mixed). Gains by tertiles or fifths of ε
did no better.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.source import FaceSource
from exalign_engine.frames import extract_crop
from exalign_engine.landmarks import MIRROR, N_LANDMARKS
from exalign_engine.posterior import PosteriorModel
from exalign_engine.runtime import Runtime
from exalign_engine.scoring import Progress, score
from exalign_engine.stress.corruptions import seeded, stress
from exalign_engine.stress.policies import Case, simulated_clicks
from exalign_engine.suggestion import suggest

F64 = NDArray[np.float64]

#: What the faces go through: nothing, much hidden, a little and a lot of everything.
CONDITIONS = (("clean", 0), ("occluder", 3), ("mixed", 1), ("mixed", 3))

#: Faces that clicks are simulated on, evenly spaced.
FACES = 200


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
    """g and o of Eq. S4.

    Args:
        model: whose gains are all 1 and offsets 0.
        runtime: executes its network.
        faces: ``val``.
        input_size: of the network, pixels.
        margin: of the crop, box sides.
        limit: at most so many faces.
        threads: that simulate clicks.
        progress: told how many faces are done.

    Returns:
        (68, 2) columns g ≥ 0 and o.
    """
    rows = np.unique(np.linspace(0, len(faces) - 1, min(limit, len(faces))).astype(int))
    gathered = np.zeros((N_LANDMARKS, 2, 3))
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
            for equations in pool.map(_normal_equations, cases):
                gathered += equations
            if progress:
                progress(done + 1)
    return np.array([_line(*equations) for equations in gathered + gathered[MIRROR]])


def _normal_equations(case: Case) -> F64:
    """(68, 2, 3) Σ (x, 1)ᵀ (x, 1, y) of one case, first and second clicks: x = Δε / ε expected, y = a / ε bought."""
    gathered = np.zeros((N_LANDMARKS, 2, 3))
    first = int(seeded(case.face_id, "first click").integers(N_LANDMARKS))
    for clicked in ([], [first]):
        current = case.answer(clicked) if clicked else case.posterior
        before, suggestions = case.error(current.mean), suggest(current, case.sigma)
        unit = suggestions.expected_error
        for s in suggestions.ranked:
            x, y = s.error_reduction / unit, (before - case.error(case.answer([*clicked, s.landmark]).mean)) / unit
            gathered[s.landmark] += np.outer((x, 1.0), (x, 1.0, y))
    return gathered


def _line(xx: F64, one: F64) -> tuple[float, float]:
    """g ≥ 0 and o of least squares, from rows (Σx², Σx, Σxy) and (Σx, n, Σy)."""
    x, y = one[0] / one[1], one[2] / one[1]
    spread, together = xx[0] / one[1] - x * x, xx[2] / one[1] - x * y
    gain = max(together, 0.0) / max(spread, 1e-12)
    return float(gain), float(y - gain * x)
