"""The training runs that the report needs: which there are, in what order, and what they share.

Everything is small on purpose: a network of 12 MMAC on crops of 64 pixels sees each training face a dozen times,
differently disturbed. What is compared is losses and K, all else equal; the errors are far above the shipped bundle's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.train.config import ExemplarConfig, Loss, NetworkConfig, TrainConfig

#: Fig. 3: the losses that are compared …
LOSSES: tuple[Loss, ...] = ("softmax", "soft-target", "multilabel")
#: … by k-means classes of the poses of `POSES` variants a face …
KMEANS_K = (10, 100, 1_000, 10_000)
#: … and with every pose a class: so many variants a training face, K = 2 · faces · variants.
POSES, MOST_POSES = 4, 17

#: Seeds where error bars are shown.
SEEDS = (1, 2, 3)

EPOCHS = 12
BATCH = 64
LEARNING_RATE = 2e-3
WARMUP = 50

#: Membership radius τ, box sides: that of the shipped bundle.
TAU = 0.07

#: The network of all runs.
NETWORK = NetworkConfig(
    input_size=64,
    widths=(12, 24, 48, 96),
    blocks=(1, 1, 2, 1),
    feature_channels=32,
    embedding=64,
    # Nothing reads the map for the residual here.
    local_width=2,
    local_channels=1,
    residual_levels=0,
)

#: How crops are disturbed: in pose as the exemplars are, in the pixels mildly; softmax has no way to learn "no face".
AUGMENT = AugmentConfig(wide_roll=0.12, turned=0.25, turned_pictures=1, negatives=0.0)

#: The same without synthetic poses: no rotation and no turn; boxes are still off.
REAL_AUGMENT = AugmentConfig(roll_deg=0.0, wide_roll=0.0, turned=0.0, turned_pictures=0, negatives=0.0)


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        loss: of `exalign_engine.train.losses`.
        k: k-means classes; 0 makes every pose a class.
        variants: poses a training face among the classes; 1 is the face itself alone.
        seed: of the initial weights and the order of the samples. The samples themselves are the same for all seeds.
        sharing: False leaves each face only the nearest class as its own (Fig. 5).
        synthetic: False trains without synthetic poses (Fig. 9).
        tau: membership radius, box sides.
        passes: over all samples.
    """

    loss: Loss
    k: int = 0
    variants: int = POSES
    seed: int = 1
    sharing: bool = True
    synthetic: bool = True
    tau: float = TAU
    passes: int = 1

    @property
    def name(self) -> str:
        """Of the run's CSV file, without the ending."""
        classes = f"k{self.k}" if self.k else f"every{self.variants}"
        parts = [self.loss, classes, f"seed{self.seed}"]
        if not self.sharing:
            parts.append("unshared")
        if not self.synthetic:
            parts.append("real")
        if self.tau != TAU:
            parts.append(f"tau{self.tau:g}")
        if self.passes > 1:
            parts.append(f"passes{self.passes}")
        return "-".join(parts)

    def config(self, epochs: int = EPOCHS) -> TrainConfig:
        """The run as the training code knows it, over samples of so many epochs."""
        return TrainConfig(
            seed=self.seed,
            epochs=epochs * self.passes,
            batch_size=BATCH,
            learning_rate=LEARNING_RATE,
            warmup=WARMUP,
            loss=self.loss,
            regression_weight=0.0,
            residual_weight=0.0,
            average=0.0,
            threads=1,
            exemplars=self.exemplars,
            network=NETWORK,
            augment=AUGMENT if self.synthetic else REAL_AUGMENT,
        )

    @property
    def exemplars(self) -> ExemplarConfig:
        """What the classes are."""
        return ExemplarConfig(variants=self.variants, k=self.k, tau=self.tau, wide_roll=0.2, turned=0.3)


#: What the others are compared with, and of whose features and weights Table 1 is.
MAIN = Run("multilabel")


def _losses(seed: int, *, k: int = 0, variants: int = POSES) -> list[Run]:
    return [Run(loss, k=k, variants=variants, seed=seed) for loss in LOSSES]


def in_order(runs: Iterable[Run]) -> list[Run]:
    """The runs in the order in which they are worth having; K = 143,378, an hour of the whole, comes last."""
    return sorted(runs, key=lambda run: (run.variants == MOST_POSES, run.passes, run.tau != TAU, run.seed))


#: By piece of the report; a run of two pieces is run once.
PIECES: dict[str, tuple[Run, ...]] = {
    "losses": (
        *_losses(1),
        *(run for k in reversed(KMEANS_K) for run in _losses(1, k=k)),
        *_losses(2),
        *_losses(3),
        *_losses(1, variants=MOST_POSES),
    ),
    "sharing": tuple(Run("multilabel", seed=seed, sharing=False) for seed in SEEDS),
    "synthetic": tuple(Run("multilabel", variants=1, seed=seed, synthetic=False) for seed in SEEDS),
    # The soft target too where sets are large: there the paper saw it fail, for its gradient vanishes.
    "tau": (
        *(Run("multilabel", tau=tau) for tau in (0.035, 0.05, 0.1, 0.14)),
        *(Run("soft-target", tau=tau) for tau in (0.1, 0.14)),
    ),
    "longer": tuple(Run(loss, passes=3) for loss in LOSSES),
    "most": tuple(run for seed in SEEDS[1:] for run in _losses(seed, variants=MOST_POSES)),
}
