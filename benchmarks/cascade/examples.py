"""What the cascade learns from: crops as the network sees them, with where their landmarks are.

The network has seen the training faces, and knows them better than it will know others. So the crops to learn from are
disturbed as those were that the network learned from, and no start needs to be moved besides; `perturbed` is there to
ask what a fit does with starts that are worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from benchmarks.cascade.cascade import COORDINATES
from numpy.typing import NDArray

from exalign_engine.exemplars.building import k_means
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.synthetic import rotate
from exalign_engine.geometry.landmarks import N_LANDMARKS, mirror_shapes
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.posterior.residual import sample_map
from exalign_engine.progress import BATCH, Progress
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.faces import FaceMemory

F16 = NDArray[np.float16]
F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

#: Exemplars among which the pose classes are found.
MAX_CLUSTERED = 20_000

#: Standard deviations by which `perturbed` moves starts: shift, box sides; ln of the scale; turn, degrees.
PERTURBATION = (0.02, 0.03, 3.0)


@dataclass(frozen=True)
class Examples:
    """What the network says about crops, and where their landmarks are.

    Attributes:
        local: (N, C, h, w) float16.
        embedding: (N, D) float32.
        starts: (N, 68, 2) float32, the mixture's mean, box frame.
        truths: (N, 68, 2) float32, box frame.
    """

    local: F16
    embedding: F32
    starts: F32
    truths: F32

    def __len__(self) -> int:
        return len(self.starts)

    def inputs(self, shapes: F32, margin: float, rows: NDArray[np.intp] | None = None) -> F32:
        """v of Eq. R1 for shapes (M, 68, 2) of ``rows``, by default all: (M, V)."""
        chosen = np.arange(len(self)) if rows is None else rows
        seen = self.local.shape[1] * N_LANDMARKS
        out = np.empty((len(chosen), seen + self.embedding.shape[1] + COORDINATES), np.float32)
        for i, row in enumerate(chosen):
            out[i, :seen] = sample_map(self.local[row].astype(np.float32), shapes[i], margin).reshape(-1)
        out[:, seen:-COORDINATES] = self.embedding[chosen]
        out[:, -COORDINATES:] = shapes.reshape(len(chosen), -1) - np.float32(0.5)
        return out


def disturbed_crops(faces: FaceMemory, augmenter: Augmenter, draws: int, seed: int) -> Iterator[tuple[U8, F32]]:
    """Crops to learn from: every face ``draws`` times, each time disturbed in another way.

    Args:
        faces: of ``train``.
        augmenter: how crops are disturbed.
        draws: times that each face occurs.
        seed: the crops of face i depend on (seed, i) alone.
    """
    for draw in range(draws):
        for i in range(len(faces)):
            rng = np.random.default_rng([seed, 0xCA5, draw, i])
            sample = augmenter.face(faces.images[i], faces.landmarks[i], rng)
            yield sample.crop, sample.shape


def plain_crops(faces: FaceMemory, augmenter: Augmenter) -> Iterator[tuple[U8, F32]]:
    """Crops to choose by and to measure: every face once, about its true box, undisturbed."""
    for image, points in zip(faces.images, faces.landmarks, strict=True):
        sample = augmenter.plain(image, points)
        yield sample.crop, sample.shape


def collect(
    runtime: Runtime,
    model: PosteriorModel,
    samples: Iterable[tuple[U8, F32]],
    *,
    looks: int = 1,
    flips: bool = False,
    progress: Progress | None = None,
) -> Examples:
    """Let the network look at crops.

    Args:
        runtime: executes the network.
        model: turns scores into the mixture; its displacer is not asked.
        samples: crops (S, S, 3) uint8 with their landmarks (68, 2) in the frame of the crop's box.
        looks: how often the network looks (`exalign_engine.train.config.ExportConfig.looks`); of two, the first counts.
        flips: the mirror image of every crop is an example too, and stands after its crop.
        progress: told how many crops are done.
    """
    parts: list[Examples] = []
    done = 0
    for crops, truths in _batches(samples, flips):
        outputs = runtime.infer(crops)
        if outputs.local is None:
            raise ValueError("the network has no output 'local', which the cascade reads")
        starts = np.stack([model.posterior(row).mixture_mean for row in outputs.scores])
        local, embedding = (a[:, : a.shape[1] // looks] for a in (outputs.local, outputs.embedding))
        parts.append(Examples(local.astype(np.float16), embedding.copy(), starts.astype(np.float32), truths))
        done += len(crops)
        if progress:
            progress(done)
    if not parts:
        raise ValueError("no crops to look at")
    return Examples(*(np.concatenate([getattr(p, name) for p in parts]) for name in Examples.__dataclass_fields__))


def _batches(samples: Iterable[tuple[U8, F32]], flips: bool) -> Iterator[tuple[U8, F32]]:
    crops: list[U8] = []
    truths: list[F32] = []
    for crop, truth in samples:
        crops.append(crop)
        truths.append(truth)
        if flips:
            crops.append(np.ascontiguousarray(crop[:, ::-1]))
            truths.append(mirror_shapes(truth).astype(np.float32))
        if len(crops) >= BATCH:
            yield np.stack(crops), np.stack(truths)
            crops, truths = [], []
    if crops:
        yield np.stack(crops), np.stack(truths)


def pose_classes(exemplars: Exemplars, classes: int = 100, seed: int = 0) -> F32:
    """Centres of the pose classes: k-means of one half of the exemplars, and the mirror images of what it finds.

    Args:
        exemplars: of the bundle.
        classes: even, at most the number of exemplars.
        seed: of k-means.

    Returns:
        (classes, 68, 2) float32, box frame; centre i + classes / 2 mirrors centre i.

    Raises:
        ValueError: there cannot be so many classes.
    """
    half = exemplars.shapes[np.arange(exemplars.count) < exemplars.mirror_of].astype(np.float64)
    if classes % 2 or not 2 <= classes <= 2 * len(half):
        raise ValueError(f"classes is {classes}, must be even and from 2 to {2 * len(half)}")
    rng = np.random.default_rng([seed, 0xCA])
    if len(half) > MAX_CLUSTERED:
        half = half[np.sort(rng.choice(len(half), MAX_CLUSTERED, replace=False))]
    centres = k_means(half, classes // 2, rng)
    return np.concatenate([centres, mirror_shapes(centres)]).astype(np.float32)


def perturbed(examples: Examples, amount: float, seed: int) -> Examples:
    """The same examples from starts that are off: shifted, scaled and turned at random about their centres.

    Args:
        examples: stay as they are.
        amount: in units of `PERTURBATION`.
        seed: of the draws.
    """
    shift, scale, turn = PERTURBATION
    n, rng = len(examples), np.random.default_rng([seed, 0x9E])
    shapes = rotate(examples.starts.astype(np.float64), amount * turn * rng.standard_normal(n))
    centre = shapes.mean(axis=1, keepdims=True)
    shapes = np.exp(amount * scale * rng.standard_normal((n, 1, 1))) * (shapes - centre) + centre
    shapes += amount * shift * rng.standard_normal((n, 1, 2))
    return replace(examples, starts=shapes.astype(np.float32))
