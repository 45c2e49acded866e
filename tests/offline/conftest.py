"""Small bundles and videos of drawn faces, for many videos without a server."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_SERVICE = str(Path(__file__).parents[1] / "service")
if _SERVICE not in sys.path:
    sys.path.append(_SERVICE)

from drawn_bundles import write_bundle
from offline_runs import FRAMES, write_video


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole bundle; its network reads brightness."""
    return write_bundle(tmp_path_factory.mktemp("offline") / "bundle", 3)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of `FRAMES`."""
    folder = tmp_path_factory.mktemp("videos")
    for seed, (name, frames) in enumerate(FRAMES.items()):
        write_video(folder / name, frames, seed)
    return folder
