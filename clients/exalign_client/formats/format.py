"""What a format is, and how its files are opened."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exalign_client.formats.faces import FormatError, LabelledPicture

#: No annotation file is larger, bytes; of what is, no more is read.
MOST_BYTES = 2**30


@dataclass(frozen=True)
class Format:
    """One format of files.

    Attributes:
        name: by which a caller asks for it.
        suffixes: of its files, in small letters.
        about: what it is, for help.
        write: pictures, file (or directory) to make.
        read: file or directory -> pictures. Raises FormatError.
        tells: whether the first bytes of a file with such a suffix may be of this format.
        files: the files that ``write`` makes of the same arguments.
    """

    name: str
    suffixes: tuple[str, ...]
    about: str
    write: Callable[[Sequence[LabelledPicture], Path], None]
    read: Callable[[Path], list[LabelledPicture]]
    tells: Callable[[bytes], bool] = lambda head: True
    files: Callable[[Sequence[LabelledPicture], Path], list[Path]] = lambda pictures, out: [out]


def text_of(file: Path) -> str:
    """A text file, UTF-8 with or without a byte order mark.

    Raises:
        FormatError: it is no text, or larger than any of its kind.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise FormatError(f"{file}: is larger than {MOST_BYTES >> 30} GiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FormatError(f"{file}: is no text in UTF-8") from None


def json_of(file: Path) -> Any:
    """A JSON file.

    Raises:
        FormatError: it is no JSON.
        OSError: it cannot be read.
    """
    try:
        return json.loads(text_of(file))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{file}: is no JSON: {error}") from None
