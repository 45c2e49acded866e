"""300VW: ``<clip>/vid.avi`` with ``<clip>/annot/000001.pts`` and so on, as its owners distribute it.

Frames and pixels are counted from 1. The lists below are the benchmark's own: 64 of its 114 clips are for testing, in
three categories, and 50 for training. (The paper says that 50 are for testing, and names none.)
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exalign.video.frames import VideoError, VideoReader
from exalign.video.reader import open_video_file
from exalign_engine.arrays import F64, U8
from exalign_engine.data.files import LeftOut, is_hidden, report_left_out
from exalign_engine.data.holdout import held_out
from exalign_engine.data.pictures import check_inside
from exalign_engine.data.pts import read_pts
from exalign_engine.errors import DataError

#: The clips of each test category, the most constrained first.
# fmt: off
CATEGORIES: dict[int, frozenset[int]] = {
    1: frozenset((
        114, 124, 125, 126, 150, 158, 401, 402, 505, 506, 507, 508, 509, 510, 511, 514, 515, 518, 519, 520, 521,
        522, 524, 525, 537, 538, 540, 541, 546, 547, 548,
    )),
    2: frozenset((
        203, 208, 211, 212, 213, 214, 218, 224, 403, 404, 405, 406, 407, 408, 409, 412, 550, 551, 553,
    )),
    3: frozenset((
        410, 411, 516, 517, 526, 528, 529, 530, 531, 533, 557, 558, 559, 562,
    )),
}
# fmt: on

#: Of the clips to train on, every n-th frame is taken, as in the paper: those between are all but the same.
TRAIN_EVERY = 10

VIDEO, ANNOTATIONS = "vid.avi", "annot"


@dataclass(frozen=True)
class AnnotatedClip:
    """One clip.

    Attributes:
        folder: holds video and annotations.
        numbers: of the annotated frames, from 1, ascending.
        category: of `CATEGORIES`; None for a clip to train on.
    """

    folder: Path
    numbers: tuple[int, ...]
    category: int | None

    @property
    def name(self) -> str:
        """The clip's."""
        return self.folder.name

    def landmarks(self, number: int) -> F64:
        """(68, 2) float64, image frame, of an annotated frame.

        Raises:
            DataError: the annotation is wrong (file and line).
        """
        return read_pts(self.annotation(number))

    def annotation(self, number: int) -> Path:
        """The file that annotates a frame."""
        return self.folder / ANNOTATIONS / f"{number:06d}.pts"

    def frames(self) -> Iterator[tuple[F64, U8]]:
        """Landmarks and picture (H, W, 3) uint8 RGB of every annotated frame, in order.

        Raises:
            DataError: an annotation is wrong, or the video ends before the annotations.
        """
        with FrameReader(self.folder / VIDEO) as reader:
            for number in self.numbers:
                yield self.landmarks(number), reader.frame(number)


def open_video(path: Path) -> VideoReader:
    """The reader of a video.

    Raises:
        DataError: it cannot be opened.
    """
    try:
        return open_video_file(path)
    except VideoError as e:
        raise DataError(path, f"cannot be opened as a video: {e.reason}") from None
    except FileNotFoundError:
        raise DataError(path, "no such file") from None


class FrameReader:
    """Frames of one video by number, exactly: decoded one after another, for seeking is not to be trusted.

    Asking for an earlier frame starts again at the first one. Not to be used by two threads at once.

    Args:
        path: the video.

    Raises:
        DataError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._video = open_video(path)

    def frame(self, number: int) -> U8:
        """(H, W, 3) uint8 RGB of a frame, counted from 1; broken frames are counted too.

        Raises:
            DataError: the video ends before it, or the frame cannot be decoded.
        """
        if number <= self._video.frames:
            self.close()
            self._video = open_video(self.path)
        while True:
            here = self._video.frames + 1
            frame = self._video.read(pixels=here == number)
            if frame is None:
                why = f" ({self._video.short})" if self._video.short else ""
                raise DataError(self.path, f"ends after frame {here - 1}, frame {number} is annotated{why}")
            if here == number:
                break
        if frame.pixels is None:
            raise DataError(self.path, f"frame {number} {frame.problem}")
        return frame.pixels

    def close(self) -> None:
        """Close the file."""
        self._video.close()

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class VideoFaces:
    """The annotated frames of a 300VW folder, by clip and number; the collections are "300vw" and "300vw-1" to "-3".

    Args:
        root: folder of the clips.
        split: "test" is every frame of the three categories; "train" and "val" are every tenth frame of all other
            clips, a tenth of which is ``val`` (`exalign_engine.data.holdout`).

    Raises:
        DataError: a clip or annotation is wrong (file and line), or the split is unknown or empty.
    """

    def __init__(self, root: Path, split: str) -> None:
        if split not in ("train", "val", "test"):
            raise DataError(root, f"300VW has no split {split!r}; there are train, val and test")
        clips = open_clips(root)
        if split == "test":
            clips = [c for c in clips if c.category is not None]
        else:
            clips = [c for c in clips if c.category is None]
            kept = held_out((c.name for c in clips), root)
            clips = [c for c in clips if (c.name in kept) == (split == "val")]
        if not clips:
            raise DataError(root, f"no clip of split {split!r}")
        every = 1 if split == "test" else TRAIN_EVERY
        self._frames = [(clip, number) for clip in clips for number in clip.numbers[::every]]
        self.ids = [f"{clip.name}_{number:06d}" for clip, number in self._frames]
        self.origins = ["300vw" if c.category is None else f"300vw-{c.category}" for c, _ in self._frames]
        self.landmarks = np.stack([clip.landmarks(number) for clip, number in self._frames])
        self._lock, self._reader = threading.Lock(), None

    _reader: FrameReader | None

    def __len__(self) -> int:
        return len(self._frames)

    def image(self, index: int) -> U8:
        """(H, W, 3) uint8 RGB; see `FaceSource.image`. Cheap in order only: see `FrameReader`."""
        clip, number = self._frames[index]
        path = clip.folder / VIDEO
        with self._lock:
            if self._reader is None or self._reader.path != path:
                if self._reader is not None:
                    self._reader.close()
                self._reader = FrameReader(path)
            image = self._reader.frame(number)
        check_inside(image, self.landmarks[index], clip.annotation(number), f"{VIDEO}, frame {number}")
        return image


def is_video_folder(root: Path) -> bool:
    """Whether a folder holds clips as 300VW has them."""
    return bool(_clip_folders(root))


def _clip_folders(root: Path) -> list[Path]:
    """Folders that hold a clip's video or annotations, sorted."""
    found = {path.parent for name in (VIDEO, ANNOTATIONS) for path in root.glob(f"*/{name}")}
    return sorted(path for path in found if not is_hidden(path, root))


def open_clips(root: Path) -> list[AnnotatedClip]:
    """All clips of a folder, by name.

    Raises:
        DataError: there is none, a clip lacks its video or its annotations, or one of these has no frame's number.
    """
    folders = _clip_folders(root)
    if not folders:
        raise DataError(root, f"no clip (a folder with {VIDEO} and {ANNOTATIONS})")
    hidden = [file for folder in folders for file in (folder / ANNOTATIONS).glob("*.pts") if is_hidden(file, root)]
    report_left_out(root, [LeftOut("hidden files", tuple(sorted(hidden)))])
    return [_open_clip(folder) for folder in folders]


def _number(folder: Path) -> int | None:
    """A clip's number; None where its folder is not named by one."""
    return int(folder.name) if folder.name.isascii() and folder.name.isdecimal() else None


def _open_clip(folder: Path) -> AnnotatedClip:
    if not (folder / VIDEO).is_file():
        raise DataError(folder / VIDEO, "no such file")
    files = sorted(path for path in (folder / ANNOTATIONS).glob("*.pts") if not is_hidden(path, folder))
    if not files:
        raise DataError(folder / ANNOTATIONS, "no .pts file")
    for file in files:
        if not (file.stem.isascii() and file.stem.isdecimal() and len(file.stem) == 6 and int(file.stem) > 0):
            raise DataError(file, "is not named by a frame's number, 000001 and so on")
    category = next((c for c, names in CATEGORIES.items() if _number(folder) in names), None)
    return AnnotatedClip(folder, tuple(int(f.stem) for f in files), category)
