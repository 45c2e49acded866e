"""Tables that follow from a bundle, in the user's cache (docs/decisions/start.md).

    $XDG_CACHE_HOME/exalign/tables/BUNDLE-CODE/NAME.KEY.npy        (~/.cache where XDG_CACHE_HOME is not set)

BUNDLE is the bundle's id, CODE a hash of the files that make tables: other code makes other files. A file is written
beside and renamed, whole or not at all. What is missing, damaged or of another shape is made anew; where nothing can be
written, it is made in memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from exalign.output_files import replacing, write_file
from exalign_engine.arrays import U8

_log = logging.getLogger(__name__)

#: By key, dtype and shape of the arrays of a table.
Layout = Mapping[str, tuple[type[np.generic], tuple[int, ...]]]

Arrays = dict[str, NDArray[Any]]

#: Files and folders of the engine that decide what is in a table.
MADE_BY = (
    "exemplars",
    "geometry/head_pose.py",
    "geometry/landmarks.py",
    "hmm/kernels.py",
    "hmm/neighbours.py",
    "posterior/kernels.py",
    "tables",
)

#: Exemplars from which on tables are kept: of fewer they are made in no time.
WORTH_KEEPING = 10_000

#: Tables of so many bundles and versions stay; those least recently used go.
KEPT = 3


class Tables:
    """The tables of one bundle. Threads and processes may share its folder.

    Args:
        folder: where they are kept; None: nowhere, each is made when it is asked for.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    @classmethod
    def of_bundle(cls, bundle_id: str, exemplars: int) -> Tables:
        """Those of a bundle in the user's cache.

        Args:
            bundle_id: SHA-256, hexadecimal.
            exemplars: K; nothing is kept below `WORTH_KEEPING`.
        """
        base = cache_folder() if exemplars >= WORTH_KEEPING else None
        folder = None if base is None else base / "tables" / f"{bundle_id[:16]}-{code_hash(*MADE_BY)[:16]}"
        if folder is not None:
            with suppress(OSError):  # there is none yet, or it is somebody else's: then it is not ours to remove
                os.utime(folder)
        return cls(folder)

    def arrays(self, name: str, layout: Layout, make: Callable[[], Mapping[str, NDArray[Any]]]) -> Arrays:
        """One table: mapped where it is kept, else made, kept and mapped.

        Args:
            name: of the table, in a file's name.
            layout: what it holds.
            make: makes the arrays, by the same keys. The same bits each time.

        Returns:
            By key. They can be written to, so that kernels need no other version for them; nobody does. What is written
            would be seen by this process alone.
        """
        if self.folder is None:
            return dict(make())
        paths = {key: self.folder / f"{name}.{key}.npy" for key in layout}
        found = _mapped(paths, layout)
        if found is not None:
            return found
        made = dict(make())
        try:
            self._write(paths, made)
        except OSError as e:
            _not_kept.append(name)
            _say_that_nothing_is_kept(str(self.folder), e.strerror or str(e))
            return made
        return _mapped(paths, layout) or made

    def shared(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        """Arrays that are at hand, mapped: so that each process does not hold its own.

        What is kept is compared with them, bit by bit, and written anew where it differs: whatever made it.

        Args:
            name: see `arrays`.
            arrays: by key.

        Returns:
            The same by the same keys; the very same where nothing is kept.
        """
        layout: Layout = {key: (array.dtype.type, array.shape) for key, array in arrays.items()}
        found = self.arrays(name, layout, lambda: arrays)
        if self.folder is None or all(_same(found[key], array) for key, array in arrays.items()):
            return found
        try:
            paths = {key: self.folder / f"{name}.{key}.npy" for key in layout}
            self._write(paths, arrays)
        except OSError:
            return dict(arrays)
        return _mapped(paths, layout) or dict(arrays)

    def block(self, name: str, make: Callable[[], bytes | None]) -> U8 | None:
        """Bytes of any length: mapped where they are kept, else made and kept.

        Args:
            name: in the file's name, which has the length too: a file that was cut off is none.
            make: gives the bytes; None: there are none.

        Returns:
            (n,) uint8; None where there are none, and where they cannot be kept.
        """
        if self.folder is None:
            return None
        for path in self.folder.glob(f"{name}-*.bin"):
            found = _mapped_block(path)
            if found is not None:
                return found
        content = make()
        if content is None:
            return None
        path = self.folder / f"{name}-{len(content)}.bin"
        try:
            self._make_folder(self.folder)
            with replacing(path) as beside, beside.open("wb") as file:
                _write_down(file, content)
        except OSError as e:
            _not_kept.append(name)
            _say_that_nothing_is_kept(str(self.folder), e.strerror or str(e))
            return None
        return _mapped_block(path)

    def note(self, name: str) -> dict[str, Any] | None:
        """What `keep_note` wrote; None where it did not, or where what is there is none."""
        if self.folder is None:
            return None
        try:
            found = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def keep_note(self, name: str, note: Mapping[str, Any]) -> None:
        """Keep a few words beside the tables, where that is possible."""
        if self.folder is not None:
            with suppress(OSError):
                self._make_folder(self.folder)
                write_file(self.folder / f"{name}.json", json.dumps(note, sort_keys=True) + "\n")

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _forget_old(folder.parent)

    def _write(self, paths: Mapping[str, Path], arrays: Mapping[str, NDArray[Any]]) -> None:
        assert self.folder is not None  # noqa: S101  # for the type checker
        self._make_folder(self.folder)
        for key, path in paths.items():
            with replacing(path) as beside, beside.open("wb") as file:
                np.save(file, np.ascontiguousarray(arrays[key]), allow_pickle=False)
                _write_down(file)


def cache_folder() -> Path | None:
    """Where what can be made again is kept: $XDG_CACHE_HOME/exalign, else ~/.cache/exalign; None: there is no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "exalign"
    except RuntimeError:
        return None


@cache
def code_hash(*places: str) -> str:
    """Hexadecimal SHA-256 of files of the engine, and of NumPy's version.

    Args:
        places: files and folders in the engine's package.
    """
    root, digest = Path(__file__).parents[1], hashlib.sha256(np.__version__.encode())
    for place in places:
        path = root / place
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _mapped(paths: Mapping[str, Path], layout: Layout) -> Arrays | None:
    """All arrays of a table; None where one is missing or not as it must be."""
    found: Arrays = {}
    for key, (dtype, shape) in layout.items():
        try:
            array = np.load(paths[key], mmap_mode="c", allow_pickle=False)
        except (OSError, EOFError, ValueError):
            return None
        if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
            return None
        found[key] = np.asarray(array)
    return found


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays of one layout hold the same bits."""
    return a is b or np.array_equal(a.view(np.uint8), np.ascontiguousarray(b).view(np.uint8))


def _mapped_block(path: Path) -> U8 | None:
    """A file whose name ends with its length; None where it has another."""
    try:
        found = np.memmap(path, np.uint8, "c")
    except (OSError, ValueError):
        return None
    return np.asarray(found) if path.stem.endswith(f"-{len(found)}") else None


def _write_down(file: BinaryIO, content: bytes = b"") -> None:
    """Write to the end: a name must not survive a crash that its contents do not."""
    file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _forget_old(base: Path) -> None:
    """Remove all but the newest. Whoever has mapped a file keeps it until it ends."""
    with suppress(OSError):
        folders = sorted((f for f in base.iterdir() if f.is_dir()), key=lambda f: f.stat().st_mtime, reverse=True)
        for folder in folders[KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)


def not_kept() -> int:
    """Tables that this process has made for itself alone, because they could not be written."""
    return len(_not_kept)


#: A name for each of them.
_not_kept: list[str] = []


@cache
def _say_that_nothing_is_kept(folder: str, why: str) -> None:
    _log.warning(
        "tables that follow from the model cannot be kept in %s (%s): each process makes its own, which takes some"
        " fifteen CPU-seconds and 200 MB; XDG_CACHE_HOME names a folder that can be written",
        folder,
        why,
    )
