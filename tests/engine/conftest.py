"""What the engine's tests share: crops of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from exalign_engine import Aligner


@pytest.fixture(scope="session")
def default_aligner() -> Aligner:
    """The default bundle, with the default detector."""
    from exalign_engine import Aligner

    return Aligner.default()


@pytest.fixture(scope="session")
def astronaut_crop(default_aligner: Aligner) -> NDArray[np.uint8]:
    """(S, S, 3) the astronaut's face as the default bundle's network sees it; a photograph that is always there."""
    skimage_data = pytest.importorskip("skimage.data", reason="needs scikit-image (extra 'demo')")
    picture = np.asarray(skimage_data.astronaut())
    return default_aligner.crop(picture, default_aligner.locate(picture, max_faces=1)[0])


@pytest.fixture(scope="session")
def val_crops(faces_folder: Path) -> NDArray[np.uint8]:
    """(≤ 32, S, S, 3) faces of ``val`` about their true boxes, as the default bundle's network sees them."""
    from exalign_engine.bundle.bundle import Bundle, default_bundle_path
    from exalign_engine.data import open_faces
    from exalign_engine.geometry.frames import BoxFrame, extract_crop, tight_box

    faces, manifest = open_faces(faces_folder, "val"), Bundle.load(default_bundle_path()).manifest
    crops = []
    for i in np.linspace(0, len(faces) - 1, min(32, len(faces))).astype(int):
        frame = BoxFrame.from_box(tight_box(faces.landmarks[i]))
        crops.append(extract_crop(faces.image(int(i)), frame, manifest.margin, manifest.input_size))
    return np.stack(crops)
