"""Our server beside others: ratios within a round, what is asked, and backends that cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.backends.__main__ import FLOOR, Turn, message, off, summary
from benchmarks.backends.processes import CannotServeError, started
from benchmarks.backends.triton import ENVIRONMENT
from benchmarks.serving import BOX

from exalign.open_inference import inference_pb2
from exalign_service.open_inference.request import read_infer


def turn(cpu_ms: float) -> Turn:
    return Turn(10.0, cpu_ms, 1.0, 2.0)


def test_a_ratio_is_that_of_one_round_and_the_table_has_their_median() -> None:
    turns = {FLOOR: [turn(1), turn(2), turn(10)], "ours": [turn(2), turn(3), turn(12)]}
    floor, ours = summary(turns, {FLOOR: 0.0, "ours": 0.1})
    assert (floor.ratio, floor.least_ratio, floor.most_ratio) == (1, 1, 1)
    assert (ours.ratio, ours.least_ratio, ours.most_ratio) == pytest.approx((1.5, 1.2, 2.0))
    assert (ours.cpu_ms, ours.off) == (3, 0.1)


def test_what_is_asked_is_a_picture_and_the_box_of_its_face() -> None:
    request = inference_pb2.ModelInferRequest.FromString(message(b"file", "exalign"))
    read = read_infer(request, 1)
    assert read.predict.image.encoded == b"file"
    assert [(b.x0, b.y0, b.x1, b.y1) for b in read.predict.boxes] == [BOX]
    assert not read.predict.HasField("pose")


def test_landmarks_are_compared_in_shares_of_the_box() -> None:
    diagonal = np.hypot(BOX[2] - BOX[0], BOX[3] - BOX[1])
    assert off(np.full((68, 2), 0.0), np.tile([diagonal / 100, 0.0], (68, 1))) == pytest.approx(1.0)


def test_a_process_that_ends_before_it_serves_is_no_backend() -> None:
    with pytest.raises(CannotServeError, match="it ended with 3"), started([sys.executable, "-c", "exit(3)"]):
        pass


def test_a_process_serves_until_its_block_ends() -> None:
    program = 'import sys; print(\'{"address": "here:1"}\', flush=True); sys.stdin.read()'
    with started([sys.executable, "-c", program]) as backend:
        assert backend.address == "here:1"
        assert backend.cpu_seconds() >= 0
        assert Path(f"/proc/{backend.pid}").exists()
    assert not Path(f"/proc/{backend.pid}").exists()


def test_the_cpu_time_of_a_backend_is_that_of_its_children_too() -> None:
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'while True: pass'])\n"
        'print(\'{"address": "here:1"}\', flush=True)\nsys.stdin.read()\nchild.kill()\n'
    )
    with started([sys.executable, "-c", program]) as backend:
        before = backend.cpu_seconds()
        while backend.cpu_seconds() < before + 0.05:  # the child is at work without end, its parent not at all
            pass


def test_the_environment_of_triton_holds_named_versions() -> None:
    lines = ENVIRONMENT.requirements.read_text().splitlines()
    assert all("==" in line for line in lines if not line.startswith("#"))
