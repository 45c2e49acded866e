"""A tracking session over a toy model, with a network that says what a test wants it to say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from exalign_engine.evidence.evidence import Evidence, SoftClick
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.poses import Poses
from exalign_engine.face.aligner import FACE_BOX, Aligner, LocatedFace
from exalign_engine.hmm.chain import Chain, ChainSettings
from exalign_engine.network.outputs import FaceOutputs
from exalign_engine.posterior.calibration import Calibration, score_mass
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.posterior.residual import Displacer, ImageFeatures
from exalign_engine.tracking import Frame, FrameAnswer, SessionOptions, TrackAnswer, TrackingSession

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

#: (height, width) of the toy's pictures.
SIZE = (400, 600)
TAU = 0.075
LEFT, MIDDLE, RIGHT = (50.0, 100.0, 150.0, 200.0), (250.0, 100.0, 350.0, 200.0), (450.0, 100.0, 550.0, 200.0)


#: The box of track 1.
HERE = [(1, MIDDLE)]


class ToyAligner:
    """What a session reads of an aligner; nothing of it runs a network."""

    def __init__(self, shapes: F64, name: str = "toy", displacer: Displacer | None = None) -> None:
        k, rng = len(shapes), np.random.default_rng(5)
        variance = rng.uniform(1e-4, 3e-4, k).astype(np.float32)
        exemplars = Exemplars(
            shapes.astype(np.float32), variance, np.arange(k, dtype=np.int32), np.full(k, -1, np.int32), ()
        )
        calibration = Calibration()
        pose = rng.normal(0, 20, (k, 3)).astype(np.float32)
        self.bundle = SimpleNamespace(
            id=name,
            exemplars=exemplars,
            calibration=calibration,
            poses=Poses(rng.normal(0, 0.3, (68, 3)), pose, np.ones_like(pose)),
            manifest=SimpleNamespace(tau=TAU),
        )
        self.model = PosteriorModel(exemplars, calibration, displacer)

    def posterior(self, row: FaceOutputs) -> Posterior:
        return self.model.posterior(row.scores, row.image)


class ToyDisplacer:
    """Goes where a picture's embedding says, and a tenth of the way back to the middle of the box."""

    def displacement(self, image: ImageFeatures, start: F64) -> F64:
        return np.asarray(image.embedding[:2] + 0.1 * (0.5 - start), dtype=np.float64)


def row(scores: F32, picture: float = 0) -> FaceOutputs:
    """What a network says that scores a crop so; its embedding says where the scores are greatest.

    Args:
        scores: (K,) of the crop.
        picture: another one is another crop, whatever its scores.
    """
    k = int(scores.argmax())
    nothing = np.zeros((1, 1, 1), np.float32)
    embedding = np.array([0.03 * math.sin(k), 0.03 * math.cos(k)], np.float32)
    return FaceOutputs(scores, nothing + np.float32(picture), embedding, ImageFeatures(embedding, nothing))


class Toy:
    """A model, its chain, and sessions on it."""

    def __init__(self, shapes: F64, settings: ChainSettings | None = None, displacer: Displacer | None = None) -> None:
        self.aligner = cast(Aligner, ToyAligner(shapes, displacer=displacer))
        self.chain = Chain(shapes.astype(np.float32), TAU, settings or ChainSettings())

    def session(self, **options: Any) -> TrackingSession:
        return TrackingSession(self.aligner, self.chain, SessionOptions(**{"detect_every": 0, **options}))

    def again(self, session: TrackingSession) -> TrackingSession:
        return TrackingSession.decode(session.encode(), self.aligner, self.chain, session.options)

    def scores(self, k: int = 0, presence: float = 0.99, spread: float = 0.03) -> F32:
        """Scores of a crop that looks like exemplar k, the more surely the smaller the spread."""
        shapes = self.aligner.bundle.exemplars.shapes.astype(np.float64)
        squared = np.square(shapes - shapes[k]).sum(axis=2).mean(axis=1)
        raw = (-squared / (2 * spread**2)).astype(np.float32)
        return raw + np.float32(math.log(presence / (1 - presence)) - score_mass(raw))

    def play(
        self,
        session: TrackingSession,
        index: int,
        rows: Mapping[int, F32] | F32 | None = None,
        *,
        boxes: Sequence[tuple[int, Sequence[float]]] = (),
        evidence: Sequence[tuple[int, Evidence]] = (),
        detections: Sequence[LocatedFace] = (),
        occluded: bool = False,
        size: tuple[int, int] | None = SIZE,
        thumbnail: bytes = b"",
        picture: int | None = None,
    ) -> FrameAnswer:
        """One frame through a session.

        Args:
            session: it moves on.
            index: of the frame.
            rows: scores of every crop, or by its place in the list.
            boxes: see `Frame`.
            evidence: see `Frame`.
            detections: what the detector would find.
            occluded: see `Frame`.
            size: see `Frame`.
            thumbnail: see `Frame`.
            picture: which one it shows; None: another one in every frame.
        """
        given = tuple((k, at(box)) for k, box in boxes)
        pending = session.begin(Frame(index, size, given, tuple(evidence), occluded, thumbnail))
        places = session.places(pending, detections)
        seen = rows if isinstance(rows, Mapping) else dict.fromkeys(range(len(places)), rows)
        plain = self.scores()
        replies = [seen.get(i) for i in range(len(places))]
        shown = index if picture is None else picture
        return session.finish(pending, [row(plain if scores is None else scores, shown) for scores in replies])


def at(box: Sequence[float]) -> LocatedFace:
    """A caller's box."""
    corners = np.array(box, dtype=np.float64)
    return LocatedFace(corners, corners, FACE_BOX, False, None)


def detection(box: Sequence[float], score: float = 0.9) -> LocatedFace:
    """A detector's box."""
    corners = np.array(box, dtype=np.float64)
    return LocatedFace(corners, corners, "mtcnn", True, score)


def weights(answer: TrackAnswer) -> F32:
    """(K,) the probabilities behind an answer."""
    return answer.given.face.posterior.probabilities


def track_ids(session: TrackingSession) -> list[int]:
    """The session's tracks, ascending."""
    return [t.track_id for t in session.state.tracks]


def click(landmark: int, x: float, y: float, sigma: float = 2.0) -> Evidence:
    return Evidence((SoftClick(landmark, x, y, sigma),))


def fingerprint(answers: Sequence[TrackAnswer]) -> list[tuple[object, ...]]:
    """Every number and name of some answers, exactly."""
    return [
        (
            a.track_id,
            a.state,
            a.visible_probability,
            a.lost_probability,
            a.has_evidence,
            a.cut_mass,
            a.given.outcome,
            a.given.surprise,
            a.given.box.tobytes(),
            a.given.face.landmarks.tobytes(),
            a.given.face.covariance.tobytes(),
            a.given.face.posterior.displacement.tobytes(),
            a.given.face.posterior.probabilities.tobytes(),
            a.given.face.presence,
            a.given.face.located.box.tobytes(),
            a.given.face.located.source,
        )
        for a in answers
    ]
