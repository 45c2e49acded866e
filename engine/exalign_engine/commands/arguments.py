"""What several sub-commands share: arguments, progress and JSON on stdout."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from exalign.cli_support import json_text
from exalign_engine.bundle.bundle import default_bundle_path
from exalign_engine.runtime import PRECISIONS, runtime_names


def add_bundle_path(parser: argparse.ArgumentParser) -> None:
    """``--bundle`` alone."""
    parser.add_argument(
        "--bundle", type=Path, metavar="DIR", help="model bundle (default: that of the package exalign-model-143k)"
    )


def bundle_path(args: argparse.Namespace) -> Path:
    """The bundle that was named, or else the default one.

    Raises:
        BundleError: none was named, and the default one is not installed.
    """
    return args.bundle or default_bundle_path()


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """``--bundle``, ``--runtime``, ``--precision``, ``--threads``."""
    add_bundle_path(parser)
    parser.add_argument("--runtime", choices=runtime_names(), default="auto", help="what executes the network")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="precision of the network; fp32 and fp16 (TensorRT only) of an int8 bundle are derived from its weights "
        "(default: as it is stored)",
    )
    parser.add_argument(
        "--threads", type=int, default=2, metavar="N", help="threads of the network (default: %(default)s)"
    )


def add_data(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """``--data``."""
    parser.add_argument(
        "--data",
        type=Path,
        required=required,
        metavar="DIR",
        help="faces: the prepared format, 300-W, 300W-LP, 300VW or frames of YouTube Faces",
    )


def print_json(value: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    print(json_text(value, indent=1))
