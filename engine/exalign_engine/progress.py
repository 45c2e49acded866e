"""Progress of long work: who is told, and the bar on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tqdm import tqdm

#: Told after each batch how many crops are done.
Progress = Callable[[int], None]

#: Crops that the network scores at once.
BATCH = 16


def progress_bar(total: int, what: str) -> Progress:
    """A bar with ETA on stderr; call it with how many are done."""
    bar = tqdm(total=total, desc=what, unit="crop", file=sys.stderr, mininterval=1.0)

    def update(done: int) -> None:
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return update
