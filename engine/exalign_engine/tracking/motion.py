"""Where a face will be in the next frame: its box, and a constant velocity.

The box of a frame in which the face was seen is the tight box of its landmarks. The next one is that box moved on by
its velocity. While the face is hidden the box keeps its size, and the velocity decays: a face behind an obstacle
rarely leaves by itself. A face that turns up again has no velocity yet: its distance from where it was expected is the
error of the prediction, not motion. But where a detector found it a few frames after it was seen, that is its way.

**At rest.** Landmarks are found in a crop about a box, and give the next box: other pixels, hence other landmarks, for
ever. So a face has a velocity only while it is found elsewhere than in the frame before, by more than its crop's own
move explains. A face without one keeps its crop, to the last bit, as long as it is found near by
(docs/decisions/faces-in-motion.md).

**Two faces that meet.** While another face is near, what is found may be that other one. Then the velocity changes
slowly, and that of a face that is hidden does not decay: it passes behind the other.
"""

from __future__ import annotations

import math
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
        way_frames: a face that a detector finds within so many frames has the velocity of the way that it went.
        min_side: of a predicted box, pixels.
        max_side: of a predicted box, in longer sides of the image.
        rest_speed: a face that is found within so many box sides a frame of where it was found before,
        rest_share: and this share of the way that its crop moved meanwhile,
        rest_lead: or so many times that way where it had no velocity before, as in some crops what is found goes
            farther than the crop,
        rest_below: is at rest where its velocity would be no more, box sides a frame.
        rest_offset: a face at rest keeps its crop while it is found within so many box sides of the crop's centre,
        rest_growth: and its sides within this factor's logarithm,
        rest_wide: or within so many times as much, from the second frame at rest on: in some crops, what is found
            follows the crop nearly all of the way.
        rest_left: share of the offsets that a crop which must follow leaves.
        meeting_gain: ``gain`` while another face is near.
    """

    gain: float = 0.5
    damping: float = 0.85
    min_presence: float = 0.5
    max_speed: float = 0.5
    max_growth: float = 1.2
    jump: float = 0.3
    search_every: int = 3
    way_frames: int = 8
    min_side: float = 8.0
    max_side: float = 2.0
    # docs/decisions/faces-in-motion.md
    rest_speed: float = 0.005
    rest_share: float = 0.35
    rest_lead: float = 1.5
    rest_below: float = 0.015
    rest_offset: float = 0.01
    rest_growth: float = 0.015
    rest_wide: float = 2.5
    rest_left: float = 0.5
    meeting_gain: float = 0.1


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
        seen: centre x, y of the box that the face was last found in, and of the crop that it was found in; None where
            it has not been found yet.
        rested: whether it was at rest in the last frame.
        full: its shape when it was last in full view (`exalign_engine.tracking.partly_hidden.full_view`); empty where
            it has not been since it was last unseen.
    """

    cx: float
    cy: float
    width: float
    height: float
    vx: float = 0.0
    vy: float = 0.0
    unseen_frames: int = 0
    seen: tuple[float, float, float, float] | None = None
    rested: bool = False
    full: bytes = b""

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

    def update(
        self,
        cropped: F64,
        found: F64,
        gap: int,
        *,
        meeting: bool = False,
        detected: bool = False,
        settings: MotionSettings = MOTION,
    ) -> Motion:
        """After a frame in which the face was seen.

        Args:
            cropped: (4,) the box that was cropped.
            found: (4,) the tight box of the answer.
            gap: frames by index since the one that this motion is of.
            meeting: whether another face is near.
            detected: whether a detector gave the box that was cropped.
            settings: constants.
        """
        old, new = Motion.at(cropped), Motion.at(found)
        g = settings.max_growth
        new = replace(
            new,
            width=_clamp(new.width, old.width / g, old.width * g),
            height=_clamp(new.height, old.height / g, old.height * g),
            seen=(new.cx, new.cy, old.cx, old.cy),
        )
        jumped = iou(self.box, cropped) < settings.jump and iou(self.predict(gap, None).box, cropped) < settings.jump
        if self.unseen_frames or jumped:
            frames = self.unseen_frames + gap
            if meeting and not jumped:
                return replace(new, vx=self.vx, vy=self.vy)  # who comes out behind another face goes on as it went in
            if not detected or self.seen is None or not gap < frames <= settings.way_frames:
                return new
            vx, vy = self._way_velocity(new, frames, settings)
            return replace(new, vx=vx, vy=vy)
        vx, vy = self._velocity(new, gap, settings.meeting_gain if meeting else settings.gain, settings)
        moves = vx or vy or self.seen is None
        if moves:
            return replace(new, vx=vx, vy=vy)
        # To corners and back, a bit would change.
        old = replace(self, vx=0.0, vy=0.0) if (cropped == self.box).all() else old
        return old._followed(new, self.rested, settings)

    def _velocity(self, new: Motion, gap: int, a: float, settings: MotionSettings) -> tuple[float, float]:
        """The velocity when the face is found at ``new``; zeros at rest."""
        fx, fy, cx, cy = self.seen or (self.cx, self.cy, self.cx, self.cy)
        assert new.seen is not None  # noqa: S101 - for the type checker
        moved = math.hypot(new.cx - fx, new.cy - fy)
        share = settings.rest_share if self.vx or self.vy else settings.rest_lead
        by_crop = share * math.hypot(new.seen[2] - cx, new.seen[3] - cy)
        vx = (1 - a) * self.vx + a * (new.cx - fx) / gap
        vy = (1 - a) * self.vy + a * (new.cy - fy) / gap
        slow = math.hypot(vx, vy) <= settings.rest_below * self.side
        if slow and moved <= gap * settings.rest_speed * self.side + by_crop:
            return 0.0, 0.0
        most = settings.max_speed * self.side
        return _clamp(vx, -most, most), _clamp(vy, -most, most)

    def _way_velocity(self, new: Motion, frames: int, settings: MotionSettings) -> tuple[float, float]:
        """The mean velocity since the face was seen, so many frames ago; zeros at rest."""
        assert self.seen is not None  # noqa: S101 - for the type checker
        vx, vy = (new.cx - self.seen[0]) / frames, (new.cy - self.seen[1]) / frames
        if math.hypot(vx, vy) <= settings.rest_speed * self.side:
            return 0.0, 0.0
        most = settings.max_speed * self.side
        return _clamp(vx, -most, most), _clamp(vy, -most, most)

    def _followed(self, new: Motion, rested: bool, settings: MotionSettings) -> Motion:
        """A crop of a face at rest, which is found at ``new``: as it is, or as near as it must."""
        wide = settings.rest_wide if rested else 1.0
        reach, most = wide * settings.rest_offset * self.side, wide * settings.rest_growth
        grown = max(abs(math.log(new.width / self.width)), abs(math.log(new.height / self.height)))
        off = max(abs(new.cx - self.cx) / reach, abs(new.cy - self.cy) / reach, grown / most)
        if off <= 1:
            return replace(self, seen=new.seen, rested=True)
        way = 1 - settings.rest_left / off
        return replace(
            self,
            cx=self.cx + way * (new.cx - self.cx),
            cy=self.cy + way * (new.cy - self.cy),
            width=self.width + way * (new.width - self.width),
            height=self.height + way * (new.height - self.height),
            seen=new.seen,
            rested=True,
        )

    def update_unseen(
        self, stays: F64, gap: int, *, meeting: bool = False, settings: MotionSettings = MOTION
    ) -> Motion:
        """After a frame in which the face was not seen.

        Args:
            stays: (4,) the box where it is believed to be.
            gap: frames by index since the one that this motion is of.
            meeting: whether another face is near, which hides it.
            settings: constants.
        """
        kept = 1.0 if meeting else settings.damping
        return replace(
            Motion.at(stays),
            vx=self.vx * kept,
            vy=self.vy * kept,
            unseen_frames=self.unseen_frames + gap,
            seen=self.seen,
            full=self.full,
        )

    def stopped(self) -> Motion:
        """At rest where it is."""
        return replace(self, vx=0.0, vy=0.0)


def _clamp(value: float, least: float, most: float) -> float:
    return min(max(value, least), most)
