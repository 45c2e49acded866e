"""``exalign-model``: train, export, calibrate, evaluate and inspect bundles."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from exalign_engine.errors import ExalignError

COMMANDS = {
    "train": "from annotated faces to a calibrated bundle",
    "export": "a training run's checkpoint to a bundle that is still to be calibrated",
    "quantise": "a bundle's network to int8, and what that costs in accuracy",
    "calibrate": "fit temperature, kernels, presence, detectors and baseline of a bundle",
    "evaluate": "accuracy of a bundle on annotated faces",
    "build-engine": "a bundle's network to a TensorRT engine",
    "reproduce": "the tables and figures of the paper, from CSV files or from scratch",
    "inspect": "what a bundle is, after verifying every hash",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point.

    Args:
        argv: arguments after the program's name; None reads the command line.

    Returns:
        0 done, 1 failed (one line on stderr says why). Wrong usage exits with 2.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="exalign-model", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text)
        # Only the command that runs is imported: `inspect` should not wait for OpenVINO.
        if name in argv[:1]:
            try:
                module = import_module(f"exalign_engine.commands.{name.replace('-', '_')}")
            except ModuleNotFoundError as e:
                needs = f"needs the extra 'serve' (no module named {e.name!r})"
                print(f"exalign-model: {needs}: pip install 'exalign[serve]'", file=sys.stderr)
                return 1
            module.add(sub)
            sub.set_defaults(action=module.run)
    args = parser.parse_args(argv)
    try:
        code = int(args.action(args))
        sys.stdout.flush()
        return code
    except ExalignError as e:
        print(f"exalign-model: {e}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`); what is left must not fail at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("exalign-model: interrupted", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
