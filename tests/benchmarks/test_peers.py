"""The comparison with peers: errors, misses, boxes, the mesh's table, and how a peer's process is spoken to.

The peers themselves are not run here: they need environments of their own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.peers import remote
from benchmarks.peers.contestants import Reply, fitted_peer
from benchmarks.peers.environments import HERE, PEERS, python
from benchmarks.peers.measure import Case, compare, rows
from benchmarks.peers.mesh_points import TABLE, to_68
from benchmarks.peers.remote import FoundFace, RemotePeer
from numpy.typing import NDArray

from exalign_engine.geometry.frames import tight_box

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

TRUTH = np.random.default_rng(0).uniform(20, 80, (68, 2))
IMAGE = np.zeros((100, 120, 3), np.uint8)


def case(corruption: str = "clean", severity: int = 0, origin: str = "ytf") -> Case:
    return Case("crops", origin, corruption, severity, IMAGE, TRUTH, tight_box(TRUTH))


class Fixed:
    """Answers with the truth moved, and misses where it detects."""

    name = "fixed"

    def __init__(self, offset: F64) -> None:
        self.offset = offset

    def about(self) -> dict[str, Any]:
        return {}

    def given(self, image: U8, box: F64) -> Reply:
        return Reply(TRUTH + self.offset, 2.0)

    def detected(self, image: U8, box: F64) -> Reply:
        return Reply(None, 3.0)


def test_errors_are_of_all_points_and_of_the_inner_51_and_a_miss_is_a_failure() -> None:
    jaw_only = np.zeros((68, 2))
    jaw_only[:17] = (3.0, 4.0)
    found = compare([Fixed(jaw_only)], iter([case()]))
    box = tight_box(TRUTH)
    assert found[0].errors["all68"] == pytest.approx(5 * 17 / 68 / np.hypot(*(box[2:] - box[:2])))
    assert found[0].errors["inner51"] == 0.0
    assert found[1].errors == {"all68": np.inf, "inner51": np.inf}
    table = {(r["boxes"], r["points"]): r for r in rows(found) if r["source"] == "all"}
    assert table["given", "inner51"]["auc"] == 1.0
    assert table["detector", "all68"]["failure_rate"] == table["detector", "all68"]["missed"] == 100.0
    assert table["detector", "all68"]["cpu_ms_median"] == 3.0


def test_collections_stand_apart_where_clean_only() -> None:
    cases = [case(), case(origin="helen"), case("occluder", 3), case("occluder", 3, "helen")]
    table = rows(compare([Fixed(np.zeros((68, 2)))], iter(cases)))
    clean = {r["source"]: r["n"] for r in table if r["corruption"] == "clean"}
    assert clean == {"all": 2, "ytf": 1, "helen": 1}
    assert {r["source"] for r in table if r["corruption"] == "occluder"} == {"all"}


def test_every_landmark_has_a_vertex_of_its_own() -> None:
    assert len(set(TABLE)) == 68
    assert max(TABLE) < 468
    mesh = np.arange(478 * 2, dtype=float).reshape(478, 2)
    np.testing.assert_array_equal(to_68(mesh)[30], mesh[TABLE[30]])


class FakeRemote:
    """A peer whose boxes are twice as large as the face box, about the same centre."""

    about = {"peer": "fake"}  # noqa: RUF012 - as RemotePeer has it

    def __init__(self) -> None:
        self.asked: list[F64 | None] = []

    def answer(self, image: U8, box: F64 | None = None) -> tuple[list[FoundFace], float]:
        self.asked.append(box)
        x0, y0, x1, y1 = tight_box(TRUTH)
        side, cx, cy = max(x1 - x0, y1 - y0), (x0 + x1) / 2, (y0 + y1) / 2
        own = np.array([cx - side, cy - side, cx + side, cy + side])
        return [FoundFace(own + 500, TRUTH + 500), FoundFace(own, TRUTH)], 1.0


class OneFace:
    """A source of three times the same face."""

    ids = origins = ("a", "a", "a")
    landmarks = np.stack([TRUTH] * 3)

    def __len__(self) -> int:
        return 3

    def image(self, index: int) -> U8:
        return IMAGE


def test_boxes_are_mapped_as_the_peers_own_detector_draws_them() -> None:
    fake = FakeRemote()
    peer = fitted_peer(fake, OneFace(), 3)  # type: ignore[arg-type]
    about = peer.about()
    assert about["to_face"] == pytest.approx({"dx": 0.0, "dy": 0.0, "scale": 0.5})
    assert about["to_own"] == pytest.approx({"dx": 0.0, "dy": 0.0, "scale": 2.0})
    peer.given(IMAGE, tight_box(TRUTH))
    assert fake.asked[-1] == pytest.approx(fake.answer(IMAGE)[0][1].box)
    reply = peer.detected(IMAGE, tight_box(TRUTH))
    np.testing.assert_array_equal(reply.points, TRUTH)
    assert peer.detected(IMAGE, tight_box(TRUTH + 200)).points is None


WORKER = """
from wire import serve
def answer(image, box):
    return [] if box is None else [{"box": box, "points": [[float(image[0, 0, 0]), float(image.shape[1])]]}]
serve(answer, {"peer": "toy"})
"""


def test_a_peer_is_asked_and_answers_through_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_worker.py").write_text(WORKER)
    (tmp_path / "wire.py").write_text((HERE / "wire.py").read_text())
    monkeypatch.setattr(remote, "HERE", tmp_path)
    monkeypatch.setattr(remote, "python", lambda peer: Path(sys.executable))
    with RemotePeer("toy") as peer:
        assert peer.about == {"peer": "toy"}
        image = np.full((10, 12, 3), 7, np.uint8)
        (face,), cpu_ms = peer.answer(image, np.array([1.0, 2.0, 3.0, 4.0]))
        assert face.points.tolist() == [[7.0, 12.0]]
        assert face.box.tolist() == [1.0, 2.0, 3.0, 4.0]
        assert cpu_ms >= 0
        assert peer.answer(image)[0] == []


def test_a_worker_that_does_not_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_worker.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(remote, "HERE", tmp_path)
    monkeypatch.setattr(remote, "python", lambda peer: Path(sys.executable))
    with pytest.raises(RuntimeError, match="the worker ended with 3"):
        RemotePeer("toy")


@pytest.mark.parametrize("requirements", [None, "dlib-bin==1\n"])
def test_an_environment_that_is_missing_or_of_other_requirements_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requirements: str | None
) -> None:
    monkeypatch.setenv("EXALIGN_PEERS", str(tmp_path))
    if requirements:
        (tmp_path / "dlib").mkdir()
        (tmp_path / "dlib" / "requirements.txt").write_text(requirements)
    with pytest.raises(FileNotFoundError, match=r"no environment for dlib: run python -m benchmarks\.peers"):
        python("dlib")


def test_every_peer_has_its_requirements_and_its_worker() -> None:
    for peer in PEERS:
        lines = (HERE / f"{peer}.txt").read_text().splitlines()
        assert all("==" in line for line in lines if not line.startswith("#"))
        assert (HERE / f"{peer}_worker.py").is_file()
