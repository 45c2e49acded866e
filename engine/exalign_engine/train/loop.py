"""Training: from faces to a checkpoint that `exalign_engine.train.export` turns into a network file.

Killed and resumed, a run ends in the same weights bit for bit on one machine and thread count: every random
choice depends on (seed, epoch, index), and a checkpoint is written whole or not at all.
"""

from __future__ import annotations

import copy
import csv
import sys
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from exalign.output_files import replacing
from exalign_engine.data.face_source import box_frame_shapes
from exalign_engine.errors import DataError
from exalign_engine.exemplars.building import build
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.head_pose import fit_mean_face
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.faces import FaceMemory, with_turned
from exalign_engine.train.batches import Batch, training_batches
from exalign_engine.train.config import CHECKPOINT, TrainConfig
from exalign_engine.train.distributed import joined, mean_of_all
from exalign_engine.train.losses import class_loss
from exalign_engine.train.network import ExemplarNetwork
from exalign_engine.train.optimisation import autocast, choose_convolutions, decay_groups, learning_rate
from exalign_engine.train.ranks import ALONE, Ranks
from exalign_engine.train.residual import moved_off
from exalign_engine.train.validation import CURVE_TEMPERATURE, validate

CURVES = (
    "epoch",
    "step",
    "samples",
    "loss",
    "class_loss",
    "regression_loss",
    "residual_loss",
    "val_auc",
    "val_top1_auc",
    "val_regression_auc",
    "val_residual_auc",
    "seconds",
)

#: Sections of a configuration that change no weight: a run may go on with others.
NO_WEIGHTS = ("export", "description")

#: The moving average of the weights is brought up to date every so many steps.
AVERAGE_EVERY = 4


@dataclass(frozen=True)
class Trained:
    """What training leaves behind.

    Attributes:
        network: in evaluation mode.
        exemplars: its classes.
        config: the run's configuration.
        faces: (M, 68, 2) float64, the training faces in their own box frames.
        epoch: epochs done.
        mean_face: (68, 3) float64 of ``faces``; None: to be fitted.
    """

    network: ExemplarNetwork
    exemplars: Exemplars
    config: TrainConfig
    faces: NDArray[np.float64]
    epoch: int
    mean_face: NDArray[np.float64] | None = None


class Trainer:
    """One training run in a folder of its own (``checkpoint.pt``, ``curves.csv``).

    Args:
        config: the run's configuration.
        train: faces to learn from.
        val: faces to look at on the way; never learned from.
        folder: where the run lives; an existing checkpoint in it is continued.
        ranks: which of several processes this is.
        exemplars: classes of another model, to teach it by; None makes them of the faces.

    Raises:
        DataError: the folder's checkpoint belongs to another configuration, or the processes cannot share a batch.
    """

    def __init__(
        self,
        config: TrainConfig,
        train: FaceMemory,
        val: FaceMemory,
        folder: Path,
        ranks: Ranks = ALONE,
        exemplars: Exemplars | None = None,
    ) -> None:
        self.config, self.folder, self.ranks = config, folder, ranks
        if config.batch_size % ranks.size:
            raise DataError("batch_size", f"is {config.batch_size}, must be a multiple of the {ranks.size} processes")
        folder.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(config.threads)
        choose_convolutions(config.network.widths, config.bf16)
        # On a GPU what the residual reads has no deterministic gradient.
        torch.use_deterministic_algorithms(True, warn_only=ranks.on_gpu)
        torch.manual_seed(config.seed)
        self.train_faces, self.val_faces = train, val
        self.exemplars = make_exemplars(config, self.train_faces) if exemplars is None else exemplars
        if config.augment.turned_pictures:
            self.train_faces = _turned(train, self.mean_face, config, quiet=not ranks.first)
        self.network = ExemplarNetwork(config.network, self.exemplars.count, 2 * N_LANDMARKS, config.shards)
        mean_shape = self.exemplars.shapes.mean(axis=0).reshape(-1)
        self.network.regression.bias.data = torch.from_numpy(mean_shape)
        self.network = self.network.to(ranks.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            decay_groups(self.network, config.weight_decay), lr=config.learning_rate, fused=True
        )
        self.augmenter = Augmenter(config.augment, config.network.input_size, config.network.margin)
        shapes = torch.from_numpy(self.exemplars.shapes.reshape(self.exemplars.count, -1) - 0.5).to(ranks.device)
        #: Per piece of the head: its exemplars (K_i, 136) less ½, and their squared norms.
        self._pieces = [piece.contiguous() for piece in (shapes[i :: config.shards] for i in range(config.shards))]
        self._norms = [(piece * piece).sum(dim=1) for piece in self._pieces]
        self.steps_per_epoch = len(self.train_faces) // config.batch_size
        if self.steps_per_epoch == 0:
            raise DataError(
                folder, f"{len(self.train_faces)} training faces do not fill one batch of {config.batch_size}"
            )
        self.epoch, self.curves = 0, list[dict[str, Any]]()
        if config.start and not self.checkpoint.is_file():
            self._start_from(folder / config.start)
        self.averaged = copy.deepcopy(self.network)
        self._resume()
        self._joined_terms = joined(self.network, self._terms, ranks)

    @cached_property
    def mean_face(self) -> NDArray[np.float64]:
        """(68, 3) of the training faces; fitted when first asked for."""
        return fit_mean_face(box_frame_shapes(self.train_faces.landmarks))

    @property
    def checkpoint(self) -> Path:
        """The run's only checkpoint file."""
        return self.folder / CHECKPOINT

    def run(self, stop_after: int | None = None) -> Trained:
        """Train to the end, or to the end of epoch ``stop_after`` (which the next run continues)."""
        last = min(self.config.epochs, stop_after or self.config.epochs)
        with tqdm(
            total=self.config.epochs * self.steps_per_epoch,
            initial=self.epoch * self.steps_per_epoch,
            unit="step",
            file=sys.stderr,
            mininterval=2.0,
            disable=not self.ranks.first,
        ) as bar:
            while self.epoch < last:
                self._one_epoch(bar)
                if not self.ranks.first:
                    continue
                if self.epoch % self.config.checkpoint_every == 0 or self.epoch == last:
                    self._save()
        return self.result()

    def result(self) -> Trained:
        """What has been learned so far."""
        self.averaged.cpu().eval()
        faces = box_frame_shapes(self.train_faces.landmarks)
        return Trained(self.averaged, self.exemplars, self.config, faces, self.epoch, self.mean_face)

    def _one_epoch(self, bar: Any) -> None:
        c, started = self.config, time.monotonic()
        self.network.train()
        sums, steps = np.zeros(4), 0
        batches = training_batches(
            self.train_faces, self.augmenter, c.seed, self.epoch, c.batch_size, threads=c.threads, ranks=self.ranks
        )
        for step, batch in enumerate(batches, start=self.epoch * self.steps_per_epoch):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(c, step, c.epochs * self.steps_per_epoch)
            sums += self._step(batch, step)
            if step % AVERAGE_EVERY == 0 or not c.average:
                self._average(step)
            steps += 1
            bar.update()
            bar.set_postfix(epoch=self.epoch, loss=f"{sums[0] / steps:.1f}", refresh=False)
        self.epoch += 1
        sums = mean_of_all(sums, self.ranks)
        if not self.ranks.first:
            return
        row = dict(zip(CURVES[3:7], (sums / steps).round(4).tolist(), strict=True))
        row |= {
            "epoch": self.epoch,
            "step": self.epoch * self.steps_per_epoch,
            "samples": self.epoch * self.steps_per_epoch * c.batch_size,
        }
        if self.epoch % c.validate_every == 0 or self.epoch == c.epochs:
            row |= validate(self.averaged, self.exemplars, self.val_faces, self.augmenter, c, self.ranks)
        row["seconds"] = round(time.monotonic() - started, 1)
        self.curves.append(row)
        with replacing(self.folder / "curves.csv") as partial, partial.open("w", newline="") as f:
            writer = csv.DictWriter(f, CURVES)
            writer.writeheader()
            writer.writerows(self.curves)

    def _step(self, batch: Batch, step: int) -> tuple[float, float, float, float]:
        loss, class_part, regression, residual = self._joined_terms(batch, step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        if not torch.isfinite(loss):
            raise DataError(self.folder, f"the loss is {loss.item()} in epoch {self.epoch}: lower learning_rate")
        return loss.item(), class_part.item(), regression.item(), residual.item()

    def _terms(self, batch: Batch, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The loss of a batch, or of this process's share of it, and what it is made of."""
        c, piece, device = self.config, step % self.config.shards, self.ranks.device
        is_face = torch.from_numpy(batch.is_face).to(device)
        target = torch.from_numpy(batch.shapes.reshape(len(batch.shapes), -1)).to(device)
        with autocast(c, self.ranks):
            embedding, _, local = self.network.see(torch.from_numpy(batch.crops).to(device))
            scores = self.network.head(embedding, piece)
            shape = self.network.regression(embedding)
        per_face = class_loss(
            c.loss, scores.float(), self._squared_distances(target, piece), is_face, c.exemplars.tau, c.soft_sigma
        )
        if c.loss == "multilabel":  # a sum over classes, of which this step saw one piece
            per_face = per_face * (self.exemplars.count / scores.shape[1])
        squared = ((shape.float() - target) ** 2).sum(dim=1)
        regression = torch.where(is_face, squared, 0.0).mean()
        residual = self._residual_error(scores.detach(), embedding, local, target, is_face, step)
        loss = per_face.mean() + c.regression_weight * regression + c.residual_weight * residual
        return loss, per_face.mean(), regression, residual

    def _residual_error(
        self, scores: Tensor, embedding: Tensor, local: Tensor, target: Tensor, is_face: Tensor, step: int
    ) -> Tensor:
        """Mean point-to-point error after the residual's levels, box sides; they start near the mixture's mean."""
        if not self.config.network.residual_levels:
            return torch.zeros(())
        p = torch.softmax(scores.float() / CURVE_TEMPERATURE, dim=1)
        mean = (p @ self._pieces[step % self.config.shards] + 0.5).reshape(-1, N_LANDMARKS, 2)
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        shapes = self.network.residual(local.float(), embedding.float(), moved_off(mean, generator, self.ranks))
        truth = target.reshape(-1, N_LANDMARKS, 2)
        errors = torch.stack([(shape - truth).norm(dim=2).mean(dim=1) for shape in shapes]).mean(dim=0)
        return torch.where(is_face, errors, 0.0).mean()

    def _average(self, step: int) -> None:
        """Move the averaged weights towards the network's; the running statistics are averages already."""
        decay = self.config.average**AVERAGE_EVERY
        # A short run would otherwise end near its random start.
        decay = min(decay, (1 + step) / (10 * AVERAGE_EVERY + step))
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
            for running, newest in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
                running.copy_(newest)

    def _squared_distances(self, target: Tensor, piece: int) -> Tensor:
        """(B, 136) box frame → (B, K_i) ‖µ_k − y‖², box sides², to the exemplars of one piece of the head."""
        y = target - 0.5
        d = (y * y).sum(dim=1, keepdim=True) + self._norms[piece] - 2.0 * (y @ self._pieces[piece].t())
        return d.clamp_min(0.0) / N_LANDMARKS

    def _start_from(self, checkpoint: Path) -> None:
        """Take every tensor of an earlier run that fits by name and shape.

        Raises:
            DataError: nothing in it fits.
        """
        state = torch.load(checkpoint, weights_only=True, map_location="cpu")
        earlier, own = state.get("averaged", state["network"]), self.network.state_dict()
        fitting = {k: v for k, v in earlier.items() if k in own and own[k].shape == v.shape}
        if not fitting:
            raise DataError(checkpoint, "start: no tensor in it has the name and shape of one of this network")
        self.network.load_state_dict(fitting, strict=False)

    def _save(self) -> None:
        state = {
            "config": asdict(self.config),
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curves": self.curves,
        }
        with replacing(self.checkpoint) as partial:
            torch.save(state, partial)

    def _resume(self) -> None:
        if not self.checkpoint.is_file():
            return
        state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        config, earlier = asdict(self.config), _completed(state["config"])
        changed = sorted(k for k in config if k not in NO_WEIGHTS and earlier.get(k) != config[k])
        if changed:
            raise DataError(self.checkpoint, f"belongs to another configuration (differs in {', '.join(changed)})")
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.curves = state["epoch"], state["curves"]


def _completed(config: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's configuration with the defaults of keys that are younger than it."""
    default = asdict(TrainConfig())
    return {k: default[k] | v if isinstance(v, dict) and k in default else v for k, v in (default | config).items()}


def make_exemplars(config: TrainConfig, faces: FaceMemory) -> Exemplars:
    """The classes that a configuration asks for.

    Raises:
        DataError: it asks for more classes than there are poses.
    """
    e = config.exemplars
    poses = 2 * len(faces) * e.variants
    if e.k > poses:
        raise DataError("exemplars.k", f"is {e.k}, must be at most the {poses} poses of {len(faces)} faces")
    return build(
        box_frame_shapes(faces.landmarks),
        faces.ids,
        e.tau,
        variants=e.variants,
        variation=e.variation,
        k=e.k or None,
        seed=config.seed,
    )


def _turned(faces: FaceMemory, mean_face: NDArray[np.float64], config: TrainConfig, quiet: bool) -> FaceMemory:
    """The faces with turned pictures beside them, with progress."""
    a, options = config.augment, {"unit": "face", "desc": "turning", "file": sys.stderr, "mininterval": 2.0}
    with tqdm(total=len(faces), disable=quiet, **options) as bar:
        return with_turned(
            faces, mean_face, a.turned_pictures, a.turn_deg, config.seed, lambda done: bar.update(done - bar.n) and None
        )
