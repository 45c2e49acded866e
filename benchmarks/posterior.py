"""What the posterior's kernels cost: each against its naive twin and against the memory-bandwidth floor.

    python benchmarks/posterior.py [--json] [--repeats 7]

CPU-milliseconds; the kernels run on one thread. Posteriors are the default bundle's for a photograph under small
changes ("real") and with half of the face covered ("covered"), carried over to K exemplars: a random part of the
bundle's for a smaller K, copies with a little noise on shape and score for a larger. "uniform" is the worst case, all
alike. For each row the median over its pictures is shown, and the worst picture beside it.

The naive twin is float64 NumPy over all K exemplars. Where "≈" stands before its time, it ran on a part and was scaled
up. The floor is what reading each kept exemplar once and writing the answer would take at the speed of a large memcpy,
measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from skimage import data

from exalign_engine import Aligner
from exalign_engine.evidence.conditioning import condition
from exalign_engine.evidence.evidence import BoxMotion, Click, Evidence, HardClick, SoftClick
from exalign_engine.evidence.suggestion import MAX_MEMBERS, NODES, suggest
from exalign_engine.geometry.landmarks import NOSE_TIP
from exalign_engine.heatmaps.marginals import Grid, heaviest, marginal_heatmaps
from exalign_engine.posterior.kernels import disc_mass, rice_table, weighted_moments
from exalign_engine.posterior.posterior import CONFIDENCE_RADIUS, Posterior, PosteriorModel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

COUNTS = (1_000, 10_000, 140_000)
#: The astronaut's face box.
BOX = np.array([173.0, 77.0, 271.0, 181.0])
#: The square that the network sees, and the grid of the heatmaps.
GRID = Grid(-0.15, -0.15, 1.15, 1.15, 64, 64)
#: Noise on what is copied: box sides, and nats.
SHAPE_NOISE, SCORE_NOISE = 0.004, 0.3


@dataclass(frozen=True)
class Classes:
    """K exemplars with their kernels, in the kernels' layout."""

    model: PosteriorModel
    of: NDArray[np.intp]

    @property
    def shapes(self) -> F32:
        """(K, 2, 68), box frame."""
        return self.model.shapes

    @property
    def class_variance(self) -> F32:
        """(K,) c · v_k."""
        return self.model.class_variance

    @property
    def landmark_scale(self) -> F64:
        """(68,) a_n."""
        return self.model.landmark_scale

    @property
    def count(self) -> int:
        """K."""
        return int(self.shapes.shape[0])


@dataclass(frozen=True)
class Case:
    """One posterior: all probabilities, and what is kept of them."""

    classes: Classes
    probabilities: F32
    index: NDArray[np.int32]
    weights: F32

    @property
    def posterior(self) -> Posterior:
        """A fresh one, of which nothing has been read."""
        return Posterior(self.classes.model, self.probabilities, 1.0)


@dataclass(frozen=True)
class Contest:
    """One kernel on one posterior.

    Attributes:
        fast: the kernel.
        naive: its twin, or a part of it.
        naive_share: the part that ``naive`` does.
        bytes_touched: read and written at least.
    """

    name: str
    fast: Callable[[], object]
    naive: Callable[[], object]
    naive_share: float
    bytes_touched: int


@dataclass(frozen=True)
class Row:
    """One line of the table; times in CPU-milliseconds."""

    kernel: str
    k: int
    posterior: str
    kept: int
    fast_ms: float
    worst_ms: float
    naive_ms: float
    naive_extrapolated: bool
    floor_ms: float


def selection(case: Case) -> Contest:
    """Which exemplars hold 99.9 % of the mass."""
    p = case.probabilities

    def naive() -> object:
        order = np.argsort(-p)
        return order[: int(np.searchsorted(np.cumsum(p[order], dtype=np.float64), 0.999)) + 1]

    return Contest("selection", lambda: heaviest(p), naive, 1.0, p.nbytes + 8 * len(case.index))


def heatmaps(case: Case) -> Contest:
    """All landmarks on 64 × 64 cells."""
    c = case.classes
    n = c.shapes.shape[2]
    edges = np.linspace(GRID.x0, GRID.x1, GRID.width + 1)  # the grid is square
    part = min(c.count, 2_000)

    def fast() -> object:
        return marginal_heatmaps(
            case.weights, case.index, c.shapes, c.class_variance, c.landmark_scale, np.arange(n), GRID
        )

    def naive() -> object:
        sigma = np.sqrt(c.class_variance[:part].astype(np.float64) * c.landmark_scale[30])[:, None]
        x, y = (np.diff(ndtr((edges - c.shapes[:part, a, 30, None]) / sigma), axis=1) for a in (0, 1))
        return (y * case.probabilities[:part, None]).T @ x

    answer = 4 * n * GRID.width * GRID.height
    return Contest("68 heatmaps 64x64", fast, naive, part / c.count / n, _kept_bytes(case) + answer)


def moments(case: Case) -> Contest:
    """Mean and covariance of every landmark."""
    c = case.classes

    def naive() -> object:
        p, shapes = case.probabilities.astype(np.float64), c.shapes.astype(np.float64)
        mean = np.tensordot(p, shapes, 1)
        d = shapes - mean
        return mean, [np.einsum("k,kn,kn->n", p, d[:, a], d[:, b]) for a, b in ((0, 0), (0, 1), (1, 1))]

    return Contest(
        "moments", lambda: weighted_moments(case.weights, case.index, c.shapes), naive, 1.0, _kept_bytes(case)
    )


def confidence(case: Case) -> Contest:
    """P(‖y_n − ŷ_n‖ ≤ r) of every landmark."""
    c = case.classes
    centre, _ = weighted_moments(case.weights, case.index, c.shapes)
    radius, table = CONFIDENCE_RADIUS * 2**0.5, rice_table()
    class_log_sigma = (0.5 * np.log(c.class_variance)).astype(np.float32)
    landmark_log_sigma = (0.5 * np.log(c.landmark_scale)).astype(np.float32)
    part = min(c.count, 500)
    t = (np.arange(200) + 0.5) / 100 - 1

    def fast() -> object:
        return disc_mass(case.weights, case.index, c.shapes, class_log_sigma, landmark_log_sigma, centre, radius, table)

    def naive() -> object:
        sigma = np.sqrt(c.class_variance[:part].astype(np.float64) * c.landmark_scale[30])[:, None]
        distance = np.linalg.norm(c.shapes[:part, :, 30] - centre[:, 30], axis=1)[:, None]
        across = np.exp(-0.5 * ((radius * t - distance) / sigma) ** 2) / (sigma * (2 * np.pi) ** 0.5)
        chord = 2 * ndtr(radius * np.sqrt(1 - t * t) / sigma) - 1
        return case.probabilities[:part] @ (across * chord).sum(axis=1) * radius / 100

    return Contest("confidence", fast, naive, part / c.count / c.shapes.shape[2], _kept_bytes(case) + table.nbytes)


def _click(case: Case, name: str, click: Click, motion: BoxMotion) -> Contest:
    """A click, up to the new posterior: Eq. 10 over all K. What is then read of it, moments say."""
    evidence = Evidence((click,), box_motion=motion)
    shapes, p = case.classes.model.exemplars.shapes, case.probabilities.astype(np.float64)

    def fast() -> object:
        return condition(case.posterior, evidence)

    def naive() -> object:
        """Eq. 10 for a box that stays: the least that any answer to a click must do."""
        d2 = ((shapes[:, click.landmark].astype(np.float64) - (click.x, click.y)) ** 2).sum(axis=1)
        joint = p * np.exp(-d2 / 2e-4)
        return joint / joint.sum()

    # Two coordinates, v_k and p_k of every exemplar are read, its new p_k and b_k are written.
    return Contest(name, fast, naive, 1.0, case.classes.count * (4 * 4 + 4 * 4))


def soft_click(case: Case) -> Contest:
    """A click with σ on the nose tip, a little off."""
    x, y = (float(v) for v in case.posterior.mean[NOSE_TIP] + 0.02)
    return _click(case, "soft click", SoftClick(NOSE_TIP, x, y, 0.014), BoxMotion.FREE)


def hard_click(case: Case) -> Contest:
    """A click with a radius on the nose tip, a little off."""
    x, y = (float(v) for v in case.posterior.mean[NOSE_TIP] + 0.02)
    return _click(case, "hard click", HardClick(NOSE_TIP, x, y, 0.03), BoxMotion.FREE)


def suggestions(case: Case) -> Contest:
    """What a click on each of the 68 landmarks would buy."""
    k, part = case.classes.count, min(case.classes.count, 2_000)
    shapes = case.classes.model.exemplars.shapes[:part].reshape(part, -1).astype(np.float64)
    p = case.probabilities[:part].astype(np.float64)

    def naive() -> object:
        """One of the 68 × NODES clicks on a part of the exemplars: new weights, mean and spread."""
        w = p * np.exp(-((shapes[:, :2] - shapes[0, :2]) ** 2).sum(axis=1) / 2e-4)
        w /= max(w.sum(), 1e-300)
        return w @ shapes, w @ (shapes**2)

    kept = min(len(case.index), MAX_MEMBERS) * int(case.classes.shapes[0].nbytes + 12)
    share = part / k / (NODES * case.classes.shapes.shape[2])
    return Contest("68 suggestions", lambda: suggest(case.posterior, 0.014), naive, share, kept)


#: Every kernel that is measured; a new one needs its function above and its name here.
CONTESTS: tuple[Callable[[Case], Contest], ...] = (
    selection,
    heatmaps,
    moments,
    confidence,
    soft_click,
    hard_click,
    suggestions,
)


def _kept_bytes(case: Case) -> int:
    """One look at each kept exemplar, its weight, its index and its v_k."""
    return len(case.index) * int(case.classes.shapes[0].nbytes + 12)


def pictures() -> dict[str, list[tuple[U8, F64]]]:
    """(image, face box) of each kind."""
    image, rng = data.astronaut(), np.random.default_rng(0)
    changed = [image, image // 2, cv2.GaussianBlur(image, (0, 0), 2.0), np.ascontiguousarray(image[:, ::-1])]
    boxes = [BOX, BOX, BOX, np.array([511 - BOX[2], BOX[1], 511 - BOX[0], BOX[3]])]
    real = [(i, b + rng.normal(0, 3, 4)) for i, b in zip(changed, boxes, strict=True) for _ in range(2)]
    covered = []
    for rows in (slice(77, 129), slice(129, 181)):
        hidden = image.copy()
        hidden[rows, 150:300] = 0
        covered += [(hidden, BOX), (hidden, BOX + rng.normal(0, 3, 4))]
    return {"real": real, "covered": covered}


def resample(model: PosteriorModel, k: int, rng: np.random.Generator) -> Classes:
    """The bundle's exemplars, thinned or copied to K."""
    known = model.shapes.shape[0]
    of = np.sort(np.concatenate([rng.permutation(known)[: k - start] for start in range(0, k, known)]))
    copied = k > known
    part = model.exemplars.part(of)
    noise = rng.normal(0, SHAPE_NOISE if copied else 0, part.shapes.shape).astype(np.float32)
    resampled = PosteriorModel(replace(part, shapes=part.shapes + noise), model.calibration)
    _ = resampled.by_landmark  # made when first read, once a bundle
    return Classes(resampled, of)


def keep(classes: Classes, probabilities: F32) -> Case:
    """A case of 99.9 % of the mass."""
    index, weights, _ = heaviest(probabilities)
    return Case(classes, probabilities, index, weights)


def cases(aligner: Aligner, seed: int = 0) -> list[tuple[str, list[Case]]]:
    """Posteriors by kind, for every K."""
    rng = np.random.default_rng(seed)
    scores = {kind: [np.log(face_probabilities(aligner, *p)) for p in of] for kind, of in pictures().items()}
    result = []
    for k in COUNTS:
        classes = resample(aligner.model, k, rng)
        for kind, every in scores.items():
            made = []
            for s in every:
                z = s[classes.of] + (rng.normal(0, SCORE_NOISE, k) if k > len(s) else 0)
                p = np.exp(z - z.max())
                made.append(keep(classes, (p / p.sum()).astype(np.float32)))
            result.append((kind, made))
        result.append(("uniform", [keep(classes, np.full(k, 1 / k, dtype=np.float32))]))
    return result


def face_probabilities(aligner: Aligner, image: U8, box: F64) -> F64:
    """(K,) float64 > 0."""
    p = aligner.align(image, [box.tolist()])[0].posterior.probabilities
    return np.maximum(p.astype(np.float64), 1e-30)


def cpu_ms(call: Callable[[], object], repeats: int, clock: Callable[[], float] = time.thread_time) -> float:
    """Median CPU time; the first call, which compiles, is not counted.

    The kernels run on this thread. NumPy's twins may use BLAS's threads too and need ``time.process_time``; those
    threads spin for a while after, so that on that clock they would be billed to the next kernel.
    """
    call()
    times = []
    for _ in range(repeats):
        start = clock()
        call()
        times.append(1e3 * (clock() - start))
    return statistics.median(times)


def memcpy_bytes_per_ms(repeats: int) -> float:
    """Bytes read and written a millisecond by a copy far larger than the caches."""
    source = np.ones(1 << 25, dtype=np.float32)
    target = np.empty_like(source)
    return 2 * source.nbytes / cpu_ms(lambda: np.copyto(target, source), repeats)


def measure(aligner: Aligner, repeats: int) -> list[Row]:
    """The whole table."""
    bandwidth = memcpy_bytes_per_ms(repeats)
    rows = []
    for kind, group in cases(aligner):
        for contest in CONTESTS:
            runs = [contest(case) for case in group]
            fast = [cpu_ms(run.fast, repeats) for run in runs]
            one = runs[0]
            rows.append(
                Row(
                    kernel=one.name,
                    k=group[0].classes.count,
                    posterior=kind,
                    kept=int(statistics.median(len(case.index) for case in group)),
                    fast_ms=statistics.median(fast),
                    worst_ms=max(fast),
                    naive_ms=cpu_ms(one.naive, 3, time.process_time) / one.naive_share,
                    naive_extrapolated=one.naive_share < 1,
                    floor_ms=statistics.median(run.bytes_touched for run in runs) / bandwidth,
                )
            )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="calls a row and picture; the median counts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = measure(Aligner.default(threads=1), arguments.repeats)
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    columns = ("kernel", "K", "posterior", "kept", "CPU-ms", "worst", "naive", "floor", "× floor")
    print("{:<18} {:>7} {:<9} {:>7} {:>9} {:>9} {:>11} {:>8} {:>8}".format(*columns))
    for r in sorted(rows, key=lambda r: (r.kernel, r.k)):
        naive = f"{'≈' if r.naive_extrapolated else ''}{r.naive_ms:.4g}"
        print(
            f"{r.kernel:<18} {r.k:>7} {r.posterior:<9} {r.kept:>7} {r.fast_ms:>9.3f} {r.worst_ms:>9.3f} "
            f"{naive:>11} {r.floor_ms:>8.3f} {r.fast_ms / r.floor_ms:>8.1f}"
        )


if __name__ == "__main__":
    main()
