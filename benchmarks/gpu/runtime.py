"""A graph as a runtime of the engine: fixed batch sizes, each recorded as a CUDA graph where there is CUDA."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from benchmarks.gpu.graph import TorchGraph
from numpy.typing import NDArray
from torch import Tensor

from exalign_engine.network.outputs import Outputs

#: Calls before one is recorded: libraries choose their kernels and take their memory then.
WARM_UP = 3


class BatchCall:
    """The graph at one batch size, from fixed memory to fixed memory.

    Args:
        graph: to execute.
        batch: crops a call.
        side: S, pixels.

    Attributes:
        image: (B, S, S, 3) uint8 on the device; what is in it when `replay` is called is looked at.
        outputs: by name, of the last replay, on the device.
        recorded: whether replaying replays a CUDA graph.
    """

    def __init__(self, graph: TorchGraph, batch: int, side: int) -> None:
        self._graph = graph
        self.image = torch.zeros((batch, side, side, 3), dtype=torch.uint8, device=graph.device)
        self.recorded = graph.device.type == "cuda"
        self._upload = torch.zeros(self.image.shape, dtype=torch.uint8, pin_memory=self.recorded)
        if self.recorded:
            self._record()
        else:
            self.outputs = graph(self.image)
        self._download = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=self.recorded)
            for name, tensor in self.outputs.items()
        }

    def _record(self) -> None:
        stream = torch.cuda.Stream(self.image.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._graph(self.image)
        torch.cuda.current_stream().wait_stream(stream)
        self._recording = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._recording):
            self.outputs = self._graph(self.image)

    def replay(self) -> None:
        """Look at what is in ``image``; on a GPU this returns before it is done."""
        if self.recorded:
            self._recording.replay()
        else:
            self.outputs = self._graph(self.image)

    def call(self, crops: NDArray[np.uint8]) -> dict[str, Tensor]:
        """From crops in the host's memory to outputs there, which the next call overwrites.

        Args:
            crops: (N, S, S, 3), N ≤ B; the rows behind them keep what they had.
        """
        self._upload[: len(crops)] = torch.from_numpy(crops)
        self.image.copy_(self._upload, non_blocking=True)
        self.replay()
        for name, tensor in self.outputs.items():
            self._download[name].copy_(tensor, non_blocking=True)
        if self.recorded:
            torch.cuda.synchronize(self.image.device)
        return self._download


class TorchRuntime:
    """See `exalign_engine.network.outputs.Runtime`. One call at a time.

    Args:
        graph: to execute.
        side: S, pixels.
        batches: sizes to prepare, ascending; a batch is filled up to the next one, or cut into pieces of the last.
        precision: "f32" or "f16".
    """

    name = "torch"
    reason = "asked for"

    def __init__(self, graph: TorchGraph, side: int, batches: Sequence[int], precision: str) -> None:
        self.version = str(torch.__version__)
        self.precision, self.device = precision, str(graph.device)
        self.calls = {batch: BatchCall(graph, batch, side) for batch in sorted(batches)}

    def infer(self, crops: NDArray[np.uint8]) -> Outputs:
        """See `Runtime.infer`."""
        most, parts = max(self.calls), []
        for start in range(0, len(crops), most):
            part = crops[start : start + most]
            batch = next(b for b in self.calls if b >= len(part))
            found = self.calls[batch].call(part)
            parts.append({name: tensor[: len(part)].numpy().copy() for name, tensor in found.items()})
        return Outputs(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    def close(self) -> None:
        """Free what was prepared."""
        self.calls.clear()
