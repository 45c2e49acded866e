"""CVAT's own code for files of CVAT 1.1: fetched, never kept here.

Its reader and writer are a part of its server, and no package has them. Here are the addresses of three files at pinned
commits, with the SHA-256 of each. CVAT is under the MIT licence (Copyright Intel Corporation and CVAT.ai Corporation).

The hashes are of the text that a public index of the repository gave, page by page, each of a known length. Git's own
hashes were not at hand to prove it. A file that differs is not run: what would be reported is not what was seen.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = "https://raw.githubusercontent.com/cvat-ai/cvat"

#: A folder with these files in it, at the same paths; where it is set, nothing is fetched.
VARIABLE = "EXALIGN_CVAT_SOURCE"


@dataclass(frozen=True)
class Source:
    """A file of CVAT's: its path in the repository, the commit, and the SHA-256 of its bytes."""

    path: str
    commit: str
    sha256: str


#: The reader and writer; the task that it fills; frames between keyframes.
SOURCES = (
    Source(
        "cvat/apps/dataset_manager/formats/cvat.py",
        "a01a8a8ff5aaf2f1239429c77ffdce3993f5c6e5",
        "6b28c357cfc7548458bb258c5123033b89cd6bd370e219f120f39bcb1a3a72cd",
    ),
    Source(
        "cvat/apps/dataset_manager/bindings.py",
        "a01a8a8ff5aaf2f1239429c77ffdce3993f5c6e5",
        "f658aeaac5ea53a84c229b5a7433b68f86a04e001e8a96106d2c2ff9ad2fdab5",
    ),
    Source(
        "cvat/apps/dataset_manager/annotation.py",
        "a956124d98e6f78b8b5d3c671355b5a0e808bfc6",
        "07ed004e4e9a62c996e67e9bc41a2311e091fe73fcb68a28715d24badbcbc78d",
    ),
)

#: The later commit is of 2.30.1 alpha; the earlier one has no number that is known here.
VERSION = "a01a8a8f and a956124d, about 2.30"


class NotRunError(Exception):
    """CVAT's code is not to be had, and why."""


def fetch(place: Path) -> Path:
    """A folder below ``place`` that has the files and nothing else of CVAT's.

    Raises:
        NotRunError: a file cannot be had, or is another.
    """
    folder = place / "cvat-source"
    for source in SOURCES:
        file = folder / source.path
        data = file.read_bytes() if file.exists() else _data(source)
        seen = hashlib.sha256(data).hexdigest()
        if seen != source.sha256:
            raise NotRunError(f"{source.path} at {source.commit[:8]}: SHA-256 is {seen}, not {source.sha256}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder


def _data(source: Source) -> bytes:
    own = os.environ.get(VARIABLE)
    if own:
        try:
            return Path(own, source.path).read_bytes()
        except OSError as error:
            raise NotRunError(f"{VARIABLE}: {error}") from None
    try:
        with urllib.request.urlopen(f"{REPOSITORY}/{source.commit}/{source.path}", timeout=60) as answer:
            data: bytes = answer.read()
            return data
    except (urllib.error.URLError, TimeoutError) as error:
        raise NotRunError(f"{source.path} cannot be fetched ({error}), and {VARIABLE} names no folder") from None
