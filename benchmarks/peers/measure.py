"""The comparison itself: pictures, answers and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.peers.contestants import Contestant, Reply
from numpy.typing import NDArray

from exalign_engine.data.face_source import FaceSource
from exalign_engine.data.prepared import AnnotatedPhoto
from exalign_engine.evaluation.stress.suite import CONDITIONS
from exalign_engine.geometry.frames import diagonal, tight_box
from exalign_engine.geometry.image import decode
from exalign_engine.geometry.image_limits import ImageLimits
from exalign_engine.metrics.accuracy import summarise
from exalign_engine.sampling.corruptions import stress

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

#: Which landmarks an error is of: MediaPipe has no jaw in this sense, so the inner 51 stand beside all.
POINTS = {"all68": slice(0, 68), "inner51": slice(17, 68)}

#: Whose boxes: those of the suite (the truth, unless the condition moves it), or each contestant's own detector's.
BOXES = ("given", "detector")

#: Resamples of the bootstrap over faces.
RESAMPLES = 1000


@dataclass(frozen=True)
class Case:
    """One picture of one face.

    Attributes:
        pictures: "crops" or "photos".
        origin: the face's collection.
        corruption: of `exalign_engine.evaluation.stress`, or "clean".
        severity: 0 to 3.
        image: (H, W, 3) uint8 RGB.
        truth: (68, 2) image frame.
        box: (4,) the face box that is given.
    """

    pictures: str
    origin: str
    corruption: str
    severity: int
    image: U8
    truth: F64
    box: F64


@dataclass(frozen=True)
class Outcome:
    """One contestant's answer to one case.

    Attributes:
        case: (pictures, origin, corruption, severity).
        contestant: its name.
        boxes: of `BOXES`.
        errors: NRMSE by set of `POINTS`; infinite where the face was missed.
        cpu_ms: CPU-milliseconds.
    """

    case: tuple[str, str, str, int]
    contestant: str
    boxes: str
    errors: dict[str, float]
    cpu_ms: float


def crops(faces: FaceSource, limit: int) -> Iterator[Case]:
    """The stress suite's pictures, every condition of every face."""
    for i in chosen(faces, limit):
        image, points = faces.image(i), faces.landmarks[i]
        for corruption, severity in CONDITIONS:
            s = stress(image, points, faces.ids[i], corruption, severity)
            yield Case("crops", faces.origins[i], corruption, severity, s.picture, s.truth, s.given.box)


def chosen(faces: FaceSource, limit: int) -> list[int]:
    """Rows of at most ``limit`` faces, evenly spaced; 0 takes all."""
    n = len(faces)
    return list(range(n)) if not 0 < limit < n else [int(i) for i in np.linspace(0, n - 1, limit)]


def photos(listed: Sequence[AnnotatedPhoto]) -> Iterator[Case]:
    """Whole photographs, every annotated face of each."""
    for photo in listed:
        image = decode(photo.encoded(), ImageLimits(), field=str(photo.path))
        for truth in photo.landmarks:
            yield Case("photos", photo.origin, "clean", 0, image, truth, tight_box(truth))


def compare(
    contestants: Sequence[Contestant], cases: Iterator[Case], progress: Callable[[int], None] | None = None
) -> list[Outcome]:
    """Every contestant's answers to every case, in both kinds of boxes."""
    found = []
    for done, case in enumerate(cases, 1):
        for contestant in contestants:
            for boxes, ask in zip(BOXES, (contestant.given, contestant.detected), strict=True):
                reply = ask(case.image, case.box)
                at = (case.pictures, case.origin, case.corruption, case.severity)
                found.append(Outcome(at, contestant.name, boxes, _errors(reply, case.truth), reply.cpu_ms))
        if progress:
            progress(done)
    return found


def _errors(reply: Reply, truth: F64) -> dict[str, float]:
    if reply.points is None:
        return dict.fromkeys(POINTS, float("inf"))
    distance = np.linalg.norm(reply.points - truth, axis=1) / diagonal(tight_box(truth))
    return {name: float(distance[part].mean()) for name, part in POINTS.items()}


def rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Figures by pictures, condition, boxes, contestant, points and collection ("all" and, where clean, each)."""
    groups: dict[tuple[Any, ...], list[Outcome]] = {}
    for o in outcomes:
        pictures, origin, corruption, severity = o.case
        for name in ("all", origin) if corruption == "clean" else ("all",):
            groups.setdefault((pictures, name, corruption, severity, o.boxes, o.contestant), []).append(o)
    names = ("pictures", "source", "corruption", "severity", "boxes", "contestant")
    return [
        dict(zip(names, key, strict=True)) | {"points": points} | _figures(part, points)
        for key, part in groups.items()
        for points in POINTS
    ]


def _figures(part: Sequence[Outcome], points: str) -> dict[str, Any]:
    errors = [o.errors[points] for o in part]
    shares = np.maximum(0.0, 1.0 - np.array(errors) / 0.08)
    rng = np.random.default_rng(0)
    means = [shares[rng.integers(0, len(shares), len(shares))].mean() for _ in range(RESAMPLES)]
    lower, upper = np.quantile(means, [0.025, 0.975])
    ends = {"auc_lower": round(float(lower), 6), "auc_upper": round(float(upper), 6)}
    return summarise(errors) | ends | {"cpu_ms_median": round(float(np.median([o.cpu_ms for o in part])), 3)}
