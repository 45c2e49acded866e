"""Training on samples that were cut beforehand, by the classes' loss alone: for sweeps over losses and classes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exalign_engine.arrays import F32
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.progress import Progress
from exalign_engine.train.batches import Batch
from exalign_engine.train.config import TrainConfig
from exalign_engine.train.losses import class_loss, softmax_target
from exalign_engine.train.network import ExemplarNetwork
from exalign_engine.train.optimisation import autocast, decay_groups, learning_rate


class Learned:
    """A trained network as its judges see it: arrays in, arrays out.

    Args:
        network: in evaluation mode, its head in one piece.
        config: of its run.
    """

    def __init__(self, network: ExemplarNetwork, config: TrainConfig) -> None:
        self._network, self._config = network, config
        with torch.no_grad():
            weight, bias = network.head.merged()  # type: ignore[operator]
        #: (K, D) and (K,) float32 of the last layer.
        self.weights: F32 = weight.numpy()
        self.bias: F32 = bias.numpy()

    def scores(self, crops: NDArray[np.uint8]) -> F32:
        """(B, S, S, 3) → (B, K)."""
        with torch.no_grad(), autocast(self._config):
            return np.asarray(self._network(torch.from_numpy(crops))[0].float().numpy())

    def embeddings(self, crops: NDArray[np.uint8]) -> F32:
        """(N, S, S, 3) → (N, D), in batches."""
        found = []
        with torch.no_grad(), autocast(self._config):
            for start in range(0, len(crops), self._config.batch_size):
                part = np.ascontiguousarray(crops[start : start + self._config.batch_size])
                found.append(self._network.see(torch.from_numpy(part))[0].float().numpy())
        return np.concatenate(found)


class Classes:
    """The exemplars as the losses need them.

    Args:
        exemplars: K of them.
    """

    def __init__(self, exemplars: Exemplars) -> None:
        self.count = exemplars.count
        self.centred = torch.from_numpy(exemplars.shapes.reshape(self.count, -1) - 0.5)
        self._norms = (self.centred * self.centred).sum(dim=1)

    def squared_distances(self, shapes: NDArray[np.float32]) -> Tensor:
        """(B, 68, 2) box frame → (B, K) ‖µ_k − y‖², box sides²."""
        y = torch.from_numpy(shapes.reshape(len(shapes), -1)) - 0.5
        d = (y * y).sum(dim=1, keepdim=True) + self._norms - 2.0 * (y @ self.centred.t())
        return d.clamp_min(0.0) / N_LANDMARKS


def own_classes(squared_distance: Tensor, tau: float, sharing: bool) -> Tensor:
    """Distances by which the nearest class always has the face for a member, and with no sharing no other has.

    With few classes, most faces are farther than τ from all of them; the paper's sets "grow" the clusters, so each
    face stays a member of its own.

    Args:
        squared_distance: (B, K) box sides².
        tau: membership radius, box sides.
        sharing: False puts all other classes out of reach.
    """
    nearest = softmax_target(squared_distance) > 0
    others = squared_distance if sharing else torch.full_like(squared_distance, torch.inf)
    return torch.where(nearest, squared_distance.clamp_max(tau * tau), others)


def learn(
    config: TrainConfig,
    samples: Batch,
    exemplars: Exemplars,
    *,
    passes: int = 1,
    sharing: bool = True,
    progress: Progress | None = None,
) -> Learned:
    """Train a network.

    Args:
        config: of the run. Its epochs are ``passes`` times the parts that the samples stand in: epoch e of a pass sees
            the e-th part.
        samples: of one pass.
        exemplars: the classes.
        passes: over all samples.
        sharing: False leaves each face only the nearest class as its own.
        progress: told how many steps are done.

    Returns:
        The trained network.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    network = ExemplarNetwork(config.network, exemplars.count, 2 * N_LANDMARKS)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(decay_groups(network, config.weight_decay), lr=config.learning_rate, fused=True)
    classes, tau = Classes(exemplars), config.exemplars.tau
    parts = config.epochs // passes
    per_epoch, batch = len(samples.crops) // parts, config.batch_size
    total = config.epochs * (per_epoch // batch)
    network.train()
    step = 0
    for epoch in range(config.epochs):
        order = epoch % parts * per_epoch + np.random.default_rng([config.seed, epoch]).permutation(per_epoch)
        for start in range(0, per_epoch - batch + 1, batch):
            rows = order[start : start + batch]
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step, total)
            distance = own_classes(classes.squared_distances(samples.shapes[rows]), tau, sharing)
            with autocast(config):
                embedding, _, _ = network.see(torch.from_numpy(samples.crops[rows]))
                scores = network.head(embedding, 0)
            is_face = torch.from_numpy(samples.is_face[rows])
            loss = class_loss(config.loss, scores.float(), distance, is_face, tau, config.soft_sigma).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            if progress:
                progress(step)
    network.eval()
    return Learned(network, config)
