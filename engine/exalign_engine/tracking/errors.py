"""What a tracking session refuses, beside `exalign_engine.errors.InvalidInputError`."""

from __future__ import annotations

from enum import Enum

from exalign_engine.errors import ExalignError


class FrameTooOldError(ExalignError):
    """Evidence or a frame from before what the session still holds.

    Args:
        frame_index: the frame asked for.
        oldest: the oldest frame that would do; None where none does.
        limit: one sentence that says why.
    """

    def __init__(self, frame_index: int, oldest: int | None, limit: str) -> None:
        self.frame_index, self.oldest = frame_index, oldest
        super().__init__(f"frame_index: is {frame_index}, {limit}")


class StateReason(Enum):
    """Why an encoded session cannot go on here."""

    DAMAGED = "damaged"
    VERSION = "version"
    OTHER_BUNDLE = "other bundle"
    OTHER_OPTIONS = "other options"
    #: It can be read, and would not go on bit for bit: by other constants, or by arithmetic that has changed.
    OTHER_SETTINGS = "other settings"


class StateError(ExalignError):
    """An encoded session cannot be used.

    Args:
        reason: of what kind the trouble is.
        problem: one sentence with what was found and what was expected.
    """

    def __init__(self, reason: StateReason, problem: str) -> None:
        self.reason, self.problem = reason, problem
        super().__init__(f"session state ({reason.value}): {problem}")
