"""``exalign-server`` and ``python -m exalign_service.cli``: see `exalign_service.startup.command`.

SIGTERM is obeyed before anything else is imported. Before that too, NumPy's products are given one thread: the second
one computed, or waited at full speed, for one caller while others needed the core (docs/decisions/overload.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from exalign_service.startup.early_exit import disobey_sigterm, obey_sigterm


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments after the program's name; None reads the command line.

    Returns:
        The exit code; see `exalign.cli_support`. Wrong usage exits with it.
    """
    obey_sigterm()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Crops and frames are small: to wake OpenCV's threads costs more than they do. Every core has work of its own.
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    try:
        from exalign_service.startup import command

        return command.run(argv)
    finally:
        disobey_sigterm()


if __name__ == "__main__":
    sys.exit(main())
