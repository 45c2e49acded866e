"""Where a face will be in the next frame: its box, and a constant velocity.

The box of a frame in which the face was seen is the tight box of its landmarks. The next one is that box moved on by
its velocity. While the face is hidden the box keeps its size, and the velocity decays: a face behind an obstacle
rarely leaves by itself. A face that turns up again has no velocity yet: its distance from where it was expected is the
error of the prediction, not motion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.geometry.frames import iou


@dataclass(frozen=True)
class MotionSettings:
    """Constants of the prediction.

    Attributes:
        gain: share of the newest displacement in the velocity.
        damping: the velocity's factor in every frame in which the face was not seen.
        min_presence: below, a crop does not move the box, though the track still counts as visible.
        max_speed: greatest displacement a frame, box sides.
        max_growth: the box's sides grow or shrink by at most this factor from the box that was cropped.
        jump: a new place that overlaps the predicted one less (IoU) is a jump, from which no velocity is taken.
        search_every: an unseen face is searched by the detector in the first frame after, then in every n-th.
        min_side: of a predicted box, pixels.
        max_side: of a predicted box, in longer sides of the image.
    """

    gain: float = 0.5
    damping: float = 0.85
    min_presence: float = 0.5
    max_speed: float = 0.5
    max_growth: float = 1.2
    jump: float = 0.3
    search_every: int = 3
    min_side: float = 8.0
    max_side: float = 2.0


MOTION = MotionSettings()


@dataclass(frozen=True)
class Motion:
    """Where a face is and how it moves, after a frame.

    Attributes:
        cx: centre of the face box, image frame, pixels.
        cy: see ``cx``.
        width: of the face box, pixels.
        height: of the face box, pixels.
        vx: velocity of the centre, pixels a frame by index.
        vy: see ``vx``.
        unseen_frames: frames by index since the face was last seen; 0 where it was seen in this one.
    """

    cx: float
    cy: float
    width: float
    height: float
    vx: float = 0.0
    vy: float = 0.0
    unseen_frames: int = 0

    @classmethod
    def at(cls, box: F64) -> Motion:
        """At rest in a box (4,)."""
        x0, y0, x1, y1 = (float(v) for v in box)
        return cls((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)

    @property
    def box(self) -> F64:
        """(4,) the face box, image frame, pixels."""
        w, h = self.width / 2, self.height / 2
        return np.array([self.cx - w, self.cy - h, self.cx + w, self.cy + h])

    @property
    def side(self) -> float:
        """The box frame's, pixels."""
        return max(self.width, self.height)

    def predict(self, gap: int, size: tuple[int, int] | None, settings: MotionSettings = MOTION) -> Motion:
        """The state ``gap`` ≥ 1 frames later.

        The centre stays in the picture and the sides within the settings' limits, so that there is always
        something to crop.

        Args:
            gap: frames by index.
            size: (height, width) of the picture; None where no frame had one yet.
            settings: constants.
        """
        moved = replace(self, cx=self.cx + gap * self.vx, cy=self.cy + gap * self.vy)
        if size is None:
            return moved
        height, width = size
        most = settings.max_side * max(height, width)
        least = min(settings.min_side, most)
        return replace(
            moved,
            cx=_clamp(moved.cx, 0.0, width - 1.0),
            cy=_clamp(moved.cy, 0.0, height - 1.0),
            width=_clamp(moved.width, least, most),
            height=_clamp(moved.height, least, most),
        )

    def update(self, cropped: F64, found: F64, gap: int, settings: MotionSettings = MOTION) -> Motion:
        """After a frame in which the face was seen.

        Args:
            cropped: (4,) the box that was cropped.
            found: (4,) the tight box of the answer.
            gap: frames by index since the one that this motion is of.
            settings: constants.
        """
        old, new = Motion.at(cropped), Motion.at(found)
        g = settings.max_growth
        new = replace(
            new,
            width=_clamp(new.width, old.width / g, old.width * g),
            height=_clamp(new.height, old.height / g, old.height * g),
        )
        jumped = iou(self.box, cropped) < settings.jump and iou(self.predict(gap, None).box, cropped) < settings.jump
        if self.unseen_frames or jumped:
            return new
        most, a = settings.max_speed * self.side, settings.gain
        vx = (1 - a) * self.vx + a * (new.cx - self.cx) / gap
        vy = (1 - a) * self.vy + a * (new.cy - self.cy) / gap
        return replace(new, vx=_clamp(vx, -most, most), vy=_clamp(vy, -most, most))

    def update_unseen(self, stays: F64, gap: int, settings: MotionSettings = MOTION) -> Motion:
        """After a frame in which the face was not seen.

        Args:
            stays: (4,) the box where it is believed to be.
            gap: frames by index since the one that this motion is of.
            settings: constants.
        """
        vx, vy = self.vx * settings.damping, self.vy * settings.damping
        return replace(Motion.at(stays), vx=vx, vy=vy, unseen_frames=self.unseen_frames + gap)

    def stopped(self) -> Motion:
        """At rest where it is."""
        return replace(self, vx=0.0, vy=0.0)


def _clamp(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)
