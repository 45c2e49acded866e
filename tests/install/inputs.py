"""What the documents' placeholders stand for: photo.jpg, clip.mp4, FACES and the like, made in one folder."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from drawn_faces import write_prepared

#: Frames of clip.mp4; the documents click in frame 40.
FRAMES = 44


def make_inputs(folder: Path, root: Path) -> None:
    """Write everything that a documented command reads.

    Args:
        folder: where the commands run.
        root: of the checkout, for the configuration that "my.toml" is a copy of.
    """
    from skimage import data

    photo = np.ascontiguousarray(data.astronaut()[..., ::-1])
    cv2.imwrite(str(folder / "photo.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 95])
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25.0, (320, 240))
    for i in range(FRAMES):
        writer.write(np.ascontiguousarray(photo[10 : 10 + 240, 60 + i : 380 + i]))
    writer.release()
    write_prepared(folder / "FACES", 64, 24, 8, seed=1)
    (folder / "my-faces").symlink_to("FACES")
    own = (root / "engine" / "exalign_engine" / "configs" / "tiny.toml").read_text("utf-8")
    (folder / "my.toml").write_text(re.sub(r"^name = .*$", 'name = "mine"', own, flags=re.MULTILINE), "utf-8")
