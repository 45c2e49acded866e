"""From an image to faces: the engine in one object, for notebooks, tests and the server.

from exalign_engine import Aligner
faces = Aligner.default().align("photo.jpg")
print(faces[0].landmarks)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from exalign.canvas import draw_face
from exalign.summary import summarised
from exalign_engine.arrays import F64, U8
from exalign_engine.bundle.bundle import Bundle, default_bundle_path
from exalign_engine.detect import Detector, RawDetection, convention, create_default_detector, default_among
from exalign_engine.detect.base import first_side
from exalign_engine.errors import InvalidInputError
from exalign_engine.face.crops import Cropper, wanted_to_detect
from exalign_engine.face.inputs import ImageInput, open_image, read_boxes, read_count, read_image
from exalign_engine.face.network_check import check_network
from exalign_engine.geometry.boxes import check_boxes
from exalign_engine.geometry.frames import BoxFrame
from exalign_engine.geometry.levels import LevelsWanted, Pixels, whole
from exalign_engine.network.outputs import FaceOutputs, Runtime
from exalign_engine.posterior.posterior import GroupUncertainty, Posterior, PosteriorModel
from exalign_engine.posterior.residual import ImageFeatures
from exalign_engine.refiner.refiner import (
    MIN_MOVE_DETECTED,
    MIN_MOVE_GIVEN,
    MIN_MOVE_POINTS,
    BoxObservation,
    Refiner,
    next_frames,
    seen_shape,
)
from exalign_engine.runtime import create_runtime

#: Kind of a box that the caller gives in the face box convention.
FACE_BOX = "face_box"


@dataclass(frozen=True, repr=False)
class LocatedFace:
    """A face's place in the image.

    Attributes:
        box: (4,) face box x0, y0, x1, y1, image frame, pixels.
        source_box: (4,) the box it came from, in its own convention, image frame, pixels.
        source: `FACE_BOX` or the detector's name whose convention ``source_box`` follows.
        detected: True if a detector of ours found it, False if the caller gave the box.
        score: the detector's score, or None.
        by_points: True if the detector's points told the face box.
    """

    __repr__ = summarised

    box: F64
    source_box: F64
    source: str
    detected: bool
    score: float | None
    by_points: bool = False

    @cached_property
    def frame(self) -> BoxFrame:
        """The face box made square."""
        return BoxFrame.from_box(self.box)


@dataclass(frozen=True, repr=False)
class Face:
    """The answer about one face; everything in the image frame, pixels. Numbers are computed when first read.

    Attributes:
        located: where it is.
        posterior: the distribution behind the numbers, in the box frame.
        smoothed: (68, 2) float64, temporal mean that takes the place of the posterior mean; None where there is none.
        image: what the network saw of it, where ``posterior`` does not hold that; None where it is not known.
    """

    located: LocatedFace
    posterior: Posterior
    smoothed: F64 | None = None
    image: ImageFeatures | None = None

    @cached_property
    def landmarks(self) -> F64:
        """(68, 2) float64, posterior mean, unless it was smoothed."""
        return self.smoothed if self.smoothed is not None else self.located.frame.to_image(self.posterior.mean)

    @cached_property
    def covariance(self) -> F64:
        """(68, 3) float64, px², as xx, xy, yy."""
        return self.posterior.covariance * self.located.frame.side**2

    @property
    def confidence(self) -> F64:
        """(68,) float64, P(‖y_n − ŷ_n‖ ≤ 0.05 box diagonal)."""
        return self.posterior.confidence

    @cached_property
    def occluded(self) -> F64 | None:
        """(68,) float64, probability that each landmark is hidden; None: nothing tells, or there is no picture."""
        head, image = self.posterior.model.occlusion, self.posterior.image or self.image
        return None if head is None or image is None else head.probabilities(image, self.posterior.mean)

    @cached_property
    def map_landmarks(self) -> F64:
        """(68, 2) float64, the most probable exemplar."""
        return self.located.frame.to_image(self.posterior.map_shape)

    def compute(self) -> Face:
        """Compute the arrays above now, in this thread: milliseconds. Returns itself."""
        _ = self.landmarks, self.covariance, self.confidence, self.occluded, self.map_landmarks
        return self

    @property
    def presence(self) -> float:
        """Calibrated probability that there is a face at all."""
        return self.posterior.presence

    @property
    def map_exemplar(self) -> int:
        """Class id of the most probable exemplar."""
        return self.posterior.map_index

    @property
    def entropy(self) -> float:
        """Entropy over the exemplars, nats."""
        return self.posterior.entropy

    @property
    def effective_exemplars(self) -> float:
        """1 ÷ Σ p²."""
        return self.posterior.effective_number

    @property
    def cut_mass(self) -> float:
        """Probability left out of the moments."""
        return self.posterior.cut_mass

    def draw(self, image: ImageInput | None = None, *, mass: float = 0.9, width: int = 480) -> U8:
        """The face by itself, large enough to see.

        Args:
            image: its picture; None: a plain ground.
            mass: probability that each landmark's ellipse holds, in (0, 1).
            width: of the drawing, pixels.

        Returns:
            (width, width, 3) uint8, RGB.

        Raises:
            InvalidInputError: the image is none.
            OSError: the file cannot be read.
        """
        covariances = self.covariance[:, [0, 1, 1, 2]].reshape(-1, 2, 2)
        pixels = None if image is None else read_image(image)
        hidden = None if self.occluded is None else self.occluded >= 0.5
        return draw_face(self.landmarks, covariances, pixels, mass=mass, width=width, hidden=hidden)

    def __repr__(self) -> str:
        box = ", ".join(f"{v:.1f}" for v in self.located.box)
        return f"<Face box=({box}) presence={self.presence:.3f} entropy={self.entropy:.2f}>"

    def group(self, landmarks: Sequence[int]) -> GroupUncertainty:
        """Uncertainty of several landmarks as a whole, in pixels and px²."""
        g, frame = self.posterior.group(landmarks), self.located.frame
        return GroupUncertainty(frame.to_image(g.centroid), g.covariance * frame.side**2, g.rms_spread * frame.side)


class FaceRefinement:
    """The loop from a face's first box to its posterior about the last one (paper §3.4). It waits for nothing.

    Whoever drives it crops the picture at `place`, scores the crop and calls `update`, until there is a face. Detected
    boxes are refined, a caller's own box only where it is far off (`MIN_MOVE_GIVEN`), boxes of other sources never.

    Args:
        model: makes the posterior.
        refiner: moves the box; None leaves it.
        place: the first box.

    Attributes:
        place: what is to be scored next.
    """

    def __init__(self, model: PosteriorModel, refiner: Refiner | None, place: LocatedFace) -> None:
        self._model, self._refiner, self.place = model, refiner, place
        self._round = 0

    def update(self, outputs: FaceOutputs) -> Face | None:
        """Take the network's outputs for the crop at `place`. Slow: milliseconds.

        Returns:
            The face where its box stays. None where the box has moved: `place` has to be scored again.
        """
        posterior = self._model.posterior(outputs.scores, outputs.image, outputs.sums)
        moved = self._moved(posterior, outputs)
        if moved is None:
            return Face(self.place, posterior)
        self.place, self._round = moved, self._round + 1
        return None

    def _moved(self, posterior: Posterior, outputs: FaceOutputs) -> LocatedFace | None:
        refiner, place = self._refiner, self.place
        if refiner is None or self._round == len(refiner.rounds) or place.source not in (*refiner.sources, FACE_BOX):
            return None
        look = BoxObservation(place.source, place.frame, outputs, seen_shape(posterior))
        least = MIN_MOVE_POINTS if place.by_points else MIN_MOVE_DETECTED
        (frame,) = next_frames(refiner, [look], self._round, least, MIN_MOVE_GIVEN)
        return None if frame is None else replace(place, box=frame.box)


class Aligner:
    """One model ready to answer. Every method may be called from several threads at once.

    Args:
        bundle: the model.
        runtime: executes its network.
        detectors: by name; those that can run here.

    Raises:
        BundleError: the network's outputs do not fit the bundle's other files.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime, detectors: Mapping[str, Detector]) -> None:
        self.bundle, self.runtime, self.detectors = bundle, runtime, dict(detectors)
        self.model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual, bundle.occlusion)
        check_network(bundle, runtime)
        self._cropper = Cropper(bundle.manifest.margin, bundle.manifest.input_size)

    def __repr__(self) -> str:
        bundle, runtime = self.bundle, self.runtime
        return (
            f"<Aligner bundle={bundle.id[:12]} K={bundle.exemplars.count} runtime={runtime.name} {runtime.precision} "
            f"detectors={','.join(sorted(self.detectors)) or 'none'}>"
        )

    @classmethod
    def default(cls, bundle: Path | str | None = None, runtime: str = "auto", threads: int = 1) -> Self:
        """An aligner on the default bundle, with the default detector; of another bundle, one that it knows.

        Args:
            bundle: another bundle's directory.
            runtime: see `exalign_engine.runtime.runtime_names`.
            threads: threads of the network.

        Raises:
            BundleError: the bundle is missing or damaged.
            RuntimeUnavailableError: the runtime is not on this machine.
        """
        made = Bundle.load(bundle or default_bundle_path())
        detectors = create_default_detector(made.detectors)
        opened = create_runtime(runtime, made.network, threads=threads, tables=made.exemplars.tables)
        return cls(made, opened, detectors)

    @property
    def default_detector(self) -> str:
        """Name of the detector that is used where none is named: the first one here that the bundle knows."""
        return default_among(self.detectors, self.bundle.detectors)

    def align(
        self,
        image: ImageInput,
        boxes: Sequence[Sequence[float]] | None = None,
        *,
        detector: str | None = None,
        max_faces: int | None = None,
    ) -> list[Face]:
        """Find the landmarks of every face.

        Args:
            image: (H, W, 3) uint8 RGB, an encoded image, or the path of one.
            boxes: face boxes x0, y0, x1, y1 in the image frame; None or empty runs the detector.
            detector: its name; None: `default_detector`.
            max_faces: at most so many detected faces, best first.

        Returns:
            Faces in the order of the boxes, or by falling detector score.

        Raises:
            InvalidInputError: an argument is wrong; it is named.
            OSError: the file cannot be read.
        """
        given, most = read_boxes(boxes), read_count(max_faces, "max_faces")
        if len(given) == 0:
            pixels = open_image(image, lambda shape: self.wanted_to_detect(shape, detector))
            located = self.locate(pixels, detector, max_faces=most)
        else:
            pixels = open_image(image, lambda shape: self.wanted_to_crop(self._placed(given, shape)))
            located = self._placed(given, pixels.shape)
        return self.answer(pixels, located)

    def _placed(self, boxes: Sequence[Sequence[float]], shape: tuple[int, ...]) -> list[LocatedFace]:
        return [self.place(box) for box in check_boxes(boxes, shape, field="boxes")]

    def wanted_to_detect(self, shape: tuple[int, ...], detector: str | None = None) -> LevelsWanted:
        """How to open a picture (H, W, ...) whose faces are to be detected; the detector's name may be unknown."""
        name = self.default_detector if detector is None else detector
        return wanted_to_detect(self.detectors.get(name) if isinstance(name, str) else None, shape)

    def wanted_to_crop(self, places: Sequence[LocatedFace]) -> LevelsWanted:
        """How to open a picture whose faces are known."""
        return self._cropper.wanted(place.frame for place in places)

    def warm_up(self) -> None:
        """Find landmarks and faces once on a grey crop, so that no caller waits."""
        size = self.bundle.manifest.input_size
        place = self.place(np.array([0.0, 0.0, size - 1.0, size - 1.0]))
        row = self.runtime.infer(np.full((1, size, size, 3), 128, np.uint8)).row(0)
        # Few exemplars, as of a face in view: where all count, others stand for them, and that is slow to prepare.
        scores = np.where(np.arange(len(row.scores)) < 2, np.float32(0), np.float32(-1e4))
        Face(place, self.posterior(replace(row, scores=scores))).compute().group((0, 1))
        if self.default_detector in self.detectors:
            self.detectors[self.default_detector].detect(np.full((64, 64, 3), 128, np.uint8))

    def answer(self, image: Pixels, located: Sequence[LocatedFace]) -> list[Face]:
        """Crop, score and refine faces of a picture whose places are known."""
        faces: dict[int, Face] = {}
        waiting = {i: self.refinement(place) for i, place in enumerate(located)}
        while waiting:
            crops = np.stack([self.crop(image, refinement.place) for refinement in waiting.values()])
            for (i, refinement), row in zip(list(waiting.items()), self.runtime.infer(crops).rows(), strict=True):
                face = refinement.update(row)
                if face is not None:
                    faces[i] = face
                    del waiting[i]
        return [faces[i] for i in range(len(located))]

    def refinement(self, place: LocatedFace) -> FaceRefinement:
        """The way of a face from ``place`` to its posterior."""
        return FaceRefinement(self.model, self.bundle.refiner, place)

    def locate(
        self,
        image: Pixels,
        detector: str | None = None,
        *,
        max_faces: int | None = None,
        min_score: float | None = None,
    ) -> list[LocatedFace]:
        """Detect faces.

        Args:
            image: (H, W, 3) uint8 RGB, or levels of a picture.
            detector: its name; None: `default_detector`.
            max_faces: at most so many, best first.
            min_score: drop detections below; None keeps what the detector itself lets through.

        Raises:
            InvalidInputError: the detector is not known here.
        """
        name = self.default_detector if detector is None else detector
        if not isinstance(name, str) or name not in self.detectors:
            known = ", ".join(sorted(self.detectors)) or "none"
            raise InvalidInputError.of("detector", f"{name!r} is not available here; available: {known}")
        chosen = self.detectors[name]
        seen: Any = image if first_side(chosen) is not None else whole(image)
        found = [f for f in chosen.detect(seen) if min_score is None or f.score >= min_score]
        return [self.place(f.box, convention(name), f.score, f.points) for f in found[:max_faces]]

    def place(
        self, box: NDArray[Any], source: str = FACE_BOX, score: float | None = None, points: F64 | None = None
    ) -> LocatedFace:
        """Map a box to the face box.

        Args:
            box: (4,) image frame, pixels.
            source: `FACE_BOX`, or the detector whose convention the box follows.
            score: the detector's; None for a caller's box.
            points: (n, 2) that the detector saw beside its box.

        Raises:
            InvalidInputError: the bundle does not know the detector.
        """
        given = np.asarray(box, dtype=np.float64)
        if source == FACE_BOX:
            return LocatedFace(given, given, source, False, score)
        if source not in self.bundle.detectors:
            names = ", ".join(sorted(self.bundle.detectors))
            raise InvalidInputError.of("detector", f"{source!r} is unknown to this bundle; known: {names}")
        known = self.bundle.detectors[source]
        face_box = known.face_box(RawDetection(given, score or 0.0, points))
        return LocatedFace(face_box, given, source, score is not None, score, points is not None and known.reads_points)

    def crop(self, image: Pixels, located: LocatedFace) -> U8:
        """(S, S, 3) uint8: the network's input for one face."""
        return self._cropper.crop(image, located.frame)

    def posterior(self, row: FaceOutputs) -> Posterior:
        """The posterior of the network's outputs for one crop."""
        return self.model.posterior(row.scores, row.image, row.sums)
