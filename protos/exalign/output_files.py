"""Files that a command writes: never over what it reads, and whole or not at all. Standard library only."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exalign.cli_support import UsageError, report

#: A file by its path, or by the number of an open descriptor.
FileOrDescriptor = str | os.PathLike[str] | int


def refuse_overwriting(
    targets: Iterable[str | os.PathLike[str]], inputs: Iterable[FileOrDescriptor], option: str = "--out"
) -> None:
    """Refuse outputs that would destroy an input, or one another. Opens nothing.

    Files are compared by what they are: a link or another spelling of an input is that input. Of a directory among
    the inputs every file in it is one.

    Args:
        targets: files and directories that are to be written.
        inputs: files and directories that are read; those that are not there are no obstacle.
        option: the argument that named the targets, for the message.

    Raises:
        UsageError: names every target that is wrong.
    """
    files, directories = _identities(inputs)
    wrong, seen = [], set[Path]()
    for target in map(Path, targets):
        problem = _obstacle(target, files, directories)
        if problem:
            wrong.append(f"{target} {problem}")
        place = _resolved(target)
        if place in seen:
            wrong.append(f"{target} would be written twice")
        seen.add(place)
    if wrong:
        raise UsageError(f"{option}: {'; '.join(dict.fromkeys(wrong))}; nothing was read or written")


def _obstacle(
    target: Path, files: dict[tuple[int, int], FileOrDescriptor], directories: dict[tuple[int, int], Path]
) -> str:
    """Why a target cannot be written; empty where it can."""
    identity = _identity(target)
    if identity is None:
        return ""  # there is nothing that could be destroyed
    if identity in files:
        given = files[identity]
        if isinstance(given, int) or os.fspath(given) == os.fspath(target):
            return "is an input"
        return f"is an input, {os.fspath(given)}"
    if identity in directories:
        return "is the directory of the inputs"
    if target.is_dir():
        return ""
    for parent in _resolved(target).parents:
        inside = directories.get(_identity(parent) or (0, 0))
        if inside is not None:
            return f"is a file of the input {inside}"
    if target.stat().st_nlink > 1:  # a second name of a file that may lie in a directory of inputs
        for directory in directories.values():
            for folder, _, names in os.walk(directory):
                for name in names:
                    if _identity(Path(folder, name)) == identity:
                        return f"is an input, {Path(folder, name)}"
    return ""


def _identities(
    inputs: Iterable[FileOrDescriptor],
) -> tuple[dict[tuple[int, int], FileOrDescriptor], dict[tuple[int, int], Path]]:
    """Device and inode of every input that is there: files apart from directories."""
    files: dict[tuple[int, int], FileOrDescriptor] = {}
    directories: dict[tuple[int, int], Path] = {}
    for given in inputs:
        identity = _identity(given)
        if identity is None:
            continue
        if not isinstance(given, int) and Path(given).is_dir():
            directories[identity] = Path(given)
        else:
            files.setdefault(identity, given)
    return files, directories


def _identity(path: FileOrDescriptor) -> tuple[int, int] | None:
    """Device and inode of a regular file or a directory; None of anything else, and where nothing is."""
    try:
        found = os.fstat(path) if isinstance(path, int) else Path(path).stat()
    except (OSError, ValueError):
        return None
    regular = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    return (found.st_dev, found.st_ino) if regular else None


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new file beside ``path``, of the same ending, which takes its place when the block ends well.

    Where the block fails or is interrupted, ``path`` stays as it was. A link is followed: what it leads to is
    replaced. What is no regular file, such as ``/dev/stdout``, is written to directly.

    Args:
        path: the file to make or to replace.

    Yields:
        The file to write to; empty so far.

    Raises:
        OSError: it cannot be written; the error names ``path``.
    """
    target = _resolved(Path(path))
    if target.exists() and not target.is_file():
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        yield target
        return
    partial = target.with_name(f".exalign-{secrets.token_hex(8)}{target.suffix[:32]}")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield partial
        if target.exists():
            with suppress(OSError):  # the mode is a courtesy
                shutil.copymode(target, partial)
        partial.replace(target)
    except OSError as error:
        if error.filename == os.fspath(partial):
            error.filename, error.filename2 = os.fspath(path), None
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_file(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file whole or not at all; text as UTF-8. See `replacing`.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as partial:
        partial.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


def report_written(program: str, path: str | os.PathLike[str]) -> None:
    """Say on standard error that a file is there."""
    report(f"{program}: {os.fspath(path)} written")
