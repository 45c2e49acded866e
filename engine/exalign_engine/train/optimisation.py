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

#: Channels that oneDNN computes at once.
_LANES_AVX512, _LANES_ELSEWHERE = 16, 8


def choose_convolutions(widths: Iterable[int], bf16: bool) -> None:
    """Have torch compute convolutions itself where oneDNN would damage the heap; for the whole process.

    The weights' gradient of a 1×1 convolution with a stride does so (torch 2.13), where the input has fewer channels
    than are computed at once. With AVX-512 it does not in bfloat16, which has kernels of its own there.

    Args:
        widths: channels of the network's stages.
        bf16: convolutions are computed in bfloat16.
    """
    if torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        safe = bf16 or min(widths) >= _LANES_AVX512
    else:
        safe = min(widths) >= _LANES_ELSEWHERE
    torch.backends.mkldnn.enabled = safe  # type: ignore[assignment]  # a property in disguise


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
