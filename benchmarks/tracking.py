"""How long the HMM takes a frame, measured on the default bundle carried over to K exemplars.

    python -m benchmarks.tracking [--json] [--frames 60]

CPU-milliseconds on one thread. The video is a photograph that turns, grows and shifts from frame to frame, scored by
the network in a box that stays; its scores are carried over to K exemplars as `benchmarks/posterior.py` does: a random
part of the bundle's for a smaller K, copies with a little noise on shape and score for a larger. Rows:

- tracked: every frame is visible;
- cut: every tenth frame is from another place in the video;
- hidden: five frames that say nothing, as under total occlusion, after ten that are visible;
- uniform: no frame says anything, from the first on. A belief that is even costs the filter nothing; the worst that it
  meets is "hidden", where what was seen spreads: its cost goes with K times the classes that a belief keeps.

"filter" and "max-product" are a step each, "smooth" is one frame of the backward pass.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar

import cv2
import numpy as np
from benchmarks.posterior import BOX, SCORE_NOISE, face_probabilities, resample
from numpy.typing import NDArray
from skimage import data

from exalign_engine import Aligner
from exalign_engine.hmm.chain import Chain, Emission

T = TypeVar("T")
F64 = NDArray[np.float64]

COUNTS = (10_000, 33_736, 140_000)
#: Frames before and of an occlusion.
SEEN, HIDDEN = 10, 5
#: Every so many frames, the video of the row "cut" jumps.
CUT_EVERY = 10
#: Frames that a path reaches back, and that are smoothed at a time.
WINDOW = 30


@dataclass(frozen=True)
class Row:
    """One line of the table; times in CPU-milliseconds, counts at the median frame but the gap, the largest there
    was."""

    k: int
    video: str
    operation: str
    median_ms: float
    worst_ms: float
    states: int
    encoded_bytes: int
    rest: float
    gap: float


def scores(aligner: Aligner, frames: int) -> list[F64]:
    """(K,) log probabilities of every frame of the video."""
    picture = data.astronaut()
    centre = (float(BOX[0] + BOX[2]) / 2, float(BOX[1] + BOX[3]) / 2)
    found = []
    for t in range(frames):
        turn = cv2.getRotationMatrix2D(centre, 12 * np.sin(t / 5), 1 + 0.05 * np.sin(t / 7))
        turn[:, 2] += 3 * np.sin(t / 3), 2 * np.cos(t / 4)
        moved = cv2.warpAffine(picture, turn, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        found.append(np.log(face_probabilities(aligner, moved.astype(np.uint8), BOX)))
    return found


def videos(seen: Sequence[Emission]) -> dict[str, list[Emission]]:
    """Emissions of every row."""
    nothing = [Emission(None)] * HIDDEN
    jump = len(seen) // 2
    return {
        "tracked": list(seen),
        "cut": [seen[(t + jump * (t // CUT_EVERY)) % len(seen)] for t in range(len(seen))],
        "hidden": [*seen[:SEEN], *nothing],
        "uniform": nothing,
    }


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """An answer, and the CPU-milliseconds of this thread that it took."""
    start = time.thread_time()
    answer = call()
    return answer, 1e3 * (time.thread_time() - start)


def rows(chain: Chain, video: str, emissions: Sequence[Emission]) -> list[Row]:
    """Filter, max-product and smoother on one video; of "hidden", only the hidden frames count."""
    counted = slice(SEEN - 1, None) if video == "hidden" else slice(None)
    beliefs, path = [chain.start(emissions[0])], chain.open_path(emissions[0], WINDOW)
    filter_ms, path_ms, live, sizes, gaps = [], [], [], [], []
    for emission in emissions[1:]:
        belief, ms = timed(partial(chain.step, beliefs[-1], emission))
        beliefs.append(belief)
        filter_ms.append(ms)
        path, ms = timed(partial(chain.extend_path, path, emission))
        path_ms.append(ms)
        live.append(len(path.scores))
        sizes.append(len(path.encode()))
        gaps.append(chain.best_path(path).gap)
    _, smooth_ms = timed(partial(chain.smooth, beliefs[-WINDOW:]))
    after = beliefs[1:][counted]
    kept, encoded = [len(b.index) for b in after], [len(b.encode()) for b in after]
    rest, each = max(b.rest for b in after), smooth_ms / max(len(beliefs[-WINDOW:]) - 1, 1)

    def row(name: str, ms: list[float], states: list[int], size: list[int], rest: float, gap: float) -> Row:
        middle = int(statistics.median(states)), int(statistics.median(size))
        return Row(chain.count, video, name, statistics.median(ms), max(ms), *middle, rest, gap)

    return [
        row("filter", filter_ms[counted], kept, encoded, rest, 0.0),
        row("max-product", path_ms[counted], live[counted], sizes[counted], 0.0, max(gaps)),
        row("smooth", [each], kept, encoded, rest, 0.0),
    ]


def measure(aligner: Aligner, frames: int, seed: int = 0) -> list[Row]:
    """The whole table."""
    rng = np.random.default_rng(seed)
    video, found = scores(aligner, frames), []
    for k in COUNTS:
        classes = resample(aligner.model, k, rng)
        chain = Chain(classes.model.exemplars.shapes, aligner.bundle.manifest.tau)
        noise = rng.normal(0, SCORE_NOISE, k) if k > len(video[0]) else np.zeros(k)
        seen = []
        for s in video:
            z = s[classes.of] + noise
            seen.append(Emission.of_probabilities(np.exp(z - z.max()).astype(np.float32)))
        rows(chain, "tracked", seen[:3])  # compiles
        for name, emissions in videos(seen).items():
            found += rows(chain, name, emissions)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=60, help="frames of the video")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    found = measure(Aligner.default(threads=1), arguments.frames)
    if arguments.json:
        print(json.dumps([asdict(row) for row in found], indent=1))
        return
    columns = ("K", "video", "operation", "median", "worst", "states", "bytes", "rest", "gap")
    print("{:>7} {:<8} {:<12} {:>9} {:>9} {:>7} {:>7} {:>6} {:>6}".format(*columns))
    for r in found:
        print(
            f"{r.k:>7} {r.video:<8} {r.operation:<12} {r.median_ms:>9.3f} {r.worst_ms:>9.3f} {r.states:>7} "
            f"{r.encoded_bytes:>7} {r.rest:>6.3f} {r.gap:>6.2f}"
        )


if __name__ == "__main__":
    main()
