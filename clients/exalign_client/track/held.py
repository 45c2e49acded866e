"""What may have to be sent again: another server may go on from before frames that were answered."""

from __future__ import annotations

from dataclasses import dataclass

from exalign.v1 import track_pb2


@dataclass(frozen=True, eq=False)
class LateEvidence:
    """Evidence about an earlier frame.

    Attributes:
        after: newest frame when it was given.
        message: what is sent.
    """

    after: int
    message: track_pb2.PastEvidence


class HeldFrames:
    """Of one session. Nothing is held where the server does not say what of a session outlives it.

    Args:
        most: frames that are held; of more than that, the oldest go, and what is before them cannot be repaired.

    Attributes:
        frames: by index.
        after: every frame after this one is held, or has not been answered.
        durable: the newest frame whose state outlives the server; None: it keeps sessions to itself.
    """

    def __init__(self, most: int) -> None:
        self._most, self._newest = most, -1
        self.frames: dict[int, track_pb2.VideoFrame] = {}
        self.after = -1
        self.durable: int | None = None

    @property
    def all_there(self) -> bool:
        """Whether every frame of the video can be sent again."""
        return self.durable is not None and self.after < 0

    def add(self, index: int, message: track_pb2.VideoFrame) -> None:
        """A frame was answered, or skipped for one that was."""
        self.frames[index] = message
        self._newest = max(self._newest, index)
        self._let_go()

    def outlives(self, frame: int) -> None:
        """The server says that the state of frames up to this one outlives it."""
        self.durable = max(frame, -1 if self.durable is None else self.durable)
        self._let_go()

    def _let_go(self) -> None:
        upto = self._newest if self.durable is None else min(self.durable, self._newest)
        self.after = max(self.after, upto)
        while self.frames:
            oldest = next(iter(self.frames))
            if oldest > upto and len(self.frames) <= self._most:
                break
            self.after = max(self.after, oldest)
            del self.frames[oldest]
