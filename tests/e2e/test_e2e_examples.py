"""The examples do what they say, against the real server; the notebook runs in a kernel of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from track_e2e import clip

from exalign_client.transport.local_server import LocalServer

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: str, server: LocalServer) -> str:
    command = [sys.executable, str(EXAMPLES / name), *arguments, "--server", server.address]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


@pytest.fixture
def photo(astronaut: bytes, tmp_path: Path) -> str:
    path = tmp_path / "photo.jpg"
    path.write_bytes(astronaut)
    return str(path)


def test_predict_names_a_face_and_its_least_certain_landmarks(server: LocalServer, photo: str) -> None:
    first, *landmarks = run("predict.py", photo, server=server).splitlines()
    assert first == "face 0: presence 1.00"
    assert len(landmarks) == 5
    assert all("confidence 0." in line for line in landmarks)


def test_a_click_moves_more_than_the_point_that_was_clicked(server: LocalServer, photo: str) -> None:
    (suggested,) = run("click.py", photo, server=server).splitlines()
    believed = suggested[suggested.index("(") + 1 : suggested.index(")")].split(", ")
    position = [str(float(believed[0]) + 6), believed[1]]
    _, moved, evidence = run("click.py", photo, *position, server=server).splitlines()
    assert float(moved.split(" px")[1].split()[-1]) > 0.2
    assert evidence.startswith("evidence: conditioned, surprise ")


def test_each_frame_of_a_stream_is_answered_and_revised(server: LocalServer, astronaut: bytes, tmp_path: Path) -> None:
    for index, picture in enumerate(clip(astronaut, 6)):
        (tmp_path / f"{index}.jpg").write_bytes(picture)
    lines = run("stream.py", str(tmp_path), "--smoothing-lag", "2", server=server).splitlines()
    answered = [line for line in lines if "visible" in line]
    assert [line.split(":")[0] for line in answered] == [f"frame {i}" for i in range(6)]
    assert sum("better, now that frame" in line for line in lines) >= 4
    assert lines[-1].startswith("TrackSummary(frames_received=6, frames_answered=6")


def test_the_notebook_runs_as_it_was_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skimage.data")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    committed = nbformat.read(EXAMPLES / "notebook.ipynb", nbformat.NO_CONVERT)
    again = nbformat.from_dict(committed)
    manager = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=str(tmp_path / "kernel.json"))
    NotebookClient(again, km=manager, timeout=300).execute()
    kinds = [[sorted(output.get("data", "")) for output in cell.get("outputs", ())] for cell in committed.cells]
    assert [[sorted(o.get("data", "")) for o in cell.get("outputs", ())] for cell in again.cells] == kinds
    assert "'hidden', 'hidden', 'hidden', 'visible'" in str(again.cells[-2].outputs)
