"""The ``exalign`` command against the fake server: tables, JSON lines, files, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from exalign_client.commands.cli import main
from fake_server import FakeService, abort


def _second(picture: Path) -> Path:
    other = picture.with_name("other.png")
    other.write_bytes(picture.read_bytes())
    return other


def test_predict_prints_the_face_and_its_landmarks(
    service: FakeService, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(picture), "--server", service.address]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == f"{picture}: 120×80, 1 face (2 more left out), 5 ms, bundle abababababab"
    assert lines[2].split() == ["1", "30.0", "20.0", "90.0", "70.0", "detector", "0.750", "0.990", "3.50", "12.5"]
    assert lines[4].split() == ["#", "landmark", "x", "y", "sd", "confidence"]
    assert lines[5].split() == ["0", "point_0", "32.00", "22.00", "1.73", "0.000"]
    assert len(lines) == 5 + 68
    assert captured.err == ""


def test_several_pictures_are_summed_up_and_json_is_one_object_a_line(
    service: FakeService, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = _second(picture)
    assert main(["predict", str(picture), str(other), "--server", service.address]) == 0
    assert "point_0" not in capsys.readouterr().out
    assert main(["predict", str(picture), str(other), "--server", service.address, "--json"]) == 0
    captured = capsys.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert [answer["image"] for answer in answers] == [str(picture), str(other)]
    assert np.array(answers[0]["faces"][0]["covariances"]).shape == (68, 2, 2)
    assert captured.err.splitlines() == [f"[1/2] {picture}", f"[2/2] {other}"]


def test_no_face_is_no_failure(service: FakeService, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service.faces = 0
    assert main(["predict", str(picture), "--server", service.address]) == 0
    assert "no face found" in capsys.readouterr().out


def test_options_reach_the_server(service: FakeService, picture: Path) -> None:
    command = ["predict", str(picture), "--server", service.address]
    assert main([*command, "--detector", "mtcnn", "--max-faces", "3"]) == 0
    assert main([*command, "--box", "1,2,30.5,40", "--box=-5,0,9,9", "--detector", "mtcnn"]) == 0
    detected, given = service.requests
    assert (detected.detection.detector, detected.detection.max_faces) == ("mtcnn", 3)
    assert [(b.x0, b.y0, b.x1, b.y1, b.detector) for b in given.boxes] == [
        (1, 2, 30.5, 40, "mtcnn"),
        (-5, 0, 9, 9, "mtcnn"),
    ]
    assert given.detection.detector == ""


def test_a_missing_file_fails_and_the_others_are_answered(
    service: FakeService, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = picture.with_name("absent.jpg")
    assert main(["predict", str(absent), str(picture), "--server", service.address, "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"exalign: {absent}: no such file\n"
    assert json.loads(captured.out)["image"] == str(picture)


def test_a_picture_that_the_server_refuses_is_one_line(
    service: FakeService, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="image.encoded", description="truncated")
    detail = error_details_pb2.BadRequest(field_violations=[violation])
    service.faults = [abort(grpc.StatusCode.INVALID_ARGUMENT, "1 field", detail)]
    assert main(["predict", str(picture), "--server", service.address]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"exalign: {picture}: image.encoded: truncated\n")


def test_a_server_that_is_not_there_is_one_line(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(picture), "--server", f"unix:{tmp_path}/none"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"exalign: unix:{tmp_path}/none: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "required: COMMAND"),
        (["predict"], "required: IMAGE"),
        (["predict", "a.png", "--box", "1,2,3"], "'1,2,3' is not four numbers"),
        (["predict", "a.png", "--box", "9,2,3,4"], "must have x0 < x1"),
        (["predict", "a.png", "--box", "nan,2,3,4"], "must have x0 < x1"),
        (["predict", "a.png", "--max-faces", "0"], "'0' is not a whole number"),
        (["predict", "a.png", "--timeout", "0"], "'0' is not a number of seconds"),
        (["predict", "a.png", "--out", "a.gif"], "a.gif must be a directory or end in"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    error = capsys.readouterr().err
    assert caught.value.code == 2
    assert expected in error
    assert error.count("\n") == 1


def test_an_overlay_is_a_file_for_one_picture_and_a_directory_for_several(
    service: FakeService, picture: Path, tmp_path: Path
) -> None:
    other, server = _second(picture), ["--server", service.address]
    assert main(["predict", str(picture), *server, "--out", str(tmp_path / "drawn.jpg")]) == 0
    assert cv2.imread(str(tmp_path / "drawn.jpg")) is not None
    assert main(["predict", str(picture), str(other), *server, "--out", str(tmp_path / "all")]) == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["other.png", "photo.png"]


def test_an_overlay_of_several_pictures_cannot_be_one_file(picture: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["predict", str(picture), str(_second(picture)), "--out", str(picture)])
    assert caught.value.code == 2


def test_model_prints_a_summary_or_everything(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "--server", service.address]) == 0
    assert "1000 exemplars of 68 landmarks" in capsys.readouterr().out
    assert main(["model", "--server", service.address, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["limits"]["max_faces"] == 16


def test_tls_is_not_spoken_to_a_server_without_it(service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "--server", service.address, "--tls", "--timeout", "5"]) == 1
    assert capsys.readouterr().err.startswith(f"exalign: {service.address}: ")


def test_a_reader_that_goes_away_is_no_traceback(service: FakeService, picture: Path) -> None:
    command = [sys.executable, "-m", "exalign_client.commands.cli", "predict", *[str(picture)] * 3]
    command += ["--landmarks", "--server", service.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()
        assert process.wait(timeout=60) == 1
