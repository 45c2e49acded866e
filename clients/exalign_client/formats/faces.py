"""What every format holds: pictures with their faces, and the layouts of points that other tools know.

Points are in the image frame: pixels, the centre of the top-left pixel is (0, 0). Formats whose origin is the corner of
that pixel, or whose first pixel is 1, are shifted by the module of that format, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exalign_client.errors import ExalignClientError
from exalign_client.landmarks import N_LANDMARKS, NAMES
from exalign_client.results.faces import Face, Prediction
from exalign_client.track.results import TrackResult, TrackState

F64 = NDArray[np.float64]

#: Visibility, as COCO counts it: there is no such point, it is hidden or uncertain, it is seen.
ABSENT, UNCERTAIN, VISIBLE = 0, 1, 2

#: A point of at least this confidence that nothing hides is VISIBLE, another UNCERTAIN; those of a hidden face all are.
VISIBLE_FROM = 0.5

#: Number of points -> the landmarks each is the mean of. 66: without the mouth's inner corners; 51: without the jaw.
LAYOUTS: dict[int, tuple[tuple[int, ...], ...]] = {
    N_LANDMARKS: tuple((n,) for n in range(N_LANDMARKS)),
    66: tuple((n,) for n in range(N_LANDMARKS) if n not in (60, 64)),
    51: tuple((n,) for n in range(17, N_LANDMARKS)),
    5: (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),
}
_FIVE = ("right_eye", "left_eye", "nose_tip", "right_mouth_corner", "left_mouth_corner")


class FormatError(ExalignClientError):
    """A file is not in the format that it should be in, or a format cannot hold what is to be written."""


def point_names(points: int) -> tuple[str, ...]:
    """One name a point of a layout; "right" is the subject's own.

    Raises:
        FormatError: there is no layout of so many points.
    """
    if points not in LAYOUTS:
        raise FormatError(f"a face has {points} points; known are {', '.join(map(str, sorted(LAYOUTS)))}")
    return _FIVE if points == len(_FIVE) else tuple(NAMES[part[0]] for part in LAYOUTS[points])


@dataclass(frozen=True, eq=False)
class LabelledFace:
    """The points of one face.

    Attributes:
        points: (N, 2) float64, pixels; N is one of `LAYOUTS`. NaN only where ``visibility`` is ABSENT.
        visibility: (N,) uint8: ABSENT, UNCERTAIN or VISIBLE.
        box: (4,) float64, x0, y0, x1, y1, pixels; None: the points' own.
        score: that there is a face, 0 to 1; None: not known.
        track_id: the same face in the frames of one video; None: a picture by itself.
        covariances: (N, 2, 2) float64, px²; None: not known.
    """

    points: F64
    visibility: NDArray[np.uint8]
    box: F64 | None = None
    score: float | None = None
    track_id: int | None = None
    covariances: F64 | None = None

    @property
    def extent(self) -> F64:
        """(4,) the box; without one, the tight box of the points that are there (zeros without any)."""
        if self.box is not None:
            return self.box
        there = self.points[self.visibility != ABSENT]
        return np.concatenate([there.min(axis=0), there.max(axis=0)]) if len(there) else np.zeros(4)


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """One picture, or one frame of a video.

    Attributes:
        name: file name of the picture; of a frame, that of its video.
        size: width and height, pixels; None: not known.
        faces: those in it.
        frame: number of the frame, from 0; None: a picture.
        time: of the frame, seconds; None: not known.
    """

    name: str
    size: tuple[int, int] | None
    faces: tuple[LabelledFace, ...]
    frame: int | None = None
    time: float | None = None


def checked_face(
    points: object, visibility: object = None, *, box: object = None, score: object = None, track_id: object = None
) -> LabelledFace:
    """A face as a file has it.

    Args:
        points: N pairs, pixels.
        visibility: N numbers; None: all are VISIBLE.
        box: four numbers, pixels; None: the points' own.
        score: 0 to 1; None: not known.
        track_id: a whole number; None: there is none.

    Raises:
        FormatError: there is no layout of so many points, or a value is none.
    """
    try:
        xy = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        seen = np.full(len(xy), VISIBLE) if visibility is None else np.asarray(visibility, dtype=np.float64)
        sides = None if box is None else np.asarray(box, dtype=np.float64).reshape(4)
        likely = None if score is None else float(score)  # type: ignore[arg-type]
        track = None if track_id is None else int(track_id)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"a value is not a number, or there are too few: {error}") from None
    point_names(len(xy))
    if len(seen) != len(xy) or not np.isin(seen, (ABSENT, UNCERTAIN, VISIBLE)).all():
        raise FormatError(f"visibility must be 0, 1 or 2 for each of the {len(xy)} points")
    if not np.isfinite(xy[seen != ABSENT]).all() or (sides is not None and not np.isfinite(sides).all()):
        raise FormatError("a coordinate is not finite")
    return LabelledFace(xy, seen.astype(np.uint8), sides, likely, track)


def in_layout(picture: LabelledPicture, points: int) -> LabelledPicture:
    """The same picture, its faces with so many points.

    Those of 68 points have every layout; a point that is a mean is as visible as the least visible of its landmarks,
    and has no covariance.

    Raises:
        FormatError: a face has too few points, or there is no such layout.
    """
    point_names(points)  # refuses what is none
    layout, faces = LAYOUTS[points], []
    for face in picture.faces:
        if len(face.points) == points:
            faces.append(face)
            continue
        if len(face.points) != N_LANDMARKS:
            raise FormatError(f"{picture.name}: {len(face.points)} points cannot be turned into {points}")
        single = all(len(part) == 1 for part in layout) and face.covariances is not None
        first = [part[0] for part in layout]
        faces.append(
            replace(
                face,
                points=np.stack([face.points[list(part)].mean(axis=0) for part in layout]),
                visibility=np.array([face.visibility[list(part)].min() for part in layout], dtype=np.uint8),
                covariances=face.covariances[first] if single and face.covariances is not None else None,
            )
        )
    return replace(picture, faces=tuple(faces))


def picture_from(name: str, prediction: Prediction) -> LabelledPicture:
    """An answer about a picture, as other tools can have it."""
    return LabelledPicture(name, prediction.image_size, tuple(labelled_face(face) for face in prediction))


def frame_from(name: str, size: tuple[int, int] | None, result: TrackResult) -> LabelledPicture:
    """An answer to a frame of a video; a lost face is none, the points of a hidden one are UNCERTAIN."""
    faces = tuple(
        labelled_face(track.face, hidden=track.state is TrackState.HIDDEN, track_id=track.track_id)
        for track in result.tracks
        if track.state is not TrackState.LOST
    )
    return LabelledPicture(name, size, faces, result.frame_index, result.media_time)


def labelled_face(face: Face, *, hidden: bool = False, track_id: int | None = None) -> LabelledFace:
    """One face of an answer; of a hidden one every point is UNCERTAIN."""
    visible = (face.confidences >= VISIBLE_FROM) & (not hidden)
    if face.hidden is not None:
        visible &= ~face.hidden
    return LabelledFace(
        face.landmarks.astype(np.float64),
        np.where(visible, VISIBLE, UNCERTAIN).astype(np.uint8),
        face.box.astype(np.float64),
        face.presence,
        track_id,
        face.covariances.astype(np.float64),
    )
