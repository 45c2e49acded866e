"""What tests of every room share: where the faces are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def face_data() -> Path | None:
    """The folder of annotated faces: EXALIGN_DATA, or data/ in the folder shared beside the checkout."""
    folder = Path(os.environ.get("EXALIGN_DATA", ROOT.parent / "shared" / "data"))
    return folder if (folder / "index.csv").is_file() else None


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The annotated faces; the test is skipped where there are none."""
    folder = face_data()
    if folder is None:
        pytest.skip("no annotated faces here: set EXALIGN_DATA")
    return folder
