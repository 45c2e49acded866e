"""The aligner for callers in this process: every view, video, and one clear error for every wrong argument."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine import Aligner, Bundle, Evidence, Face, HardClick, InvalidInputError, PoseRange, SoftClick
from exalign_engine.detect import BoxAffine, RawDetection
from exalign_engine.face import views
from exalign_engine.posterior.pose import PoseGrid
from exalign_engine.runtime import create_runtime
from exalign_engine.tracking import TrackState

U8 = NDArray[np.uint8]
BOX = (10.0, 12.0, 50.0, 54.0)


class FixedDetector:
    """Finds one face in every picture that is not black."""

    name = "mtcnn"

    def detect(self, image: U8) -> list[RawDetection]:
        return [RawDetection(np.array(BOX), 0.9)] if image.any() else []


@pytest.fixture(scope="module")
def aligner(toy_bundle: Path) -> Aligner:
    bundle = Bundle.load(toy_bundle)
    bundle.detectors["mtcnn"] = BoxAffine(0.0, 0.0, 1.0)
    return Aligner(bundle, create_runtime("onnxruntime", bundle.network), {"mtcnn": FixedDetector()})


@pytest.fixture(scope="module")
def picture() -> U8:
    return np.random.default_rng(3).integers(1, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def face(aligner: Aligner, picture: U8) -> Face:
    return aligner.align(picture, [BOX])[0]


def test_views_are_those_of_the_face_however_it_is_named(aligner: Aligner, picture: U8, face: Face) -> None:
    square = views.crop_square(face.located, aligner.bundle.manifest.margin)
    expected = views.heatmaps(face, [30, *range(48, 68)], square, 20, 10).cells
    for given in (face, [face], (face,)):
        (found,) = aligner.heatmaps(given, ["nose_tip", "mouth"], width=20, height=10)
        assert (found.cells == expected).all()
    encoded = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    for given_picture in (picture, encoded):
        (found,) = aligner.heatmaps(given_picture, [30, "mouth"], boxes=[BOX], width=20, height=10)
        assert (found.cells == expected).all()
    (cut,) = aligner.heatmaps(face, [0], rectangle=(0, 0, 10, 10))
    assert cut.rectangle.tolist() == [0, 0, 10, 10]


def test_pose_evidence_and_suggestions_are_those_of_the_views(aligner: Aligner, face: Face) -> None:
    bundle = aligner.bundle
    expected = views.pose(face, bundle.poses, bundle.calibration, (0.8,), PoseGrid(6, 6))
    (found,) = aligner.pose(face, masses=[0.8], grid=PoseGrid(6, 6))
    assert (found.mean == expected.mean).all()
    assert found.masses == (0.8,)
    x, y = face.landmarks[30]
    click = SoftClick(30, float(x) + 2, float(y), 1.0)
    given = aligner.condition(face, click)
    assert given.surprise == views.conditioned(face, Evidence((click,)), bundle.poses).surprise
    assert aligner.condition(face, [click, PoseRange(yaw=(-90, 90))]).surprise is not None
    ranked = aligner.suggest(given.face, landmarks=["eyes"], criterion="entropy").ranked
    assert {s.landmark for s in ranked} == set(range(36, 48))


def test_a_picture_without_a_face_has_no_views_and_nothing_to_click(aligner: Aligner) -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    assert aligner.heatmaps(black) == aligner.pose(black) == []
    with pytest.raises(InvalidInputError, match="about: shows no face"):
        aligner.suggest(black)


def test_a_video_is_answered_frame_by_frame_and_closed(aligner: Aligner, picture: U8) -> None:
    video = aligner.track(np.stack([picture] * 4), smoothing_lag=2, path_frames=3)
    answers = list(video)
    assert [a.frame_index for a in answers] == [0, 1, 2, 3]
    assert [r.frame_index for a in answers for r in a.revisions] == [0, 1]
    assert answers[0].tracks[0].state in TrackState
    assert video.closing is not None
    assert [r.frame_index for r in video.closing.revisions] == [2]
    assert video.closing.paths[0].frame_indices == (1, 2, 3)
    assert next(video, None) is None


def test_answers_are_told_in_a_line(aligner: Aligner, picture: U8, face: Face) -> None:
    shown = [repr(aligner), repr(face), repr(aligner.heatmaps(face)[0]), repr(aligner.pose(face)[0])]
    shown += [repr(aligner.condition(face, HardClick(30, 30, 30, 40))), repr(next(aligner.track([picture])))]
    assert all("\n" not in line and len(line) < 700 for line in shown)
    assert shown[0].startswith(f"<Aligner bundle={aligner.bundle.id[:12]} K=60 runtime=onnxruntime")
    assert shown[1].startswith("<Face box=(")
    assert "cells=float32[68, 64, 64]" in shown[2]


def test_a_face_draws_itself(face: Face, picture: U8) -> None:
    assert face.draw().shape == (480, 480, 3)
    assert face.draw(picture, width=100).shape == (100, 100, 3)
    assert (face.draw(picture) != face.draw()).any()


WRONG: dict[str, tuple[str, Callable[[Aligner, U8, Face], object]]] = {
    "no picture": ("image: is a int", lambda a, p, f: a.align(3)),  # type: ignore[arg-type]
    "grey": ("image: is uint8 of shape", lambda a, p, f: a.align(p[..., 0])),
    "damaged": ("image: ", lambda a, p, f: a.align(b"no picture")),
    "boxes": ("boxes: is 3", lambda a, p, f: a.align(p, 3)),  # type: ignore[arg-type]
    "a box": (r"boxes\[0\].box: ", lambda a, p, f: a.align(p, [(1, 2, 3)])),
    "max_faces": ("max_faces: is 0", lambda a, p, f: a.align(p, max_faces=0)),
    "max_faces, text": ("max_faces: is 'x'", lambda a, p, f: a.align(p, max_faces="x")),  # type: ignore[arg-type]
    "detector": ("detector: .*'x' is not available", lambda a, p, f: a.align(p, detector="x")),
    "detector, list": ("detector: ", lambda a, p, f: a.align(p, detector=[])),  # type: ignore[arg-type]
    "about": ("image: is a int", lambda a, p, f: a.heatmaps(3)),  # type: ignore[arg-type]
    "about, list": (r"about\[1\]: is a int", lambda a, p, f: a.pose([f, 3])),  # type: ignore[list-item]
    "boxes of a face": ("boxes: go with a picture", lambda a, p, f: a.pose(f, boxes=[BOX])),
    "landmarks": ("landmarks: is 'nose'", lambda a, p, f: a.heatmaps(f, "nose")),
    "landmark": (r"landmarks\[0\]: is 'nos'.*landmarks\[1\]: is 99", lambda a, p, f: a.heatmaps(f, ["nos", 99])),
    "rectangle": ("rectangle: is 3", lambda a, p, f: a.heatmaps(f, rectangle=3)),  # type: ignore[arg-type]
    "rectangle, turned": ("rectangle: is", lambda a, p, f: a.heatmaps(f, rectangle=(9, 0, 1, 4))),
    "width": ("width: is 'x'", lambda a, p, f: a.heatmaps(f, width="x")),  # type: ignore[arg-type]
    "masses": ("masses: is 3", lambda a, p, f: a.pose(f, masses=3)),  # type: ignore[arg-type]
    "grid": ("grid: is 3", lambda a, p, f: a.pose(f, grid=3)),  # type: ignore[arg-type]
    "evidence": ("evidence: is 3", lambda a, p, f: a.condition(f, 3)),  # type: ignore[arg-type]
    "evidence, part": (r"evidence\[0\]: is 3", lambda a, p, f: a.condition(f, [3])),  # type: ignore[list-item]
    "evidence, value": (r"evidence.clicks\[0\].sigma", lambda a, p, f: a.condition(f, SoftClick(3, 1, 1, -1))),
    "box of a face": ("box: goes with a picture", lambda a, p, f: a.suggest(f, box=BOX)),
    "criterion": ("criterion: is 'luck'", lambda a, p, f: a.suggest(f, criterion="luck")),
    "sigma": ("sigma: is 'x'", lambda a, p, f: a.suggest(f, sigma="x")),  # type: ignore[arg-type]
    "frames": ("frames: is 3", lambda a, p, f: a.track(3)),  # type: ignore[arg-type]
    "frames, path": ("frames: is 'clip.mp4'", lambda a, p, f: a.track("clip.mp4")),
    "frame": (r"frames\[1\]: is a int", lambda a, p, f: list(a.track([p, 3]))),  # type: ignore[list-item]
    "lag": ("smoothing_lag: is 'x'", lambda a, p, f: a.track([p], smoothing_lag="x")),  # type: ignore[arg-type]
    "lag, range": ("smoothing_lag: is 99", lambda a, p, f: a.track([p], smoothing_lag=99)),
    "model": ("temporal_model: is 'x'", lambda a, p, f: a.track([p], temporal_model="x")),
    "drawn on": ("image: is a int", lambda a, p, f: f.draw(3)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_named(case: str, aligner: Aligner, picture: U8, face: Face) -> None:
    expected, call = WRONG[case]
    with pytest.raises(InvalidInputError, match=expected):
        call(aligner, picture, face)


def test_a_face_that_holds_clicks_is_not_conditioned_again(aligner: Aligner, face: Face) -> None:
    x, y = (float(v) for v in face.landmarks[30])
    given = aligner.condition(face, SoftClick(30, x, y, 1.0)).face
    with pytest.raises(InvalidInputError, match="about: holds clicks already"):
        aligner.condition(given, SoftClick(8, 1.0, 1.0, 1.0))
