"""``exalign-model``: train, export, calibrate, evaluate and inspect bundles; use one on many videos.

Each command is a module of `exalign_engine.commands` with ``add`` (its arguments), ``files`` (what it writes and what
it reads, so that no input is destroyed) and ``run``; or such a module of another package, which registers it as an
entry point of the group `GROUP`. Nothing of that package is imported by name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING

from exalign.cli_support import OneLineParser, ended_by_sigterm, run_command
from exalign.output_files import refuse_overwriting
from exalign_engine.errors import ExalignError

if TYPE_CHECKING:
    from exalign_engine.commands.files import Files

COMMANDS = {
    "train": "from annotated faces to a calibrated bundle",
    "export": "a training run's checkpoint to a bundle that is still to be calibrated",
    "finetune": "a bundle fitted further to your own faces, where that gains",
    "quantise": "a bundle's network to int8, and what that costs in accuracy",
    "calibrate": "fit temperature, kernels, presence, detectors and baseline of a bundle",
    "evaluate": "accuracy of a bundle on annotated faces",
    "build-engine": "a bundle's network to a TensorRT engine",
    "reproduce": "the tables and figures of the paper, from CSV files or from scratch",
    "inspect": "what a bundle is, after verifying every hash",
    "track-files": "faces through many videos, on Ray or in one process",
}

#: Of entry points (``importlib.metadata``); each names a module of a command, by the command's name.
GROUP = "exalign.model_commands"

#: What other extras than ``serve`` bring.
_EXTRAS = {
    **dict.fromkeys(("torch", "matplotlib", "onnxscript", "scipy"), "train"),
    "ray": "ray",
    "pyarrow": "parquet",
    "av": "video",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point.

    Args:
        argv: arguments after the program's name; None reads the command line.

    Returns:
        The exit code; see `exalign.cli_support`. Wrong usage exits with it.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    with ended_by_sigterm():
        return run_command(
            "exalign-model",
            lambda: _run(arguments),
            failures=(ExalignError,),
            extra="serve",
            extra_of=_EXTRAS,
        )


def _run(argv: list[str]) -> int:
    parser = OneLineParser(prog="exalign-model", description=(__doc__ or "").partition("\n")[0])
    parser.add_version()
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        # Only the command that runs is imported: `inspect` should not wait for OpenVINO.
        if name in argv[:1]:
            module = _module(name)
            module.add(sub)
            sub.set_defaults(action=module.run, files=module.files)
    args = parser.parse_args(argv)
    files: Files = args.files(args)
    refuse_overwriting(files.written, files.read, files.option)
    return int(args.action(args))


def _module(name: str) -> ModuleType:
    """Of a command."""
    for entry in entry_points(group=GROUP, name=name):
        return import_module(entry.value)
    return import_module(f"exalign_engine.commands.{name.replace('-', '_')}")


if __name__ == "__main__":
    sys.exit(main())
