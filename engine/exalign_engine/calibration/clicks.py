"""What clicks are worth: how much of the gain that a posterior expects of a click it really brings.

`exalign_engine.evidence.suggestion` expects Δε(n) and ΔH(n) of a click on landmark n as if the posterior were the
truth, which it is not. So clicks are simulated on faces of ``val``, clean and disturbed as in the stress suite, and

    (α, β, o) = argmin Σ (a_n / ε − α Δε(n) / ε − β ΔH(n) − o_n)²        over faces, conditions, clicks    (S4)

where a_n is by how much the mean distance from the truth really fell. Mirrored landmarks share o. A suggestion promises
α Δε(n) + (β ΔH(n) + o_n) ε. Which clicks are simulated, and why of this form: docs/decisions/click-calibration.md
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from exalign_engine.arrays import F64
from exalign_engine.data.face_source import FaceSource
from exalign_engine.evidence.suggestion import suggest
from exalign_engine.face.click_policies import NOSE_ORDER, Case, simulated_clicks
from exalign_engine.geometry.frames import extract_crop
from exalign_engine.geometry.landmarks import MIRROR, N_LANDMARKS
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import Progress
from exalign_engine.sampling.corruptions import seeded, stress

#: What the faces go through: nothing, much hidden, a little and a lot of everything.
CONDITIONS = (("clean", 0), ("occluder", 3), ("mixed", 1), ("mixed", 3))

#: Faces that clicks are simulated on, evenly spaced; and clicks on each.
CLICK_FACES, CLICKS = 150, 3


@dataclass(frozen=True)
class ClickFit:
    """What clicks buy (Eq. S4).

    Attributes:
        slopes: α and β ≥ 0.
        offset: (68,) o_n.
    """

    slopes: tuple[float, float]
    offset: F64


def fit_clicks(
    model: PosteriorModel,
    runtime: Runtime,
    faces: FaceSource,
    input_size: int,
    margin: float,
    *,
    limit: int = CLICK_FACES,
    threads: int = 2,
    progress: Progress | None = None,
) -> ClickFit:
    """Eq. S4.

    Args:
        model: whose slopes are 1 and 0, and offsets 0.
        runtime: executes its network.
        faces: ``val``.
        input_size: of the network, pixels.
        margin: of the crop, box sides.
        limit: at most so many faces.
        threads: that simulate clicks.
        progress: told how many faces are done.
    """
    rows = np.unique(np.linspace(0, len(faces) - 1, min(limit, len(faces))).astype(int))
    gathered = np.zeros((N_LANDMARKS, 4, 4))
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
            for moments in pool.map(_moments, cases):
                gathered += moments
            if progress:
                progress(done + 1)
    return solved(gathered + gathered[MIRROR])


def _moments(case: Case) -> F64:
    """(68, 4, 4) Σ vᵀv of one case, v = (1, Δε / ε, ΔH, a / ε)."""
    gathered = np.zeros((N_LANDMARKS, 4, 4))
    clicked: list[int] = []
    for usual, best in zip(
        NOSE_ORDER[:CLICKS], seeded(case.face_id, "clicks before").random(CLICKS) < 0.5, strict=True
    ):
        current = case.answer(clicked) if clicked else case.posterior
        before, suggestions = case.error(current.mean), suggest(current, case.sigma)
        unit = suggestions.expected_error
        for s in suggestions.ranked:
            bought = before - case.error(case.answer([*clicked, s.landmark]).mean)
            v = np.array([1.0, s.error_reduction / unit, s.entropy_reduction, bought / unit])
            gathered[s.landmark] += np.outer(v, v)
        clicked.append(suggestions.ranked[0].landmark if best or usual in clicked else usual)
    return gathered


def solved(moments: F64) -> ClickFit:
    """Least squares from the moments of each landmark.

    About each landmark's own means the offsets drop out, and the slopes are left.

    Args:
        moments: (68, 4, 4) Σ vᵀv, v = (1, Δε / ε, ΔH, a / ε), of at least one click on every landmark.
    """
    means = moments[:, 0, 1:] / moments[:, 0, :1]
    within = (moments[:, 1:, 1:] - moments[:, :1, :1] * means[:, :, None] * means[:, None, :]).sum(axis=0)
    # Of Σ (y − Xb)² = bᵀ A b − 2 cᵀ b + …, with A = LLᵀ, the least is that of ‖Lᵀ b − L⁻¹ c‖.
    root = np.linalg.cholesky(within[:2, :2] + 1e-12 * np.eye(2))
    slopes, _ = nnls(root.T, np.linalg.solve(root, within[:2, 2]))
    return ClickFit((float(slopes[0]), float(slopes[1])), means[:, 2] - means[:, :2] @ slopes)
