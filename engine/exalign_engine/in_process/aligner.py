"""The aligner with every view of a face, and with video.

from exalign_engine import Aligner
aligner = Aligner.default()
(face,) = aligner.align("photo.jpg")
print(aligner.pose(face)[0].mean, aligner.suggest(face).ranked[0])
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np

from exalign_engine.errors import InvalidInputError
from exalign_engine.evidence.evidence import Evidence
from exalign_engine.evidence.suggestion import Criterion, Suggestions
from exalign_engine.face import views
from exalign_engine.face.aligner import Aligner as FaceAligner
from exalign_engine.face.aligner import Face
from exalign_engine.face.inputs import ImageInput, open_image
from exalign_engine.face.views import ConditionedFace, HeatmapView
from exalign_engine.geometry.levels import LevelsWanted
from exalign_engine.hmm.chain import Chain
from exalign_engine.in_process.arguments import (
    Constraint,
    Landmark,
    read_choice,
    read_evidence,
    read_landmarks,
    read_numbers,
    read_whole,
)
from exalign_engine.posterior.pose import PoseGrid, PoseView
from exalign_engine.tracking import (
    DETECT_EVERY,
    ClosingAnswer,
    Frame,
    FrameAnswer,
    SessionOptions,
    TemporalModel,
    TrackingSession,
)
from exalign_engine.tracking.frame_loop import answer_frame

#: What a view is about: a face of `Aligner.align`, several, or a picture whose faces are found first.
About = Face | Sequence[Face] | ImageInput


class Aligner(FaceAligner):
    """One model ready to answer: `exalign_engine.face.aligner.Aligner` with views and video.

    Views take a face, several faces, or a picture, and of a picture ``boxes`` as `align` does. Everything is in the
    image frame, pixels; angles are in degrees.

    Args:
        bundle: the model.
        runtime: executes its network.
        detectors: by name; those that can run here.
    """

    @cached_property
    def chain(self) -> Chain:
        """The transitions between the exemplars; built when first needed, which is slow."""
        return Chain.of_exemplars(self.bundle.exemplars, self.bundle.manifest.tau)

    def heatmaps(
        self,
        about: About,
        landmarks: Iterable[Landmark] = ("all",),
        *,
        boxes: Sequence[Sequence[float]] | None = None,
        rectangle: Sequence[float] | None = None,
        width: int = 64,
        height: int = 64,
    ) -> list[HeatmapView]:
        """Where landmarks may be, for each face.

        Args:
            about: faces or a picture.
            landmarks: names, 0-based numbers and groups ("jaw", "brows", "nose", "eyes", "mouth", "all").
            boxes: of a picture: see `align`.
            rectangle: x0, y0, x1, y1 to cover; None: the square that the network saw.
            width: cells a row, 1 to 256.
            height: rows, 1 to 256.

        Raises:
            InvalidInputError: an argument is wrong; it is named.
            OSError: the file cannot be read.
        """
        chosen, faces = read_landmarks(landmarks), self._faces(about, boxes)
        cells = read_whole(width, "width"), read_whole(height, "height")
        margin = self.bundle.manifest.margin
        return [
            views.heatmaps(f, chosen, _corners(rectangle) or views.crop_square(f.located, margin).tolist(), *cells)
            for f in faces
        ]

    def pose(
        self,
        about: About,
        *,
        boxes: Sequence[Sequence[float]] | None = None,
        masses: Sequence[float] = (0.5, 0.9),
        grid: PoseGrid | None = None,
    ) -> list[PoseView]:
        """How each head is turned.

        Args:
            about: faces or a picture.
            boxes: of a picture: see `align`.
            masses: of the credible intervals, each in (0, 1).
            grid: of the joint yaw × roll histogram; None leaves it out.

        Raises:
            InvalidInputError: an argument is wrong; it is named.
            OSError: the file cannot be read.
        """
        if grid is not None and not isinstance(grid, PoseGrid):
            raise InvalidInputError.of("grid", f"is {grid!r}, must be a PoseGrid")
        shares, bundle = read_numbers(masses, "masses"), self.bundle
        return [views.pose(face, bundle.poses, bundle.calibration, shares, grid) for face in self._faces(about, boxes)]

    def condition(
        self,
        about: Face | ImageInput,
        evidence: Evidence | Constraint | Iterable[Constraint],
        *,
        box: Sequence[float] | None = None,
    ) -> ConditionedFace:
        """One face given evidence, such as a click.

        Args:
            about: the face as the network saw it, or a picture: the face in ``box``, else the best that is detected.
            evidence: in pixels of the image frame.
            box: of a picture: the face's box.

        Raises:
            InvalidInputError: an argument is wrong, it is named; or there is no face in the picture.
            OSError: the file cannot be read.
        """
        known = read_evidence(evidence)
        face = self._face(about, box)
        if face.posterior.measured or face.posterior.box_shift is not None:
            raise InvalidInputError.of("about", "holds clicks already, must be the face without them: give all at once")
        return views.conditioned(face, known, self.bundle.poses)

    def suggest(
        self,
        about: Face | ImageInput,
        *,
        box: Sequence[float] | None = None,
        landmarks: Iterable[Landmark] | None = None,
        sigma: float | None = None,
        criterion: str | Criterion = Criterion.ERROR,
    ) -> Suggestions:
        """Which landmark to click next.

        Args:
            about: the face, evidence included, or a picture: as in `condition`.
            box: of a picture: the face's box.
            landmarks: candidates; None: all that are not clicked yet.
            sigma: standard deviation of the coming click, pixels; None: 1 % of the box's diagonal.
            criterion: by what to rank: "error" or "entropy".

        Raises:
            InvalidInputError: an argument is wrong, it is named; or there is no face in the picture.
            OSError: the file cannot be read.
        """
        ranked_by = read_choice(criterion, Criterion, "criterion")
        candidates = None if landmarks is None else read_landmarks(landmarks)
        if sigma is not None and not (isinstance(sigma, int | float | np.number) and 0 < sigma < np.inf):
            raise InvalidInputError.of("sigma", f"is {sigma!r}, must be a number of pixels > 0")
        return views.suggestions(self._face(about, box), sigma, candidates, ranked_by)

    def track(
        self,
        frames: Iterable[ImageInput],
        *,
        temporal_model: str | TemporalModel = TemporalModel.FILTER,
        smoothing_lag: int = 0,
        max_faces: int = 1,
        detect_every: int = DETECT_EVERY,
        path_frames: int = 0,
        detector: str | None = None,
    ) -> TrackedFrames:
        """Track faces through a video.

        Args:
            frames: pictures of one size, in order; an array (N, H, W, 3) is N of them.
            temporal_model: how frames are combined: "filter", "low_pass" or "per_frame".
            smoothing_lag: frames of look-ahead of revisions, 0 to 30; with the filter only.
            max_faces: most faces at once.
            detect_every: the detector runs on every n-th frame; 0: only at the start and while a face is not seen.
            path_frames: length of the most probable path at the end; 0: none.
            detector: its name; None: `default_detector`.

        Returns:
            An iterator over the answers, one a frame; the last ones are in its ``closing``.

        Raises:
            InvalidInputError: an argument is wrong; it is named. A frame is read, and refused, when its turn comes.
        """
        if isinstance(frames, str | bytes) or not isinstance(frames, Iterable):
            raise InvalidInputError.of("frames", f"is {frames!r}, must be pictures in order")
        options = SessionOptions(
            temporal_model=read_choice(temporal_model, TemporalModel, "temporal_model"),
            smoothing_lag=read_whole(smoothing_lag, "smoothing_lag"),
            max_faces=read_whole(max_faces, "max_faces"),
            detect_every=read_whole(detect_every, "detect_every"),
            path_frames=read_whole(path_frames, "path_frames"),
        )
        return TrackedFrames(self, TrackingSession(self, self.chain, options), frames, detector)

    def _faces(self, about: About, boxes: Sequence[Sequence[float]] | None) -> list[Face]:
        if isinstance(about, Face):
            about = [about]
        if not isinstance(about, list | tuple):
            return self.align(about, boxes)  # type: ignore[arg-type]  # align says what is no picture
        for index, face in enumerate(about):
            if not isinstance(face, Face):
                raise InvalidInputError.of(f"about[{index}]", f"is a {type(face).__name__}, must be a Face")
        if boxes is not None:
            raise InvalidInputError.of("boxes", "go with a picture, not with faces")
        return list(about)

    def _face(self, about: Face | ImageInput, box: Sequence[float] | None) -> Face:
        if isinstance(about, Face) and box is not None:
            raise InvalidInputError.of("box", "goes with a picture, not with a face")
        faces = [about] if isinstance(about, Face) else self.align(about, None if box is None else [box], max_faces=1)
        if not faces:
            raise InvalidInputError.of("about", "shows no face that is found; give its box")
        return faces[0]


class TrackedFrames(Iterator[FrameAnswer]):
    """The answers to the frames of a video, in order.

    Args:
        aligner: the model.
        session: new.
        frames: pictures of one size.
        detector: its name; None: the aligner's default.

    Attributes:
        closing: the answers at the end; None before it.
    """

    def __init__(
        self, aligner: FaceAligner, session: TrackingSession, frames: Iterable[ImageInput], detector: str | None
    ) -> None:
        self._aligner, self._session, self._detector = aligner, session, detector
        self._frames = enumerate(frames)
        self.closing: ClosingAnswer | None = None

    def __next__(self) -> FrameAnswer:
        try:
            index, picture = next(self._frames)
        except StopIteration:
            if self.closing is None:
                self.closing = self._session.close()
            raise
        image = open_image(picture, lambda shape: LevelsWanted(None), f"frames[{index}]")
        frame = Frame(index, (image.shape[0], image.shape[1]))
        return answer_frame(
            self._session, self._aligner, frame, image, lambda seen: self._aligner.locate(seen, self._detector)
        )


def _corners(rectangle: Sequence[float] | None) -> list[float] | None:
    """Four numbers x0 < x1, y0 < y1; None for None.

    Raises:
        InvalidInputError: they are none.
    """
    if rectangle is None:
        return None
    x0, y0, x1, y1 = corners if len(corners := read_numbers(rectangle, "rectangle")) == 4 else (0.0,) * 4
    if not (x0 < x1 and y0 < y1 and np.isfinite((x0, y0, x1, y1)).all()):
        raise InvalidInputError.of("rectangle", f"is {rectangle!r}, must be x0, y0, x1, y1 with x0 < x1 and y0 < y1")
    return [x0, y0, x1, y1]
