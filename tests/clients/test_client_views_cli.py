"""`exalign heatmaps`, `pose`, `condition` and `suggest` against the fake server: text, JSON, pictures, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from exalign_client import Click, Client, HeatmapOptions, InvalidRequestError, PoseOptions
from exalign_client.commands.cli import main
from exalign_client.pictures.canvas import close_up
from exalign_client.pictures.evidence import draw_conditional, draw_suggestions
from exalign_client.pictures.heatmaps import draw_heatmaps
from exalign_client.pictures.overlay import COLOURS
from exalign_client.pictures.pose import draw_pose
from fake_server import IMAGE_SIZE, FakeService

PIXELS = np.full((IMAGE_SIZE[1], IMAGE_SIZE[0], 3), 90, np.uint8)
COMMANDS = {
    "heatmaps": ["--landmarks", "nose_tip,jaw,48"],
    "pose": [],
    "condition": ["--click", "nose_tip=60,40"],
    "suggest": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_object_and_the_picture_is_written(
    service: FakeService, picture: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    out = picture.with_name("drawn.png")
    options = [*COMMANDS[command], "--server", service.address, "--json", "--out", str(out)]
    assert main([command, str(picture), *options]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["image"] == str(picture)
    assert captured.err == f"exalign: {out} written\n"
    drawn = cv2.imread(str(out))
    assert min(drawn.shape[:2]) >= 400
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("heatmaps", ["nose_tip", "0.6", "0.1000"]),
        ("pose", ["yaw", "-12.5", "3.0", "-20.0 to -5.0"]),
        ("condition", ["conditioned, surprise 2.25 nats", "before", "after", "1.50"]),
        ("suggest", ["expected error 4.50 px", "jaw_8", "1.500"]),
    ],
)
def test_the_text_holds_what_matters(
    service: FakeService, picture: Path, capsys: pytest.CaptureFixture[str], command: str, expected: list[str]
) -> None:
    assert main([command, str(picture), *COMMANDS[command], "--server", service.address]) == 0
    printed = capsys.readouterr().out
    assert [text for text in expected if text not in printed] == []


def test_options_become_evidence(service: FakeService, picture: Path) -> None:
    options = ["--click", "30=1,2", "--click", "jaw_8=-3,4.5", "--radius", "2.5", "--yaw=-20,10", "--fixed-box"]
    box = ["--box", "1,2,30,40", "--server", service.address]
    assert main(["condition", str(picture), *options, *box]) == 0
    assert main(["suggest", str(picture), "--sigma", "2", "--click", "30=1,2", "--number", "3", *box]) == 0
    conditioned, suggested = service.requests
    clicks = [(c.landmark, c.position.x, c.position.y, c.radius) for c in conditioned.evidence.clicks]
    assert clicks == [(30, 1, 2, 2.5), (8, -3, 4.5, 2.5)]
    assert (conditioned.evidence.poses[0].yaw.lower, conditioned.box.x1) == (-20, 30)
    assert (suggested.evidence.clicks[0].sigma, suggested.suggestion.max_suggestions) == (2, 3)


def test_the_cells_of_heatmaps_can_be_chosen(service: FakeService, picture: Path) -> None:
    command = ["heatmaps", str(picture), "--landmarks", "nose_tip", "--server", service.address]
    assert main([*command, "--size", "128"]) == 0
    assert main(command) == 0
    sides = [(request.heatmaps.width, request.heatmaps.height) for request in service.requests]
    assert sides == [(128, 128), (64, 64)]


@pytest.mark.parametrize("command", ["heatmaps", "pose"])
def test_no_face_is_no_failure_and_no_picture(
    service: FakeService, picture: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    service.faces = 0
    out = picture.with_name("drawn.png")
    assert main([command, str(picture), "--server", service.address, "--out", str(out)]) == 0
    assert capsys.readouterr().out == "no face found\n"
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["heatmaps", "a.png", "--landmarks", "nostril"], "'nostril' is no landmark"),
        (["pose", "a.png", "--out", "a.gif"], "a.gif must end in one of"),
        (["condition", "a.png"], "nothing is known"),
        (["condition", "a.png", "--click", "nose_tip"], "is not LANDMARK=X,Y"),
        (["condition", "a.png", "--click", "68=1,2"], "'68' is no landmark"),
        (["condition", "a.png", "--click", "3=1,2", "--radius", "0"], "'0' is not a number of pixels"),
        (["condition", "a.png", "--click", "3=1,2", "--radius", "1", "--sigma", "1"], "not allowed with"),
        (["suggest", "a.png", "--by", "luck"], "invalid choice: 'luck'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    error = capsys.readouterr().err
    assert (caught.value.code, error.count("\n")) == (2, 1)
    assert expected in error


def test_a_missing_picture_is_one_line_before_a_server_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pose", "absent.jpg"]) == 1
    assert capsys.readouterr().err == "exalign: absent.jpg: No such file or directory\n"


def test_a_close_up_maps_the_image_frame_to_its_pixels() -> None:
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[40, 60] = 255
    canvas = close_up(pixels, (40, 20, 80, 60), 400)
    assert canvas.pixels.shape == (400, 400, 3)
    row, column = np.unravel_index(canvas.pixels.sum(axis=2).argmax(), (400, 400))
    assert np.abs(canvas.place(np.array([60.0, 40.0])) - (column, row)).max() <= 1.0


def test_a_heatmap_is_brightest_in_its_colour_where_the_mass_is(service: FakeService) -> None:
    with Client(service.address) as client:
        faces = client.heatmaps(b"x", options=HeatmapOptions([30], width=20, height=20))
    drawn = draw_heatmaps(PIXELS, faces)
    row, column = divmod(int(faces[0].heatmaps.masses[0].argmax()), 20)  # type: ignore[union-attr]
    at = drawn[round((row + 0.5) * 754 / 20), round((column + 0.5) * 880 / 20)].astype(int)
    far = drawn[10, 10].astype(int)
    colour = np.array(COLOURS["nose"])
    assert np.abs(at - colour).sum() < 0.5 * np.abs(far - colour).sum()


def test_the_pose_map_marks_where_its_masses_are(service: FakeService) -> None:
    with Client(service.address) as client:
        faces = client.pose(b"x", options=PoseOptions(yaw_bins=6, roll_bins=6))
    drawn = draw_pose(PIXELS, faces)
    joint = drawn[166 : 166 + 520, -702 + 64 : -702 + 64 + 520].astype(int).sum(axis=2)
    assert joint[20, 20] > joint[-20, -20] > joint[20, -20] + 100


def test_pictures_need_the_views_that_they_draw(service: FakeService) -> None:
    with Client(service.address) as client:
        plain = client.predict(b"x")
        alone = client.condition(b"x", Click(30, 60, 40))
    for draw, answer in ((draw_heatmaps, plain), (draw_pose, plain)):
        with pytest.raises(InvalidRequestError, match="face 1 has no"):
            draw(PIXELS, answer)
    with pytest.raises(InvalidRequestError, match="has no prior"):
        draw_conditional(PIXELS, alone, {})


def test_before_and_after_stand_side_by_side(service: FakeService) -> None:
    with Client(service.address) as client:
        answer = client.condition(b"x", Click(30, 60, 40, radius=3), include_prior=True)
        shapes = {exemplar.class_id: exemplar for exemplar in client.exemplars([7])}
    without, drawn = (draw_conditional(PIXELS, answer, known) for known in ({}, shapes))
    assert drawn.shape[1] == 2 * 640 + 12
    foot: Any = (drawn != without)[-160:]
    assert foot[:, :128].any()
    assert foot[:, 652 : 652 + 128].any()
    assert not (drawn != without)[:-160].any()


def test_suggestions_stand_beside_the_face_and_not_on_it(service: FakeService) -> None:
    with Client(service.address) as client:
        answer = client.suggest(b"x", candidates=["nose_tip", "jaw_5", "jaw_12"])
    drawn = draw_suggestions(PIXELS, answer)[:, :720].astype(int)
    landmarks = answer.face.landmarks
    scale = 720 / ((landmarks.max(axis=0) - landmarks.min(axis=0)).max() * 1.6)
    low, high = (landmarks[:, 0].min(), landmarks[:, 0].max())
    left, right = (round((x - (low + high) / 2) * scale + 360) for x in (low, high))
    ink = np.zeros(drawn.shape[:2], np.uint8)
    for group in ("jaw", "nose"):
        ink |= np.abs(drawn - COLOURS[group]).sum(axis=2) < 12
    broad = cv2.erode(ink, np.ones((7, 7), np.uint8))  # of lines and of the marks of landmarks nothing is left
    assert not broad[:, left:right].any()
    assert broad[:, :left].any()
    assert broad[:, right:].any()


def test_the_best_suggestion_has_the_largest_circle(service: FakeService) -> None:
    with Client(service.address) as client:
        answer = client.suggest(b"x", candidates=["jaw_0", "nose_tip"])
    drawn = draw_suggestions(PIXELS, answer)
    sizes = []
    for suggestion in answer.suggestions:
        colour = COLOURS["jaw" if suggestion.landmark == 0 else "nose"]
        sizes.append((np.abs(drawn[:, :720].astype(int) - colour).sum(axis=2) < 12).sum())
    assert sizes[0] > 1.3 * sizes[1] > 100
