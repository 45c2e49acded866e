"""One run in several processes, as ``torchrun`` starts them: every process takes its share of every batch.

    torchrun --nproc-per-node 2 --no-python -- exalign-model train --config CONFIG --data FACES

The result is that of one process, up to the order in which numbers are added: faces, order and random numbers of a
batch depend on the configuration alone, batch normalisation sees the whole batch, and gradients are means over it. So
a run may go on with another number of processes. The first process alone writes, validates and shows progress.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from exalign_engine.train.ranks import Ranks

#: How long processes wait for each other; the first one also validates.
PATIENCE = timedelta(hours=1)


@contextmanager
def open_ranks() -> Iterator[Ranks]:
    """Join the other processes that ``torchrun`` started, if it did; a CUDA device each where there is one."""
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available()
    device = f"cuda:{local}" if cuda else "cpu"
    if size == 1:
        yield Ranks(device=device)
        return
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def mean_of_all(values: NDArray[np.float64], ranks: Ranks) -> NDArray[np.float64]:
    """The mean of every process's values."""
    if ranks.size == 1:
        return values
    total = torch.from_numpy(values.copy()).to(ranks.device)
    dist.all_reduce(total)
    return total.cpu().numpy() / ranks.size


def joined(network: nn.Module, terms: Callable[..., tuple[Tensor, ...]], ranks: Ranks) -> Callable[..., Any]:
    """``terms`` such that, after ``backward``, every process has the gradients of the whole batch.

    Args:
        network: whose weights ``terms`` reads; its batch normalisation sees the whole batch from now on.
        terms: gives tensors, the first of which is the mean loss over this process's share.
        ranks: of this process; ``terms`` itself is returned where there is no other.
    """
    if ranks.size == 1:
        return terms
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            # The same parameters and buffers: a checkpoint does not know how many processes there were.
            module.__class__ = _WHOLE_BATCH[type(module)]
    # A step reads one piece of the head.
    return DistributedDataParallel(_Terms(network, terms), find_unused_parameters=True)


class _Terms(nn.Module):
    """A function that owns the weights that it reads."""

    def __init__(self, network: nn.Module, terms: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.network, self._terms = network, terms

    def forward(self, *args: Any) -> tuple[Tensor, ...]:
        return self._terms(*args)


class _Sum(torch.autograd.Function):
    """The sum over all processes, of values forwards and of gradients backwards."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _mean(values: Tensor) -> Tensor:
    """The mean of every process's ``values``, with gradients."""
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total / dist.get_world_size()


def _whole_batch(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Batch normalisation with the statistics of all processes' shares, which are of one size.

    PyTorch's own needs a GPU.
    """
    if not norm.training:
        return nn.functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps
        )
    values, axes = x.float(), [a for a in range(x.ndim) if a != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    count = dist.get_world_size() * values.numel() // values.shape[1]
    mean = _mean(values.mean(dim=axes))
    off = values - mean.reshape(shape)
    variance = _mean((off * off).mean(dim=axes))
    if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None:
        with torch.no_grad():
            momentum = 0.1 if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean, momentum)
            norm.running_var.lerp_(variance * (count / (count - 1)), momentum)
            norm.num_batches_tracked += 1
    found: Tensor = off * (torch.rsqrt(variance + norm.eps) * norm.weight).reshape(shape) + norm.bias.reshape(shape)
    return found.to(x.dtype)


class _BatchNorm1d(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return _whole_batch(self, x)


class _BatchNorm2d(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return _whole_batch(self, x)


_WHOLE_BATCH: dict[type, type] = {nn.BatchNorm1d: _BatchNorm1d, nn.BatchNorm2d: _BatchNorm2d}
