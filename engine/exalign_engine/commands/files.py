"""What a command writes and reads, stated before it opens anything."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from exalign_engine.bundle.bundle import FILES, MANIFEST, OPTIONAL_FILES
from exalign_engine.commands.arguments import bundle_path
from exalign_engine.errors import BundleError

#: The copy of its configuration that a training run keeps in its folder.
RUN_CONFIG = "train.toml"

#: What a training run writes into its folder, beside its bundle.
RUN_FILES = (RUN_CONFIG, "checkpoint.pt", "curves.csv", "curves.png")


@dataclass(frozen=True)
class Files:
    """What a command writes and reads.

    Attributes:
        written: files and directories; without what it changes in place because it was told to.
        read: files and directories.
        option: the argument that names what is written.
    """

    written: tuple[Path, ...] = ()
    read: tuple[Path, ...] = ()
    option: str = "--out"


def files_of_bundle(bundle: Path) -> tuple[Path, ...]:
    """A bundle's directory, and every file that one may hold."""
    return bundle, *(bundle / name for name in (*FILES, *OPTIONAL_FILES, MANIFEST))


def bundle_read(args: argparse.Namespace) -> tuple[Path, ...]:
    """The bundle that was named, or the default one; nothing where that is not installed."""
    try:
        return (bundle_path(args),)
    except BundleError:
        return ()


def given(*paths: Path | None) -> tuple[Path, ...]:
    """Those that are not None."""
    return tuple(path for path in paths if path is not None)
