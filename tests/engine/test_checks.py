"""Between two checks lies no more than a quarter of a second of work, by what the kernels are given to do.

No clock is read: every kernel is wrapped by a counter of what its arguments make it do, and a unit is taken for what it
cost on one core of a slow machine (docs/decisions/hidden-faces.md).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exalign_engine.evidence.evidence import Disc, Evidence, PoseRange, RegionConstraint, SoftClick
from exalign_engine.face.aligner import Face
from exalign_engine.face.views import conditioned, heatmaps, pose, suggestions
from exalign_engine.heatmaps.kernels import KERNEL_REACH
from exalign_engine.posterior.checks import Check, unchecked
from exalign_engine.posterior.pose import PoseGrid
from exalign_engine.posterior.posterior import Posterior
from exalign_engine.tracking import Frame, SuggestionQuery, TrackingSession
from tracking_toy import MIDDLE, SIZE, Toy, at, row

F32 = NDArray[np.float32]

K = 6000

#: Nanoseconds a unit, and the most of them between two checks.
QUARTER_SECOND = 250e6


def _pairs(sources: Any, blocks: Any, *rest: Any) -> int:
    """Blocks compared with targets: the last argument but those of the geometry that is one-dimensional and int32."""
    targets = [a for a in rest if isinstance(a, np.ndarray) and a.dtype == np.int32 and a.ndim == 1]
    return len(blocks) * max(len(a) for a in targets)


def _cells(cells: Any, weights: Any, index: Any, shapes: Any, variance: Any, scale: Any, of: Any, *rest: Any) -> int:
    """Cells that lie within reach of the components."""
    rows, _, step, _ = rest
    sigma = np.sqrt(variance[index].max() * scale[of[rows]])
    size = np.array([cells.shape[2], cells.shape[1]])
    return int(len(weights) * np.minimum(2 * KERNEL_REACH * sigma[:, None] / step[rows] + 1, size).prod(axis=1).sum())


#: Kernel, units of a call, nanoseconds a unit.
KERNELS: list[tuple[str, Callable[..., int], float]] = [
    ("hmm.neighbours.near_lanes", _pairs, 2000),
    ("hmm.neighbours.mass_of_lanes", lambda near, *_: near.size, 500),
    ("hmm.neighbours.first_near", _pairs, 2000),
    ("hmm.neighbours.spread_mass", lambda index, *_: 32 * len(index), 20),
    ("hmm.neighbours.reach_first", lambda index, *_: 32 * len(index), 20),
    ("heatmaps.marginals.add_directly", _cells, 5),
    ("heatmaps.marginals.splat", lambda w, i, t, s, landmarks, *_: len(w) * len(landmarks), 150),
    ("heatmaps.marginals.blur_into_cells", lambda cells, rows, lattice, *_: 40 * len(lattice), 1),
    ("posterior.pose._mass_in_bins", lambda angle, sigma, low, high, bins: len(angle) * bins, 50),
    ("posterior.posterior.weighted_moments", lambda weights, *_: 68 * len(weights), 20),
    ("posterior.posterior.nearness", lambda index, *_: 68 * len(index), 10),
    ("posterior.posterior.moved_shapes", lambda index, *_: 68 * len(index), 20),
    ("posterior.posterior.disc_mass", lambda weights, *_: 68 * len(weights), 40),
    (
        "evidence.suggestion._expected_after_click",
        lambda w, *a: len(w) * len(a[5]) * len(a[6]) * 136,
        1,
    ),
    ("evidence.conditioning.click_kernel", lambda points, *_: points.shape[0] * points.shape[2], 50),
]


class Meter:
    """Counts work since the last check."""

    def __init__(self) -> None:
        self.since, self.most, self.total, self.checks = 0.0, 0.0, 0.0, 0

    def check(self) -> None:
        self.checks += 1
        self.since = 0.0

    def add(self, nanoseconds: float) -> None:
        self.since += nanoseconds
        self.total += nanoseconds
        self.most = max(self.most, self.since)


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    counted = Meter()

    def wrapped(kernel: Callable[..., Any], units: Callable[..., int], each: float) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            counted.add(units(*arguments) * each)
            return kernel(*arguments)

        return call

    for name, units, each in KERNELS:
        module, _, kernel = f"exalign_engine.{name}".rpartition(".")
        home = importlib.import_module(module)
        monkeypatch.setattr(home, kernel, wrapped(getattr(home, kernel), units, each))
    return counted


@pytest.fixture(scope="module")
def toy() -> Toy:
    """Exemplars on a plane of shapes, many of them near each."""
    rng = np.random.default_rng(3)
    base, along = rng.uniform(0.1, 0.9, (68, 2)), rng.normal(0, 1, (2, 68, 2))
    shapes = base + np.tensordot(rng.uniform(-0.2, 0.2, (K, 2)), along, 1)
    return Toy(shapes)


@pytest.fixture
def hidden(toy: Toy) -> Face:
    """A face of which nothing is known."""
    return Face(at(MIDDLE), Posterior(toy.aligner.model, np.full(K, 1 / K, np.float32), 0.02))


def bounded(meter: Meter, checks: int) -> None:
    assert meter.checks >= checks
    assert meter.total > 0
    assert meter.most <= QUARTER_SECOND


@pytest.mark.parametrize("bins", [90, 180])
def test_a_pose_map(toy: Toy, hidden: Face, meter: Meter, bins: int) -> None:
    bundle = toy.aligner.bundle
    pose(hidden, bundle.poses, bundle.calibration, grid=PoseGrid(bins, bins), check=meter.check)
    bounded(meter, 3)


@pytest.mark.parametrize(
    "rectangle",
    [(200, 50, 400, 250), (299, 149, 301, 151), (-1e6, -1e6, 1e6, 1e6), (-1e6, 149.9, 1e6, 150.1), (0, 0, 6e4, 6e4)],
)
def test_heatmaps_of_any_rectangle(hidden: Face, meter: Meter, rectangle: tuple[float, ...]) -> None:
    heatmaps(hidden, range(68), rectangle, 256, 256, meter.check)
    bounded(meter, 1)


def test_suggestions(hidden: Face, meter: Meter) -> None:
    suggestions(hidden, check=meter.check)
    bounded(meter, 8)


def test_conditioning(toy: Toy, hidden: Face, meter: Meter) -> None:
    clicks = tuple(SoftClick(n, 300.0, 150.0, 2.0) for n in range(68))
    regions = tuple(RegionConstraint(n, Disc(300.0, 150.0, 500.0), True) for n in range(68))
    evidence = Evidence(clicks, regions, (PoseRange(yaw=(-90, 90)),))
    conditioned(hidden, evidence, toy.aligner.bundle.poses, check=meter.check)
    bounded(meter, 1 + 68 + 1)


def test_a_video_with_a_lag_a_path_and_suggestions(toy: Toy, meter: Meter) -> None:
    """Faces that go and come, every frame, a late click, and the end."""
    session = toy.session(smoothing_lag=4, path_frames=16)
    seen = toy.scores(5, 0.99, 0.1)
    for index in range(14):
        before = meter.checks
        frame = Frame(index, SIZE, ((min(index, 1), at(MIDDLE)),), occluded=4 <= index < 10)
        answered(session, frame, seen, meter.check)
        assert meter.checks > before
    session.revise(11, [(0, Evidence((SoftClick(30, 300.0, 150.0, 3.0),)))], meter.check)
    session.close(SuggestionQuery(count=3), meter.check)
    bounded(meter, 14 * 4)


def answered(session: TrackingSession, frame: Frame, scores: F32, check: Check) -> None:
    pending = session.begin(frame)
    places = session.places(pending, ())
    session.finish(pending, [row(scores)] * len(places), check)


class GoneError(Exception):
    """Nobody waits any more."""


def test_what_a_check_raises_ends_a_frame_and_leaves_the_session_as_it_was(toy: Toy) -> None:
    def gone() -> None:
        raise GoneError

    session = toy.session(smoothing_lag=2)
    toy.play(session, 0, boxes=[(0, MIDDLE)])
    before = session.encode()
    with pytest.raises(GoneError):
        answered(session, Frame(1, SIZE), toy.scores(), gone)
    assert session.encode() == before
    answered(session, Frame(1, SIZE), toy.scores(), unchecked)
