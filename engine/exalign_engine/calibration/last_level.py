"""What the residual's last level sees and should say: a linear regression, for its input h is known before its W₂.

Of Eq. R2 with h = relu(W₁ v + b₁) of the last level, for each look at a crop,

    t = (y − y_L−1) / s            is what W₂ h + b₂ should be                                              (F1)
    C = mean of ĥ ĥᵀ, ĥ = (h, 1)   over training crops is what of them a later fit needs                    (F2)

A change Δ of (W₂, b₂) moves the answers to those crops by s² tr(Δ C Δᵀ) a face, mean square over the two looks: so what
fine-tuning does to faces that are not at hand is known without them (`exalign_engine.finetune`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F32, F64
from exalign_engine.bundle.moments_file import Moments
from exalign_engine.geometry.landmarks import N_LANDMARKS, mirror_shapes
from exalign_engine.network.outputs import FaceOutputs, Outputs
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.posterior.residual import STEP, ResidualHead


@dataclass(frozen=True)
class LastLevel:
    """B crops as the last level saw them, L looks each; frames are those of the looks.

    Attributes:
        hidden: (B, L, H + 1) float32, ĥ.
        before: (B, L, 68, 2) float32, y_L−1.
        start: (B, 68, 2) float64, y₀ of the crop.
        share: (B,) float64, Σ p_k w_k: how much of a displacement the posterior's mean takes.
        truth: (B, 68, 2) float64, frame of the crop's box.
    """

    hidden: F32
    before: F32
    start: F64
    share: F64
    truth: F64

    def __len__(self) -> int:
        return len(self.truth)

    def part(self, rows: range) -> LastLevel:
        """Some of the crops, which stand together."""
        some = slice(rows.start, rows.stop)
        return LastLevel(self.hidden[some], self.before[some], self.start[some], self.share[some], self.truth[some])

    @classmethod
    def joined(cls, parts: Sequence[LastLevel]) -> LastLevel:
        """All crops of several."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    @property
    def target(self) -> F64:
        """(B, L, 136): t of Eq. F1."""
        looks = self.before.shape[1]
        truth = np.stack([self.truth, *([mirror_shapes(self.truth)] if looks == 2 else [])], axis=1)
        return np.asarray((truth - self.before) / STEP, dtype=np.float64).reshape(len(self), looks, -1)

    def means(self, weight: F64) -> F64:
        """(B, 68, 2): the posterior's means with another (W₂, b₂).

        Args:
            weight: (136, H + 1) float64; the last column is b₂.
        """
        ends = self.before + STEP * (self.hidden @ weight.T.astype(np.float32)).reshape(self.before.shape)
        end = ends[:, 0] if ends.shape[1] == 1 else (ends[:, 0] + mirror_shapes(ends[:, 1])) / 2
        return np.asarray(self.start + self.share[:, None, None] * (end - self.start))


def see_last_level(
    model: PosteriorModel, head: ResidualHead, outputs: Sequence[FaceOutputs], truth: NDArray[np.floating]
) -> LastLevel:
    """What the last level saw of crops.

    Args:
        model: its displacer is ``head``.
        head: the residual.
        outputs: of B crops.
        truth: (B, 68, 2), box frames.

    Raises:
        ValueError: the network has no map that a residual reads.
    """
    hidden, before, start, share = [], [], [], []
    for row in outputs:
        if row.image is None:
            raise ValueError("the network has no output 'local'")
        posterior = model.posterior(row.scores, row.image, row.sums)
        y0, r = posterior.mixture_mean, posterior.displacement
        h, shapes = head.before_last(row.image, y0)
        hidden.append(np.concatenate([h, np.ones((len(h), 1), np.float32)], axis=1))
        before.append(shapes)
        start.append(y0)
        share.append(float(np.vdot(posterior.mean_displacement, r) / max(np.vdot(r, r), np.finfo(float).tiny)))
    return LastLevel(
        np.stack(hidden), np.stack(before), np.stack(start), np.array(share), np.asarray(truth, np.float64)
    )


class MomentsMeter:
    """Adds up C of Eq. F2 over crops as they are scored, each face once.

    Args:
        model: see `see_last_level`.
        head: likewise.
        faces: how many crops are taken, the first; others are left out.
    """

    def __init__(self, model: PosteriorModel, head: ResidualHead, faces: int) -> None:
        self._model, self._head, self._left = model, head, faces
        self._sum, self._rows = np.zeros(()), 0

    def see(self, outputs: Outputs, shapes: NDArray[np.floating]) -> None:
        """Take what is wanted of some crops with their truth, (B, 68, 2)."""
        some = min(self._left, len(shapes))
        if not some:
            return
        self._left -= some
        seen = see_last_level(self._model, self._head, outputs.rows()[:some], shapes[:some])
        rows = seen.hidden.reshape(-1, seen.hidden.shape[-1]).astype(np.float64)
        self._sum, self._rows = self._sum + rows.T @ rows, self._rows + len(rows)

    @property
    def moments(self) -> Moments:
        """C of what was seen so far."""
        return Moments(self._sum / self._rows, self._rows)


def last_weight(head: ResidualHead) -> F64:
    """(136, H + 1): W₂ and, as the last column, b₂ of the last level."""
    level = head.levels[-1]
    return np.concatenate([level.weight, level.bias[:, None]], axis=1).astype(np.float64)


def moved_rms(change: F64, moments: F64) -> float:
    """By how much the landmarks of the crops of ``moments`` move, box sides, root mean square, at most.

    Args:
        change: (136, H + 1) of (W₂, b₂).
        moments: C of Eq. F2, (H + 1, H + 1).
    """
    return float(STEP * np.sqrt(max(np.einsum("ij,jk,ik->", change, moments, change), 0.0) / N_LANDMARKS))
