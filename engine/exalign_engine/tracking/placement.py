"""Where each track is in a frame: given boxes win, then detections where the detector ran, else the prediction.

- A given box with a track's id is that track's place. One without goes to the track that it overlaps most; else to
  a lost track near by, or to the only track that there may be; else it opens a track.
- A detection that overlaps a track confirms it, and re-centres it where it has drifted. Where the face is not seen both
  places are looked at, and the surer one counts: what covers a face may show another. Else it is the
  face of a track near by that is not seen, or, anywhere, that of the only track if it is lost or has just vanished,
  as by a cut; else it opens a track if there is room.
- Every other track looks where its motion predicts.
- Behind a cut (`exalign_engine.tracking.cuts`) places of before mean little. A detection is the face of a track only
  where it lies over its box, or where there is one track; else it opens a track, and takes the place of another where
  there is no room. What is known of a face that is found there begins anew.
- Faces that are seen get their detections first: one that is hidden behind another must not take its detection.

Where the temporal model is the chain, given boxes are filtered too (`exalign_engine.tracking.box_filter`). A box is
matched as it was given; the filtered one is cropped.

Where all places are taken, a new track takes that of the track that was lost longest ago; a given box then takes, where
none is lost, that of the track least likely to be visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exalign_engine.arrays import F64
from exalign_engine.errors import InvalidInputError, Violation
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.face.aligner import LocatedFace
from exalign_engine.geometry.frames import iou
from exalign_engine.tracking.answers import TRACK_BOX, Frame
from exalign_engine.tracking.box_filter import BoxFilter, filter_box
from exalign_engine.tracking.box_matching import BOX_MATCHING, match, near
from exalign_engine.tracking.evidence_assignment import assign
from exalign_engine.tracking.meeting_settings import MEETING
from exalign_engine.tracking.motion import MOTION, Motion
from exalign_engine.tracking.options import SessionOptions, TemporalModel
from exalign_engine.tracking.track import Track
from exalign_engine.tracking.visibility import TrackState


@dataclass(frozen=True)
class Placement:
    """One face to look at.

    Attributes:
        track_id: also of a track that is opened by this.
        track: None: it is opened by this.
        place: where.
        given: whether the caller gave the place.
        external: whether the caller or the detector gave it, rather than the prediction.
        found: whether the detector found the face; None where it did not run.
        boxes: filter of its given boxes after this one; None where this frame gives none, or the temporal model is not
            the chain.
        predicted: (4,) where its motion predicts it; the place itself where it is opened by this.
        meets: (4,) each, where other faces near by are expected (`exalign_engine.tracking.meeting`).
        anew: whether it was found behind a cut, so that what is known of the face begins anew.
        alternative: where a detector found it, if that is to be looked at beside ``place``.
        evidence: about this face in this frame.
    """

    track_id: int
    track: Track | None
    place: LocatedFace
    given: bool
    external: bool
    found: bool | None
    boxes: BoxFilter | None
    predicted: F64
    meets: tuple[F64, ...] = ()
    anew: bool = False
    alternative: LocatedFace | None = None
    evidence: Evidence | None = None

    @property
    def at_alternative(self) -> Placement:
        """With the place that the detector found."""
        assert self.alternative is not None  # noqa: S101 - for the type checker
        return replace(self, place=self.alternative, external=True, found=True)


@dataclass(frozen=True)
class Plan:
    """Everything to look at in a frame, ascending by track id."""

    placements: tuple[Placement, ...]

    @property
    def places(self) -> list[LocatedFace]:
        """What to crop: all places, then all alternatives."""
        alternatives = (p.alternative for p in self.placements)
        return [*(p.place for p in self.placements), *(a for a in alternatives if a is not None)]


def check_frame(frame: Frame, tracks: Sequence[Track], options: SessionOptions, size: tuple[int, int] | None) -> None:
    """Refuse a frame that contradicts the session.

    Raises:
        InvalidInputError: names every wrong field of the frame.
    """
    wrong: list[Violation] = []
    known = {t.track_id for t in tracks}
    if frame.size is not None and size is not None and frame.size != size:
        (h, w), (height, width) = frame.size, size
        wrong.append(Violation("image", f"is {w} × {h} pixels, all frames of the session have {width} × {height}"))
    if len(frame.boxes) > options.max_faces:
        wrong.append(Violation("boxes", f"has {len(frame.boxes)} boxes, at most max_faces = {options.max_faces}"))
    named: set[int] = set()
    for i, (track_id, _) in enumerate(frame.boxes):
        if track_id in named:
            wrong.append(Violation(f"boxes[{i}].track_id", f"repeats {track_id}"))
        elif track_id:
            named.add(track_id)
    for field, ids in (("boxes", [b[0] for b in frame.boxes]), ("evidence", [e[0] for e in frame.evidence])):
        wrong.extend(unknown_tracks(field, ids, known))
    if wrong:
        raise InvalidInputError(wrong)


def unknown_tracks(field: str, ids: Sequence[int], known: set[int]) -> list[Violation]:
    """One violation for every id that is neither 0 nor known."""
    names = ", ".join(str(k) for k in sorted(known)) or "none"
    text = f"must be 0 or a track of the session: {names}"
    return [Violation(f"{field}[{i}].track_id", f"is {k}, {text}") for i, k in enumerate(ids) if k and k not in known]


def wants_detector(frame: Frame, tracks: Sequence[Track], options: SessionOptions, at_once: bool) -> bool:
    """Whether the detector should run: at the start, for a face that is not seen, every n-th frame, or at once."""
    if frame.blind or len(frame.boxes) >= options.max_faces:
        return False
    if at_once:
        return True
    named = {track_id for track_id, _ in frame.boxes}
    start = not tracks and not frame.boxes
    loose = [t for t in tracks if t.track_id not in named]
    unseen = any(_due(t.motion) for t in loose)
    return start or unseen or (options.detect_every > 0 and frame.index % options.detect_every == 0)


def _due(motion: Motion) -> bool:
    """Whether the detector should search a face that is not seen."""
    return motion.unseen_frames > 0 and (motion.unseen_frames - 1) % MOTION.search_every == 0


class Planner:
    """Finds the places of one frame.

    Args:
        frame: the frame.
        tracks: that are followed, ascending by id.
        predicted: (4,) predicted box of each.
        gap: frames by index since the last one.
        next_id: id of the first track that this frame opens.
        options: of the session.
        cut: whether the frame shows another shot than the last one.
    """

    def __init__(
        self,
        frame: Frame,
        tracks: Sequence[Track],
        predicted: Sequence[F64],
        gap: int,
        next_id: int,
        options: SessionOptions,
        cut: bool = False,
    ) -> None:
        self._frame, self._options, self._gap, self._next_id, self._cut = frame, options, gap, next_id, cut
        self._tracks = {t.track_id: t for t in tracks}
        self._predicted = {t.track_id: box for t, box in zip(tracks, predicted, strict=True)}
        #: Tracks that may not make room: named by the caller, or placed already.
        self._held = {track_id for track_id, _ in (*frame.boxes, *frame.evidence) if track_id}
        self._given: dict[int, LocatedFace] = {}
        self._detected: dict[int, LocatedFace] = {}
        self._alternatives: dict[int, LocatedFace] = {}
        self._found: set[int] = set()
        self._opened: dict[int, tuple[LocatedFace, bool]] = {}

    def plan(self, detections: Sequence[LocatedFace] | None) -> Plan:
        """Find them.

        Args:
            detections: best first; None where the detector did not run.

        Raises:
            InvalidInputError: evidence is about a face that is not there, or contradicts itself.
        """
        self._place_given()
        if detections is not None:
            self._place_detected(detections)
        placements, meetings = [], self._meetings()
        for track_id, track in sorted(self._tracks.items()):
            found = None if detections is None else track_id in self._found
            given, box = track_id in self._given, self._predicted[track_id]
            external = given or track_id in self._detected
            if given:
                place, boxes = self._filtered(self._given[track_id], None if self._cut else track.boxes)
            else:
                place = self._detected.get(track_id) or LocatedFace(box, box, TRACK_BOX, False, None)
                boxes = None
            meets, anew = meetings.get(track_id, ()), self._cut and external
            other = None if external else self._alternatives.get(track_id)
            placements.append(Placement(track_id, track, place, given, external, found, boxes, box, meets, anew, other))
        for track_id, (place, given) in self._opened.items():
            boxes = self._filtered(place, None)[1] if given else None
            found = None if given else True
            placements.append(Placement(track_id, None, place, given, True, found, boxes, place.box))
        return Plan(_with_evidence(placements, self._frame.evidence))

    def _filtered(self, place: LocatedFace, before: BoxFilter | None) -> tuple[LocatedFace, BoxFilter | None]:
        """Where a face whose box is given is cropped, and the filter of its given boxes then."""
        if self._options.temporal_model is not TemporalModel.FILTER:
            return place, None
        boxes = filter_box(before, place.box, self._gap)
        return replace(place, box=boxes.box_like(place.box)), boxes

    def _place_given(self) -> None:
        loose = []
        for track_id, place in self._frame.boxes:
            if track_id:
                self._given[track_id] = place
            else:
                loose.append(place)
        free = [k for k in self._tracks if k not in self._given]
        pairs = match([self._predicted[k] for k in free], [p.box for p in loose], BOX_MATCHING.min_overlap)
        for j, i in pairs.items():
            self._given[free[i]] = loose[j]
        for j, place in enumerate(loose):
            if j in pairs:
                continue
            lost = [k for k, t in self._tracks.items() if t.visibility.state is TrackState.LOST]
            target = self._nearest(place, lost)
            if target is None and self._options.max_faces == 1:
                target = next(iter(self._tracks), None)
            if target is not None:
                self._given[target] = place
            elif not self._frame.blind and self._make_room(any_track=True):
                self._open(place, given=True)

    def _meetings(self) -> dict[int, tuple[F64, ...]]:
        """By track, where the faces that it meets are expected; lost ones are anywhere."""
        if self._cut or len(self._tracks) < 2:
            return {}
        boxes = {k: self._expected(k) for k, t in self._tracks.items() if t.visibility.state is not TrackState.LOST}
        return {
            k: tuple(b for j, b in boxes.items() if j != k and iou(b, box) >= MEETING.overlap)
            for k, box in boxes.items()
        }

    def _expected(self, track_id: int) -> F64:
        """(4,) where a track's face is given, or predicted."""
        return self._given[track_id].box if track_id in self._given else self._predicted[track_id]

    def _pairs(self, detections: Sequence[LocatedFace]) -> dict[int, int]:
        """Index of a detection → the track whose face it is; faces that are seen come first."""
        least = BOX_MATCHING.through_cut if self._cut else BOX_MATCHING.min_overlap
        found: dict[int, int] = {}
        for seen in (True, False):
            ids = [k for k in self._tracks if self._seen(k) is seen]
            left = [j for j in range(len(detections)) if j not in found]
            pairs = match([self._expected(k) for k in ids], [detections[j].box for j in left], least)
            found |= {left[j]: ids[i] for j, i in pairs.items()}
        return found

    def _place_detected(self, detections: Sequence[LocatedFace]) -> None:
        pairs = self._pairs(detections)
        for j, track_id in pairs.items():
            place = detections[j]
            self._found.add(track_id)
            seen, overlap = self._seen(track_id), iou(self._expected(track_id), place.box)
            if track_id in self._given:
                continue
            sure = seen and self._tracks[track_id].surely_seen
            if self._cut or (sure and overlap < BOX_MATCHING.recentre_below):
                self._detected[track_id] = place
            elif overlap < (BOX_MATCHING.recentre_below if seen else BOX_MATCHING.same_place):
                self._alternatives[track_id] = place
        for j, place in enumerate(detections):
            if j not in pairs and not self._covered(place):
                self._place_stray(place)

    def _place_stray(self, place: LocatedFace) -> None:
        """A detection where no track is."""
        track_id = None if self._cut else self._nearest(place, [k for k in self._tracks if not self._seen(k)])
        if track_id is None and len(self._tracks) == 1 and not self._opened:
            only = next(iter(self._tracks.values()))
            free = not self._is_placed(only.track_id)
            if free and (self._cut or only.visibility.state is TrackState.LOST or only.vanished):
                track_id = only.track_id
        if track_id is not None and not self._cut and self._tracks[track_id].visibility.state is not TrackState.LOST:
            self._alternatives[track_id] = place  # what covers a face may show another, anywhere
        elif track_id is not None:
            self._detected[track_id] = place
            self._found.add(track_id)
        elif self._make_room(any_track=self._cut):
            self._open(place, given=False)

    def _seen(self, track_id: int) -> bool:
        """Whether a track's face was seen in its last frame."""
        track = self._tracks[track_id]
        return track.visibility.state is TrackState.VISIBLE and track.motion.unseen_frames == 0

    def _nearest(self, place: LocatedFace, tracks: Sequence[int]) -> int | None:
        """The one of some tracks that nobody placed yet and whose face this may be."""
        free = [k for k in tracks if not self._is_placed(k)]
        # Of a face that is lost nobody knows where it went: one that is far from there may be anybody's.
        lost = {k for k in free if self._tracks[k].visibility.state is TrackState.LOST}
        frames = {k: None if k in lost else self._tracks[k].motion.unseen_frames for k in free}
        reach = {k: near(self._predicted[k], place.box, frames[k]) for k in free}
        close = [(apart, k) for k, apart in reach.items() if apart is not None]
        return min(close)[1] if close else None

    def _is_placed(self, track_id: int) -> bool:
        """Whether a track has its place, or a second one, already."""
        return any(track_id in placed for placed in (self._given, self._found, self._alternatives))

    def _covered(self, place: LocatedFace) -> bool:
        """Whether a track is placed there already."""
        lost = {k for k, t in self._tracks.items() if self._cut or t.visibility.state is TrackState.LOST}
        boxes = [self._predicted[k] for k in self._tracks if k not in lost]
        boxes += [p.box for p in (*self._given.values(), *self._detected.values())]
        boxes += [p.box for p, _ in self._opened.values()]
        return any(match([box], [place.box], BOX_MATCHING.min_overlap) for box in boxes)

    def _make_room(self, *, any_track: bool) -> bool:
        """Whether there is room for one more track, after a lost one, or any other, was dropped for it if need be."""
        if len(self._tracks) + len(self._opened) < self._options.max_faces:
            return True
        free = [t for k, t in self._tracks.items() if k not in self._held and not self._is_placed(k)]
        lost = [t for t in free if t.visibility.state is TrackState.LOST]
        if lost:
            dropped = max(lost, key=lambda t: (t.visibility.lost_frames, -t.track_id))
        elif free and any_track:
            dropped = min(free, key=lambda t: (t.visibility.visible, t.track_id))
        else:
            return False
        del self._tracks[dropped.track_id]
        return True

    def _open(self, place: LocatedFace, *, given: bool) -> None:
        self._opened[self._next_id] = (place, given)
        self._next_id += 1


def _with_evidence(placements: Sequence[Placement], evidence: Sequence[tuple[int, Evidence]]) -> tuple[Placement, ...]:
    about = assign(evidence, {p.track_id: p.place.box for p in placements})
    return tuple(replace(p, evidence=about.get(p.track_id)) for p in placements)
