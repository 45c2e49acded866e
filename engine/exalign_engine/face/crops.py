"""The network's inputs, cut from the coarsest level of a picture that has their pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from exalign_engine.arrays import U8
from exalign_engine.detect import Detector
from exalign_engine.detect.base import first_side
from exalign_engine.geometry.frames import BoxFrame, extract_crop
from exalign_engine.geometry.levels import LevelsWanted, Pixels, coarsest_step, level_about, step_of_side


@dataclass(frozen=True)
class Cropper:
    """Cuts faces out.

    Attributes:
        margin: crop side ÷ box side.
        size: crop side, pixels.
    """

    margin: float
    size: int

    def crop(self, image: Pixels, frame: BoxFrame) -> U8:
        """(S, S, 3) uint8: the network's input for the face of a square box."""
        level = level_about(image, frame.moved(0, 0, self.margin).box, self._step(frame))
        return extract_crop(level.pixels, level.frame(frame), self.margin, self.size)

    def wanted(self, frames: Iterable[BoxFrame]) -> LevelsWanted:
        """How to open a picture whose faces are known."""
        return LevelsWanted(max(map(self._step, frames), default=1))

    def _step(self, frame: BoxFrame) -> int:
        return coarsest_step(self.margin * frame.side / self.size)


def wanted_to_detect(detector: Detector | None, shape: tuple[int, ...]) -> LevelsWanted:
    """How to open a picture (H, W, ...) whose faces a detector is to find; None: whole."""
    side = None if detector is None else first_side(detector)
    step = 1 if side is None else step_of_side(shape, side)
    return LevelsWanted(step, step)
