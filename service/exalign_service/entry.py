"""The ``exalign-server`` command, also where the server's packages are not installed."""

from __future__ import annotations

from collections.abc import Sequence

from exalign.cli_support import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run `exalign_service.cli.main`; without the extra ``serve``, name it in one line.

    Args:
        argv: arguments after the program's name; None reads the command line.

    Returns:
        The exit code.
    """

    def run() -> int:
        from exalign_service import cli

        return cli.main(argv)

    return run_command("exalign-server", run, extra="serve")
