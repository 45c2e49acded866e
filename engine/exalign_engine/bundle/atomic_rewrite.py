"""Changing a bundle in place, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def rewritten(root: Path) -> Iterator[Path]:
    """A copy of a bundle that takes its place when the block ends well: an interruption leaves the old one whole."""
    copy, old = root.with_name(root.name + ".new"), root.with_name(root.name + ".old")
    for leftover in (copy, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(root, copy)
    yield copy
    root.rename(old)
    copy.rename(root)
    shutil.rmtree(old)
