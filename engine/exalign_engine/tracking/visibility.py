"""Is a face visible, hidden or lost? A chain of three states with its own forward filter, and hysteresis.

    v'(j) ∝ o(j) · Σ_i v(i) (T^g)_ij        j ∈ {VISIBLE, HIDDEN, LOST},  g = steps since the last frame        (V1)

The observation is the crop's calibrated presence π. It was calibrated on as many crops with a face as without, so
π : 1 − π is the likelihood ratio of VISIBLE to the other two. HIDDEN and LOST look alike; only time distinguishes
them, as a hidden face shows up again sooner or later. A detector that ran adds whether it found the face at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from exalign_engine.arrays import F64


class TrackState(Enum):
    """Whether a track's face can be seen."""

    #: The face is seen.
    VISIBLE = "visible"
    #: The face is believed to be where the track is, and cannot be seen.
    HIDDEN = "hidden"
    #: Nobody can say where the face is.
    LOST = "lost"


@dataclass(frozen=True)
class VisibilitySettings:
    """Constants of the chain.

    Attributes:
        start: probabilities of (VISIBLE, HIDDEN, LOST) where a face was just given or found, before its crop is scored.
        hide: chance that a visible face is hidden in the next frame.
        show: chance that a hidden face is visible in the next frame.
        lose: chance that a hidden face is lost in the next frame. With ``show`` it makes a track that sees nothing
            at all lost after about 35 frames.
        slip: chance that a visible face is lost in the next frame, as by a cut.
        find: chance that a lost face turns up where the track still looks.
        presence_floor: π is taken for at least this and at most 1 − this, so that no frame decides alone.
        detector_finds: chance that a detector finds a visible face.
        detector_invents: chance that it reports one where none can be seen.
        hidden_below: a visible track becomes hidden when its probability of being visible falls below.
        visible_above: a hidden or lost track becomes visible when it rises above.
        lost_above: a track becomes lost when its probability of being lost rises above.
        keep_lost: frames, by index, for which a lost track is kept to be found again; then it is dropped.
    """

    start: tuple[float, float, float] = (0.7, 0.25, 0.05)
    hide: float = 0.03
    show: float = 0.1
    lose: float = 0.005
    slip: float = 0.002
    find: float = 0.01
    presence_floor: float = 0.02
    detector_finds: float = 0.9
    detector_invents: float = 0.1
    hidden_below: float = 0.35
    visible_above: float = 0.65
    lost_above: float = 0.6
    keep_lost: int = 90

    @property
    def transitions(self) -> F64:
        """(3, 3) T of Eq. V1; rows sum to 1."""
        return np.array(
            [
                [1 - self.hide - self.slip, self.hide, self.slip],
                [self.show, 1 - self.show - self.lose, self.lose],
                [self.find, 0.0, 1 - self.find],
            ]
        )


VISIBILITY = VisibilitySettings()


@dataclass(frozen=True)
class Visibility:
    """The chain of one face after a frame.

    Attributes:
        probabilities: of VISIBLE, HIDDEN and LOST, given all frames so far; they sum to 1.
        state: with hysteresis.
        lost_frames: frames, by index, since the track became lost; 0 unless it is.
    """

    probabilities: tuple[float, float, float]
    state: TrackState
    lost_frames: int = 0

    @classmethod
    def initial(cls, settings: VisibilitySettings = VISIBILITY) -> Visibility:
        """Where a face was just given or found, before its crop is scored."""
        return cls(settings.start, TrackState.VISIBLE)

    @property
    def visible(self) -> float:
        """Probability of VISIBLE."""
        return self.probabilities[0]

    @property
    def lost(self) -> float:
        """Probability of LOST."""
        return self.probabilities[2]

    def relocated(self, settings: VisibilitySettings = VISIBILITY) -> Visibility:
        """The same track after its face was given or found again. Its state waits for the next crop."""
        state = TrackState.HIDDEN if self.state is TrackState.LOST else self.state
        return Visibility(settings.start, state)

    def dropped(self, settings: VisibilitySettings = VISIBILITY) -> Visibility:
        """The same track, to be dropped: its face is another track's."""
        return Visibility((0.0, 0.0, 1.0), TrackState.LOST, settings.keep_lost + 1)

    def expired(self, settings: VisibilitySettings = VISIBILITY) -> bool:
        """Whether the track has been lost for so long that it is dropped."""
        return self.lost_frames > settings.keep_lost

    def predict(self, gap: int, settings: VisibilitySettings = VISIBILITY) -> Visibility:
        """The prior ``gap`` ≥ 1 frames later (Eq. V1)."""
        ahead = np.array(self.probabilities) @ np.linalg.matrix_power(settings.transitions, gap)
        counted = self.lost_frames + gap if self.state is TrackState.LOST else 0
        return replace(self, probabilities=_normalised(ahead), lost_frames=counted)

    def update(
        self, presence: float | None, found: bool | None, settings: VisibilitySettings = VISIBILITY
    ) -> Visibility:
        """The posterior given a frame (Eq. V1), and the state that follows.

        Args:
            presence: of the crop; None where the picture is known to show nothing of the face.
            found: whether a detector found the face; None where none ran.
            settings: constants.
        """
        if presence is None:
            likelihood = np.array([0.0, 1.0, 1.0])
        else:
            seen = min(max(presence, settings.presence_floor), 1 - settings.presence_floor)
            likelihood = np.array([seen, 1 - seen, 1 - seen])
        if found is not None:
            hit, invented = settings.detector_finds, settings.detector_invents
            likelihood *= (hit, invented, invented) if found else (1 - hit, 1 - invented, 1 - invented)
        p = _normalised(np.array(self.probabilities) * likelihood)
        state = _next_state(self.state, p, settings)
        return Visibility(p, state, self.lost_frames if state is TrackState.LOST else 0)


def _next_state(state: TrackState, p: tuple[float, float, float], settings: VisibilitySettings) -> TrackState:
    if p[0] > settings.visible_above:
        return TrackState.VISIBLE
    if p[2] > settings.lost_above:
        return TrackState.LOST
    if state is TrackState.VISIBLE and p[0] < settings.hidden_below:
        return TrackState.HIDDEN
    return state


def _normalised(weights: F64) -> tuple[float, float, float]:
    visible, hidden, lost = (float(w) for w in weights)
    total = visible + hidden + lost
    return visible / total, hidden / total, lost / total
