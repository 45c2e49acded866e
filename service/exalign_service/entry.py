"""The ``exalign-server`` command, where the server's packages may be missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run `exalign_service.cli.main`; without the extra ``serve``, say so in one line.

    Args:
        argv: arguments after the program's name; None reads the command line.

    Returns:
        The exit code.
    """
    try:
        from exalign_service.cli import main as run
    except ModuleNotFoundError as e:
        needs = f"needs the extra 'serve' (no module named {e.name!r})"
        print(f"exalign-server: {needs}: pip install 'exalign[serve]'", file=sys.stderr)
        return 1
    return run(argv)
