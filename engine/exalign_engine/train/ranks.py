"""Which of several processes this is, and its share of a batch; `exalign_engine.train.distributed` joins them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is.

    Attributes:
        rank: from 0.
        size: processes in all.
        device: that this one computes on, as PyTorch names it.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    @property
    def on_gpu(self) -> bool:
        """Whether ``device`` is a CUDA device."""
        return self.device.startswith("cuda")

    def rows(self, count: int) -> slice:
        """This process's rows of a batch of ``count``, which ``size`` divides."""
        n = count // self.size
        return slice(self.rank * n, (self.rank + 1) * n)


ALONE = Ranks()
