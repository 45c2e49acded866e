"""Where the annotated faces are, and the folder of drawn ones that stands in for them."""

from __future__ import annotations

import os
from pathlib import Path

#: Why a test is skipped that only real faces can tell apart from chance.
NEEDS_FACES = "needs annotated faces (EXALIGN_DATA)"

#: Why a test is skipped that runs the YuNet detector.
NEEDS_YUNET = "needs the YuNet model (EXALIGN_DATA)"

_ROOT = Path(__file__).parents[1]


def data_root() -> Path:
    """EXALIGN_DATA, or data/ in the folder shared beside the checkout; it may not exist."""
    return Path(os.environ.get("EXALIGN_DATA", _ROOT.parent / "shared" / "data"))


def face_data() -> Path | None:
    """The folder of annotated faces, where there is one."""
    folder = data_root()
    return folder if (folder / "index.csv").is_file() else None
