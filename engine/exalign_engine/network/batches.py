"""Running the network over many crops, with progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from exalign_engine.network.outputs import Outputs, Runtime
from exalign_engine.progress import BATCH, Progress


def score(runtime: Runtime, crops: Iterable[NDArray[np.uint8]], progress: Progress | None = None) -> Outputs:
    """Run the network over any number of crops, `BATCH` at a time.

    Args:
        runtime: executes the network.
        crops: each (S, S, 3) uint8.
        progress: told after each batch how many crops are done.

    Returns:
        Outputs with one row a crop, in order.

    Raises:
        ValueError: there are no crops.
    """
    parts, done = [], 0
    for batch in _batches(crops):
        parts.append(runtime.infer(batch))
        done += len(batch)
        if progress:
            progress(done)
    if not parts:
        raise ValueError("no crops to score")
    return Outputs(
        np.concatenate([p.scores for p in parts]),
        np.concatenate([p.embedding for p in parts]),
        np.concatenate([p.features for p in parts]),
        None if parts[0].local is None else np.concatenate([p.local for p in parts if p.local is not None]),
        None if parts[0].sums is None else np.concatenate([p.sums for p in parts if p.sums is not None]),
    )


def _batches(crops: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    waiting: list[NDArray[np.uint8]] = []
    for crop in crops:
        waiting.append(crop)
        if len(waiting) == BATCH:
            yield np.stack(waiting)
            waiting = []
    if waiting:
        yield np.stack(waiting)
