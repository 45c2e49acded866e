"""Two faces that meet: whose face was found, and which one is hidden behind the other.

A crop at a hidden face shows the one in front of it, so the network finds that one. A face that is found far from where
its motion expected it, and nearer to where the other was expected, is *captured*: it is hidden, and goes on as it went.
Of two tracks on one face one is hidden too, where both have been seen by themselves before; else one is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.geometry.frames import iou, tight_box
from exalign_engine.tracking.box_matching import BOX_MATCHING
from exalign_engine.tracking.filter_step import FrameFilter
from exalign_engine.tracking.meeting_settings import MEETING
from exalign_engine.tracking.placement import Placement
from exalign_engine.tracking.reacquired import reacquired
from exalign_engine.tracking.track import Track
from exalign_engine.tracking.track_update import UpdatedTrack, update_track
from exalign_engine.tracking.visibility import TrackState


def settled(
    frame_filter: FrameFilter, placements: Sequence[Placement], updated: Sequence[UpdatedTrack], index: int, gap: int
) -> list[UpdatedTrack]:
    """The tracks after a frame, no two of them on one face.

    Args:
        frame_filter: model and chain.
        placements: of all tracks of the frame.
        updated: tracks after it, each by itself.
        index: of the frame.
        gap: frames by index since the last one.
    """
    placed = {p.track_id: p for p in placements}

    def hidden(one: UpdatedTrack) -> UpdatedTrack:
        again = update_track(frame_filter, placed[one.track.track_id], index, gap, None)
        assert again is not None  # noqa: S101 - only a track that is opened can be None; for the type checker
        return again

    seen = [hidden(one) if _captured(placed[one.track.track_id], one) else one for one in updated]
    return [hidden(one) if after is None else after for one, after in zip(seen, _one_a_face(seen, placed), strict=True)]


def with_reacquired(
    updated: Sequence[UpdatedTrack], placements: Sequence[Placement], before: Sequence[Track]
) -> list[UpdatedTrack]:
    """Answers that say which face has been found again, where one was lost and the detector found one.

    Args:
        updated: tracks after the frame.
        placements: of the frame.
        before: tracks before it.
    """
    lost = [track for track in before if track.visibility.state is TrackState.LOST]
    if not lost:
        return list(updated)
    placed = {p.track_id: p for p in placements}
    taken = {k for k, p in placed.items() if p.external and p.track is not None}
    out = []
    for one in updated:
        placement = placed[one.track.track_id]
        turned_up = placement.external and not placement.given and one.answer.state is TrackState.VISIBLE
        own = [track for track in lost if track.track_id == one.track.track_id]
        others = [track for track in lost if track.track_id not in taken] if placement.track is None else []
        found = reacquired(one.answer.given.face.landmarks, own or others) if turned_up else None
        out.append(one if found is None else replace(one, answer=replace(one.answer, reacquired=found)))
    return out


def _captured(placement: Placement, one: UpdatedTrack) -> bool:
    """Whether another face was found in place of a track's own."""
    visible = one.answer.state is TrackState.VISIBLE
    if placement.external or placement.evidence is not None or not placement.meets or not visible:
        return False
    found = tight_box(one.answer.given.face.landmarks)
    off = _apart(found, placement.predicted)
    return off > MEETING.captured and off > min(_apart(found, other) for other in placement.meets)


def _one_a_face(updated: Sequence[UpdatedTrack], placed: dict[int, Placement]) -> list[UpdatedTrack | None]:
    """Each track as it is; None: to be hidden; or dropped, as lost, in this answer already.

    Of two tracks on one face the one that the caller placed stays, then one that was seen before, then the one that is
    nearer to where it was expected, then the likelier one, then the older one.
    """

    def rank(one: UpdatedTrack) -> tuple[bool, bool, float, float, int]:
        placement = placed[one.track.track_id]
        unseen = placement.track is None or placement.track.motion.unseen_frames > 0
        off = _apart(tight_box(one.answer.given.face.landmarks), placement.predicted)
        return not one.given, unseen, off, -one.track.visibility.visible, one.track.track_id

    kept: list[UpdatedTrack] = []
    out: dict[int, UpdatedTrack | None] = {one.track.track_id: one for one in updated}
    visible = [one for one in updated if one.track.visibility.state is TrackState.VISIBLE]
    for one in sorted(visible, key=rank) if len(visible) > 1 else ():
        box = one.track.motion.box
        if one.given or not any(iou(box, k.track.motion.box) > BOX_MATCHING.same_face for k in kept):
            kept.append(one)
        elif one.track.apart >= MEETING.apart and not one.answer.has_evidence:
            out[one.track.track_id] = None
        else:
            visibility = one.track.visibility.dropped()
            lost = replace(one.answer, state=visibility.state, visible_probability=0.0, lost_probability=1.0)
            out[one.track.track_id] = replace(one, track=replace(one.track, visibility=visibility), answer=lost)
    return [out[one.track.track_id] for one in updated]


def _apart(box: F64, other: F64) -> float:
    """Distance of the centres of two boxes, in sides of the second."""
    (x0, y0, x1, y1), middle = other, (box[:2] + box[2:] - other[:2] - other[2:]) / 2
    return float(np.hypot(*middle) / max(x1 - x0, y1 - y0))
