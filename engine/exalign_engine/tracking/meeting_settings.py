"""Constants of faces that meet: `exalign_engine.tracking.meeting`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MeetingSettings:
    """When two faces meet, and whose face was found then.

    Attributes:
        overlap: faces meet where their expected boxes overlap by this (IoU).
        captured: a face that is found farther from where it was expected (box sides), and nearer to where another was
            expected, is that other one.
        apart: frames in which a face was seen by itself from which its track is one of its own: where another track
            is on the same face it is hidden behind it, and not a second track of it.
    """

    # docs/decisions/faces-in-motion.md
    overlap: float = 0.1
    captured: float = 0.12
    apart: int = 3


MEETING = MeetingSettings()
