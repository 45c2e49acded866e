"""Training a teacher for a number of minutes, on the classes of the model that it is to teach."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.sampling.faces import FaceMemory
from exalign_engine.train.config import CHECKPOINT, TrainConfig
from exalign_engine.train.loop import Trained, Trainer
from exalign_engine.train.ranks import Ranks

#: Epochs whose duration tells how many there can be. The learning rate still rises then, whatever their number.
TRIAL = 2

#: Epochs of a run that does not know yet.
UNKNOWN = 1_000_000

#: Share of the time left that is planned with: validations and checkpoints take some of it.
SHARE = 0.9

#: Seconds between checkpoints.
CHECKPOINT_SECONDS = 60.0

Clock = Callable[[], float]


class TimedTrainer(Trainer):
    """A run that is given a time in place of a number of epochs.

    Once the first epochs tell what one takes, the learning rate's cosine is laid so that it ends with the time. A run
    that was interrupted keeps the number that was planned.
    """

    def train_for(self, seconds: float, clock: Clock = time.monotonic) -> Trained:
        """Train until the planned end, or until another epoch would not fit the time.

        Args:
            seconds: from now.
            clock: tells them.
        """
        end, saved = clock() + seconds, clock()
        with tqdm(unit="step", file=sys.stderr, mininterval=2.0) as bar:
            while self.epoch < self.config.epochs:
                started = clock()
                self._one_epoch(bar)
                took = clock() - started
                if self.epoch == TRIAL and self.config.epochs == UNKNOWN:
                    more = int(SHARE * (end - clock()) / max(took, 1e-9))
                    # The next number is in the checkpoint, which is all that an interrupted run goes on from.
                    self.config = replace(self.config, epochs=TRIAL + max(more, 0))
                    self._save()
                elif clock() - saved >= CHECKPOINT_SECONDS:
                    self._save()
                    saved = clock()
                if clock() + took > end:
                    break
        self._save()
        return self.result()


@dataclass(frozen=True)
class Member:
    """One network of a teacher.

    Attributes:
        seed: of its weights and its augmentation.
        trained: what became of it.
        curves: a row an epoch.
        seconds: that it took, preparations included.
    """

    seed: int
    trained: Trained
    curves: list[dict[str, object]]
    seconds: float


def train_member(
    base: TrainConfig,
    seed: int,
    faces: tuple[FaceMemory, FaceMemory],
    exemplars: Exemplars,
    folder: Path,
    seconds: float,
    ranks: Ranks,
    clock: Clock = time.monotonic,
) -> Member:
    """Train one network in bfloat16, or go on where it was interrupted.

    Args:
        base: configuration; its seed, number of epochs and start are replaced, unless ``seconds`` is 0.
        seed: of this member.
        faces: of train and val.
        exemplars: its classes.
        folder: of its checkpoint and curves.
        seconds: that it may take; 0 trains the epochs of the configuration.
        ranks: where.
        clock: tells the time.
    """
    started = clock()
    config = replace(base, seed=seed, bf16=True, start="")
    if seconds:
        config = replace(config, epochs=_planned(folder / CHECKPOINT))
    trainer = TimedTrainer(config, *faces, folder, ranks, exemplars)
    left = seconds - (clock() - started) if seconds else float("inf")
    trained = trainer.train_for(left, clock)
    return Member(seed, trained, trainer.curves, round(clock() - started, 1))


def _planned(checkpoint: Path) -> int:
    """Epochs that an interrupted run was to have."""
    if not checkpoint.is_file():
        return UNKNOWN
    state = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    return int(state["config"]["epochs"])
