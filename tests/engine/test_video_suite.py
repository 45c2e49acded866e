"""The video suite: pixels and truth move together, clips depend on ids alone, and every row is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.cli import main
from exalign_engine.data import open_faces
from exalign_engine.data.face_source import FaceSource, box_frame_shapes
from exalign_engine.detect import RawDetection
from exalign_engine.errors import DataError, InvalidInputError
from exalign_engine.evaluation.video.clips import (
    BOX_JITTER,
    CUT_LENGTH,
    FRAMES,
    PHASES,
    ROLL_TURN,
    YAW_TURN,
    Clip,
    ClipMaker,
)
from exalign_engine.evaluation.video.methods import METHODS, MethodAnswer, WatchedClip, answers, outcomes, watch
from exalign_engine.evaluation.video.real_clips import flicker, read_video, videos
from exalign_engine.evaluation.video.sessions import SESSION_METHODS, SessionAnswer, track_video
from exalign_engine.evaluation.video.suite import rows
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.frames import BoxFrame, diagonal, tight_box
from exalign_engine.geometry.head_pose import PITCH, ROLL, YAW, project, solve_pose
from exalign_engine.hmm.chain import Chain
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.turning import TurnableFace
from exalign_engine.tracking import TrackState
from made_clips import break_packet, packets_of, write_clip

if TYPE_CHECKING:
    from toy_faces import MakePrepared

F64 = NDArray[np.float64]


class Reversed:
    """Faces in the opposite order."""

    def __init__(self, faces: FaceSource) -> None:
        self.ids, self.origins = faces.ids[::-1], faces.origins[::-1]
        self.landmarks = faces.landmarks[::-1]
        self._faces = faces

    def __len__(self) -> int:
        return len(self._faces)

    def image(self, index: int) -> NDArray[np.uint8]:
        return self._faces.image(len(self) - 1 - index)


@pytest.fixture(scope="module")
def bundle(toy_bundle: Path) -> Bundle:
    return Bundle.load(toy_bundle)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, make_prepared: MakePrepared) -> Path:
    folder = tmp_path_factory.mktemp("video") / "data"
    make_prepared(folder, ["test"] * 8)
    return folder


@pytest.fixture(scope="module")
def maker(bundle: Bundle, data: Path) -> ClipMaker:
    return ClipMaker(open_faces(data, "test"), bundle.poses.mean_face)


@pytest.fixture(scope="module")
def clips(maker: ClipMaker) -> list[Clip]:
    return [maker.clip(i) for i in range(len(maker))]


@pytest.fixture(scope="module")
def chain(bundle: Bundle) -> Chain:
    return Chain(bundle.exemplars.shapes, bundle.manifest.tau)


@pytest.fixture(scope="module")
def watched(bundle: Bundle, clips: list[Clip]) -> WatchedClip:
    clip = next(c for c in clips if c.cut is None)
    runtime = create_runtime("onnxruntime", bundle.network)
    return watch(Aligner(bundle, runtime, {}), clip)


def coordinates_face(mean_face: F64) -> TurnableFace:
    """The mean face looking straight ahead; red says where in the still a pixel comes from in x, green in y."""
    points = 100 + 40 * project(mean_face, np.zeros(3))
    y, x = np.mgrid[:200, :200]
    return TurnableFace(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8), points, mean_face)


def test_a_face_that_is_not_turned_is_the_still_itself(bulging_face: F64) -> None:
    face = coordinates_face(bulging_face)
    assert face.turned(np.zeros(3)) == pytest.approx(face.points)
    seen = face.draw(np.zeros(3), np.eye(2, 3), 200)
    assert np.abs(seen.astype(int) - face.image).max() <= 2


@pytest.mark.parametrize(("yaw", "roll"), [(20.0, 0.0), (-20.0, 10.0), (12.0, -10.0)])
def test_landmarks_sit_on_the_pixels_that_were_theirs(bulging_face: F64, yaw: float, roll: float) -> None:
    face = coordinates_face(bulging_face)
    camera = np.array([[1.1, 0.0, 6.0], [0.0, 1.1, -4.0]])
    points = face.turned(np.array([yaw, 0.0, roll])) @ camera[:, :2].T + camera[:, 2]
    seen = face.draw(np.array([yaw, 0.0, roll]), camera, 220).astype(np.float32)
    there = cv2.remap(seen, points.astype(np.float32)[None], None, cv2.INTER_LINEAR)[0, :, :2]
    assert there == pytest.approx(face.points, abs=1.0)


def test_the_pose_solver_sees_the_turn(bulging_face: F64) -> None:
    face = coordinates_face(bulging_face)
    still = solve_pose(face.points[None], bulging_face)[0]
    for yaw, roll in [(20.0, 0.0), (-15.0, 0.0), (0.0, 10.0), (18.0, -9.0)]:
        turn = solve_pose(face.turned(np.array([yaw, 0.0, roll]))[None], bulging_face)[0] - still
        assert turn[[YAW, ROLL]] == pytest.approx((yaw, roll), abs=2.0)
        assert abs(turn[PITCH]) < 3


def test_clips_depend_on_ids_and_not_on_the_order_of_rows(maker: ClipMaker, bundle: Bundle, data: Path) -> None:
    backwards = ClipMaker(Reversed(open_faces(data, "test")), bundle.poses.mean_face)
    assert len(maker) == len(backwards) > 3
    for i in range(3):
        one, other = maker.clip(i), backwards.clip(i)
        assert one.id == other.id
        assert (one.frames == other.frames).all()
        assert (one.truth == other.truth).all()
        assert one.given == other.given


def test_an_occluder_comes_hides_all_and_leaves(clips: list[Clip]) -> None:
    for clip in (c for c in clips if c.cut is None):
        phases = [clip.phase(t) for t in range(FRAMES)]
        assert phases[0] == phases[-1] == "visible"
        hidden = [t for t, phase in enumerate(phases) if phase == "hidden"]
        assert len(hidden) >= 3
        assert hidden == list(range(hidden[0], hidden[-1] + 1))
        assert "partial" in phases[: hidden[0]]
        assert "partial" in phases[hidden[-1] :]


def test_a_cut_shows_another_face_and_counts_three_frames(clips: list[Clip]) -> None:
    cutting = [c for c in clips if c.cut is not None]
    assert cutting
    for clip in cutting:
        assert clip.cut is not None
        phases = [clip.phase(t) for t in range(FRAMES)]
        assert [t for t, phase in enumerate(phases) if phase == "after_cut"] == list(
            range(clip.cut, clip.cut + CUT_LENGTH)
        )
        assert set(phases) == {"visible", "after_cut"}
        step = np.linalg.norm(np.diff(box_frame_shapes(clip.truth), axis=0), axis=2).mean(axis=1)
        assert step.argmax() == clip.cut - 1


def test_heads_turn_within_their_limits_and_given_boxes_are_off_by_as_much(clips: list[Clip], bundle: Bundle) -> None:
    pose = solve_pose(np.concatenate([c.truth for c in clips]), bundle.poses.mean_face)
    for axis, limit in ((YAW, YAW_TURN), (ROLL, ROLL_TURN)):
        assert limit / 2 < np.abs(pose[:, axis]).max() < 1.3 * limit
    for clip in clips:
        for points, given in zip(clip.truth, clip.given, strict=True):
            true = BoxFrame.from_box(tight_box(points))
            off = np.array([given.cx - true.cx, given.cy - true.cy, given.side - true.side]) / true.side
            assert 0 < np.abs(off).max() <= BOX_JITTER + 1e-9


def test_a_split_without_a_straight_face_is_refused(bundle: Bundle, data: Path) -> None:
    faces = open_faces(data, "test")
    faces.landmarks[:] = project(bundle.poses.mean_face, np.array([40.0, 0.0, 0.0]))
    with pytest.raises(InvalidInputError, match="none of the 8 looks within 10° of straight ahead"):
        ClipMaker(faces, bundle.poses.mean_face)


def test_hold_repeats_the_last_visible_answer_and_low_pass_takes_means(watched: WatchedClip, chain: Chain) -> None:
    given = answers(watched, chain, ("per_frame", "hold", "low_pass"))
    clip = watched.clip
    hidden = next(t for t in range(FRAMES) if clip.phase(t) == "hidden")
    last = next(t for t in range(hidden, -1, -1) if clip.phase(t) == "visible")
    shape = clip.given[last].from_image(given["per_frame"][last].points)
    assert clip.given[hidden].from_image(given["hold"][hidden].points) == pytest.approx(shape)
    three = np.mean([a.points for a in given["per_frame"][7:10]], axis=0)
    assert given["low_pass"][9].points == pytest.approx(three)
    assert given["low_pass"][0].points == pytest.approx(given["per_frame"][0].points)


def test_every_method_answers_every_frame_with_a_distribution(watched: WatchedClip, chain: Chain) -> None:
    given = answers(watched, chain)
    assert tuple(given) == METHODS
    for method, frames in given.items():
        assert len(frames) == FRAMES, method
        for answer in frames:
            assert answer.probabilities.sum() == pytest.approx(1.0, abs=1e-4), method
    # The whole clip is known at its last frame: filter and smoother agree there.
    assert given["filter"][-1].points == pytest.approx(given["smoother"][-1].points, abs=0.05)


def test_rows_are_means_over_the_frames_of_a_phase(watched: WatchedClip, chain: Chain, bundle: Bundle) -> None:
    found = outcomes(watched, answers(watched, chain, ("per_frame", "hold")), bundle)
    table = {(r["method"], r["phase"]): r for r in rows(found)}
    visible = [o for o in found if (o.method, o.phase) == ("per_frame", "visible")]
    row = table["per_frame", "visible"]
    assert row["n"] == len(visible)
    assert row["nrmse_mean"] == pytest.approx(np.mean([o.error for o in visible]), abs=1e-6)
    assert row["yaw_coverage"] == pytest.approx(
        100 * np.mean([o.yaw_interval[0] <= 0 <= o.yaw_interval[1] for o in visible if o.yaw_interval]), abs=1e-3
    )
    assert table["hold", "visible"]["nrmse_mean"] == row["nrmse_mean"]


def test_a_frame_without_an_answer_is_a_failure_and_nothing_else(watched: WatchedClip, bundle: Bundle) -> None:
    answer = MethodAnswer(watched.clip.truth[0], np.full(60, 1 / 60, np.float32), np.zeros((68, 2)))
    given: list[MethodAnswer | None] = [None] * FRAMES
    given[0] = answer
    (row,) = (r for r in rows(outcomes(watched, {"filter": given}, bundle)) if r["phase"] == "visible")
    assert row["nrmse_mean"] == 0.0
    assert row["failure_rate"] == pytest.approx(100 * (row["n"] - 1) / row["n"], abs=1e-3)
    (row,) = (r for r in rows(outcomes(watched, {"filter": given}, bundle)) if r["phase"] == "hidden")
    assert (row["nrmse_mean"], row["failure_rate"]) == (None, 100.0)


def test_flicker_is_zero_at_constant_velocity_and_measures_a_jump() -> None:
    shape = np.random.default_rng(0).random((68, 2)) * 100
    p, r = np.ones(1, np.float32), np.zeros((68, 2))
    steady = [SessionAnswer(shape + t, p, r, TrackState.VISIBLE) for t in range(6)]
    assert flicker(steady) == pytest.approx(0.0, abs=1e-12)
    jump = [SessionAnswer(shape + np.array([3.0, 4.0]) * (t == 1), p, r, TrackState.VISIBLE) for t in range(3)]
    assert flicker(jump) == pytest.approx(10 / diagonal(tight_box(jump[1].points)))
    assert flicker([steady[0], None, steady[2]]) is None


class Nobody:
    """A detector that finds no face."""

    name, min_score = "mtcnn", 0.5

    def detect(self, image: NDArray[np.uint8]) -> list[RawDetection]:
        return []


def test_a_sessions_smoother_answers_with_revisions_and_a_path_comes_with_its_gap(
    bundle: Bundle, clips: list[Clip], chain: Chain
) -> None:
    aligner = Aligner(bundle, create_runtime("onnxruntime", bundle.network), {"mtcnn": Nobody()})
    frames, start = clips[0].frames[:9], clips[0].given[0]
    plain, smoother = (track_video(aligner, chain, m, frames, start, path_frames=5) for m in ("filter", "smoother"))
    assert len(plain.answers) == len(smoother.answers) == 9
    now, later = ([a.points for a in video.answers if a is not None] for video in (plain, smoother))
    # Nothing comes after the last frame.
    assert now[-1] == pytest.approx(later[-1], abs=0.05)
    assert not np.allclose(now[4], later[4])
    assert plain.path_gap is not None
    assert plain.path_gap >= 0
    assert track_video(aligner, chain, "filter", frames, start).path_gap is None


def test_a_video_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    assert [p.name for p in videos(tmp_path)] == ["a.mp4"]
    assert videos(tmp_path / "nowhere") == []
    with pytest.raises(DataError, match=r"a\.mp4: cannot be opened as a video"):
        list(read_video(tmp_path / "a.mp4"))


def test_a_damaged_video_is_not_measured_in_part(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", muxer={"movflags": "faststart"})
    assert len(list(read_video(path))) == 20
    at, _, _ = packets_of(path)[12]
    path.write_bytes(path.read_bytes()[:at])
    with pytest.raises(DataError, match=r"a\.mp4: is cut off"):
        list(read_video(path))
    broken = break_packet(write_clip(path), 12)
    with pytest.raises(DataError, match=rf"a\.mp4: frame {broken} cannot be decoded"):
        list(read_video(path))


def test_the_command_prints_one_object_and_draws(
    toy_bundle: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    command = ["evaluate", "--suite", "video", "--bundle", str(toy_bundle), "--data", str(data), "--json"]
    assert main([*command, "--limit", "1", "--picture", str(out), "--runtime", "onnxruntime"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["suite"] == "video"
    assert set(printed["rows"][0]) == {
        "boxes",
        "method",
        "phase",
        "n",
        "nrmse_mean",
        "failure_rate",
        "yaw_interval_deg",
        "yaw_coverage",
    }
    assert "real_clips" not in printed
    assert {r["method"] for r in printed["rows"] if r["boxes"] == "given"} == set(METHODS)
    assert {r["method"] for r in printed["rows"] if r["boxes"] == "own"} == set(SESSION_METHODS)
    assert {r["phase"] for r in printed["rows"]} <= set(PHASES)
    assert out.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--suite", "video", "--limit", "-1", "--frames", "--boxes", "detector"], ["--limit", "--frames", "--boxes"]),
        (["--limit", "3", "--picture", "x.png"], ["--limit", "--picture"]),
    ],
    ids=["video", "accuracy"],
)
def test_options_that_would_not_be_heeded_are_named_together(
    toy_bundle: Path, data: Path, capsys: pytest.CaptureFixture[str], options: list[str], names: list[str]
) -> None:
    assert main(["evaluate", "--bundle", str(toy_bundle), "--data", str(data), *options]) == 1
    err = capsys.readouterr().err
    for name in names:
        assert f"{name}: " in err or f"{name} " in err
    assert len(err.strip().splitlines()) == 1
