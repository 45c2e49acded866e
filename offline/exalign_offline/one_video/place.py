"""Where the work on one video is kept until its results are whole: lines, checkpoint, what is done.

    OUT/.track-files/NAME/lines.jsonl       lines of the frames that are settled
                          checkpoint.json   how far they are, and the session's state
                          done.json         what came out; there once all results are
                          lock              whose work it is

Whoever is killed at any moment leaves what another can go on from: a checkpoint is replaced as a whole, lines beyond
it are cut off, results are renamed into place, and only after that is the video done.
"""

from __future__ import annotations

import fcntl
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from exalign.output_files import write_file

#: The folder in the directory of the results, and what is added to a video's name for its lines.
WORK, LINES = ".track-files", ".jsonl"


@dataclass(frozen=True)
class Report:
    """What came of a video.

    Attributes:
        name: of its results.
        frames: answered.
        problems: of these, how many pictures could not be used.
        first_problem: what was wrong with the first of them; empty: nothing.
        short: why there should be more frames; empty: the file is whole, as far as can be seen.
        error: why there are no results; empty where there are.
    """

    name: str
    frames: int = 0
    problems: int = 0
    first_problem: str = ""
    short: str = ""
    error: str = ""

    @property
    def whole(self) -> bool:
        """Whether every frame was answered from its picture."""
        return not (self.error or self.problems or self.short) and self.frames > 0


@dataclass(frozen=True)
class Checkpoint:
    """How far a video is.

    Attributes:
        key: what the lines depend on: `Place.key`.
        report: up to here.
        count: how many frames there will be, by the file's own count; None: it does not say.
        ended: whether that was the last frame.
        size: width and height of the video's frames; None: none has been seen.
        written: bytes of the lines.
        waiting: frames that later ones may still revise, as `OpenFrame.kept`.
        state: the session's; empty where the video has ended.
    """

    key: str
    report: Report
    count: int | None = None
    ended: bool = False
    size: tuple[int, int] | None = None
    written: int = 0
    waiting: tuple[dict[str, Any], ...] = ()
    state: bytes = b""


@dataclass(frozen=True)
class Done:
    """A video whose results are there.

    Attributes:
        key: see `Checkpoint`.
        report: what came out.
        size: see `Checkpoint`.
        formats: what was written beside the lines, with the points of a face (None: all).
    """

    key: str
    report: Report
    size: tuple[int, int] | None = None
    formats: tuple[str, ...] = field(default=())
    points: int | None = None


class Place:
    """The folder of one video.

    Attributes:
        lines: the file of lines while it grows; `result` in the end.

    Args:
        out: directory of all results.
        name: of the video's.
        video: the file; another file of that name, or one that has changed, begins anew.
        model: name of all else that the lines depend on.
    """

    def __init__(self, out: Path, name: str, video: Path, model: str) -> None:
        self.out, self.name = out, name
        self.folder = out / WORK / name
        self.lines, self._checkpoint, self._done = (
            self.folder / file for file in ("lines.jsonl", "checkpoint.json", "done.json")
        )
        self.result = out / f"{name}{LINES}"
        found = video.stat()
        self.key = f"{model} {found.st_size} {found.st_mtime_ns}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else works on the video in this block; who does now is waited for. A killed process holds nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def done(self) -> Done | None:
        """What came out; None where the video is not done, or was another one, or its lines were removed."""
        found = _read(self._done)
        if found is None or found.get("key") != self.key or not self.result.exists():
            return None
        return Done(self.key, _report(found), _pair(found["size"]), tuple(found["formats"]), found["points"])

    def write_done(self, done: Done) -> None:
        """The results are there."""
        write_file(self._done, json.dumps(asdict(done)))
        self.lines.unlink(missing_ok=True)
        self._checkpoint.unlink(missing_ok=True)

    def checkpoint(self) -> Checkpoint | None:
        """From where the video goes on; None: from its beginning."""
        found = _read(self._checkpoint)
        if found is None or found.get("key") != self.key:
            return None
        try:
            if self.lines.stat().st_size < found["written"]:
                return None  # the machine went down before they were on its disk
        except OSError:
            return None
        waiting, state = tuple(found["waiting"]), b64decode(found["state"])
        size, count = _pair(found["size"]), found["count"]
        return Checkpoint(self.key, _report(found), count, found["ended"], size, found["written"], waiting, state)

    def save(self, checkpoint: Checkpoint, lines: BinaryIO) -> None:
        """Keep a checkpoint; its lines are on the disk before it is."""
        lines.flush()
        os.fsync(lines.fileno())
        content = asdict(checkpoint) | {"state": b64encode(checkpoint.state).decode("ascii")}
        write_file(self._checkpoint, json.dumps(content))

    @contextmanager
    def lines_from(self, size: int) -> Iterator[BinaryIO]:
        """The file of lines, of which so many bytes are kept."""
        if not size:
            self.lines.unlink(missing_ok=True)  # it may be a result of before, under its second name
        with self.lines.open("r+b" if size else "xb") as lines:
            lines.truncate(size)
            lines.seek(size)
            yield lines


def frames_of(out: Path, name: str) -> tuple[int, float]:
    """How many frames of a video are answered, and about what share of it that is, as far as is kept."""
    folder = out / WORK / name
    done = _read(folder / "done.json")
    if done is not None:
        return _report(done).frames, 1.0
    kept = _read(folder / "checkpoint.json")
    if kept is None:
        return 0, 0.0
    frames = _report(kept).frames
    return frames, min(1.0, frames / kept["count"]) if kept["count"] else 0.0


def _read(path: Path) -> dict[str, Any] | None:
    """A file of JSON; None where there is none, or one that is not whole."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "report" in found else None


def _report(found: dict[str, Any]) -> Report:
    return Report(**found["report"])


def _pair(size: list[int] | None) -> tuple[int, int] | None:
    return None if size is None else (size[0], size[1])
