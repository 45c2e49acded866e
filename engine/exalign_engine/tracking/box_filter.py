"""A Kalman filter over the boxes that a caller gives for one track (docs/decisions/box-filter.md).

    z_t = z_{t−1} + g ż_{t−1} + g²/2 a      ż_t = ż_{t−1} + g a      a ~ N(0, q²)      box_t ~ N(z_t, r²)           (B1)

z is each of centre x, centre y (box sides) and ln side; g counts frames by index from one box to the next.

A box that is out of all proportion to this begins anew: the face jumped, the video cut, or it is another face. So does
the first box after a frame without one, or after many that were left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.geometry.frames import BoxFrame


@dataclass(frozen=True)
class BoxFilterSettings:
    """Constants of Eq. B1.

    Attributes:
        centre_noise: r of the centre, box sides.
        side_noise: r of ln side.
        acceleration: q, of all three.
        initial_speed: standard deviation of ż in the first frame.
        gate: squared Mahalanobis distance of the three together above which a box begins anew: one in a thousand.
        max_gap: frames by index from one box to the next, above which it begins anew.
    """

    # docs/decisions/box-filter.md
    centre_noise: float = 0.015
    side_noise: float = 0.02
    acceleration: float = 0.007
    initial_speed: float = 0.03
    gate: float = 16.0
    max_gap: int = 10


BOX_FILTER = BoxFilterSettings()


@dataclass(frozen=True)
class Variances:
    """The covariance of (z, ż) of one of the three.

    Attributes:
        place: of z, box sides², or 1 for ln side.
        shared: between z and ż.
        speed: of ż.
    """

    place: float
    shared: float
    speed: float

    def predict(self, gap: int, q: float) -> Variances:
        """The prior ``gap`` frames later; ``q`` is q²."""
        return Variances(
            self.place + 2 * gap * self.shared + gap**2 * self.speed + q * gap**4 / 4,
            self.shared + gap * self.speed + q * gap**3 / 2,
            self.speed + q * gap**2,
        )

    def update(self, gain: float, speed_gain: float) -> Variances:
        """Given a box; the gains are those of z and ż."""
        left = 1 - gain
        return Variances(self.place * left, self.shared * left, self.speed - speed_gain * self.shared)


@dataclass(frozen=True)
class BoxFilter:
    """Where the box of one face is, after some frames in a row that gave one.

    Attributes:
        frame: the square about the filtered box.
        vx: velocity of its centre, sides a frame by index.
        vy: see ``vx``.
        growth: of ln side, a frame.
        centre: variances of x and ``vx``, and of y and ``vy``.
        size: variances of ln side and ``growth``.
    """

    frame: BoxFrame
    vx: float
    vy: float
    growth: float
    centre: Variances
    size: Variances

    @classmethod
    def initial(cls, box: F64, settings: BoxFilterSettings = BOX_FILTER) -> BoxFilter:
        """At a first box, (4,) image frame, pixels."""
        speed = settings.initial_speed**2
        centre, size = (Variances(r**2, 0.0, speed) for r in (settings.centre_noise, settings.side_noise))
        return cls(BoxFrame.from_box(box), 0.0, 0.0, 0.0, centre, size)

    def step(self, box: F64, gap: int, settings: BoxFilterSettings = BOX_FILTER) -> BoxFilter:
        """Predict and update by one box (Eq. B1).

        Args:
            box: (4,) image frame, pixels.
            gap: frames by index since the last one, ≥ 1.
            settings: constants.
        """
        if gap > settings.max_gap:
            return BoxFilter.initial(box, settings)
        old, new, q = self.frame, BoxFrame.from_box(box), settings.acceleration**2
        centre, size = self.centre.predict(gap, q), self.size.predict(gap, q)
        # The innovations and their variances.
        ex = (new.cx - old.cx) / old.side - gap * self.vx
        ey = (new.cy - old.cy) / old.side - gap * self.vy
        es = math.log(new.side / old.side) - gap * self.growth
        of_centre = centre.place + settings.centre_noise**2
        of_size = size.place + settings.side_noise**2
        if (ex * ex + ey * ey) / of_centre + es * es / of_size > settings.gate:
            return BoxFilter.initial(box, settings)
        gain, speed_gain = centre.place / of_centre, centre.shared / of_centre
        size_gain, growth_gain = size.place / of_size, size.shared / of_size
        grown = math.exp(gap * self.growth + size_gain * es)
        return BoxFilter(
            old.moved(gap * self.vx + gain * ex, gap * self.vy + gain * ey, grown),
            self.vx + speed_gain * ex,
            self.vy + speed_gain * ey,
            self.growth + growth_gain * es,
            centre.update(gain, speed_gain),
            size.update(size_gain, growth_gain),
        )

    def box_like(self, box: F64) -> F64:
        """(4,) the filtered box, with the aspect of one that was given."""
        half = (box[2:] - box[:2]) * (self.frame.side / BoxFrame.from_box(box).side / 2)
        centre = np.array([self.frame.cx, self.frame.cy])
        return np.concatenate([centre - half, centre + half])


def filter_box(before: BoxFilter | None, box: F64, gap: int) -> BoxFilter:
    """After a box, (4,), whether or not the frame before had one."""
    return BoxFilter.initial(box) if before is None else before.step(box, gap)
