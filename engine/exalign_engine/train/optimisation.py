"""What every training loop needs of its optimiser: learning rate, weight decay, and what is safe on which processor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from exalign_engine.train.config import TrainConfig
from exalign_engine.train.network import ExemplarNetwork
from exalign_engine.train.ranks import ALONE, Ranks

#: oneDNN computes so many channels at once, by torch's name of the processor's instructions; elsewhere `_ELSEWHERE`.
_LANES, _ELSEWHERE = {"AVX512": 16}, 8


def choose_convolutions(widths: Iterable[int]) -> None:
    """Have torch compute convolutions itself where oneDNN would damage the heap; for the whole process.

    In float32 the weights' gradient of a 1×1 convolution with a stride does so (torch 2.13), where the input has fewer
    channels than are computed at once.

    Args:
        widths: channels of the network's stages.
    """
    lanes = _LANES.get(torch.backends.cpu.get_cpu_capability(), _ELSEWHERE)
    torch.backends.mkldnn.enabled = min(widths) >= lanes  # type: ignore[assignment]  # a property in disguise


def learning_rate(config: TrainConfig, step: int, total: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(total - config.warmup, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


@contextmanager
def autocast(config: TrainConfig, ranks: Ranks = ALONE) -> Iterator[None]:
    """bfloat16 where it is safe, if the configuration says so."""
    with torch.autocast("cuda" if ranks.on_gpu else "cpu", dtype=torch.bfloat16, enabled=config.bf16):
        yield


def decay_groups(network: ExemplarNetwork, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels; none on biases and normalisation."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
