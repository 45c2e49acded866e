"""The faces of the sweeps, read and disturbed once for all runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from exalign_engine.data.face_source import FaceSource, box_frame_shapes
from exalign_engine.evaluation.reproduction.runs import AUGMENT, BATCH, NETWORK, REAL_AUGMENT, Run
from exalign_engine.exemplars.building import build, make_recipe, mirrored_exemplars
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.geometry.head_pose import ROLL, YAW, fit_mean_face, solve_pose
from exalign_engine.metrics.subsets import ONE_IN, difficult_subsets
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import FaceMemory, load_faces, with_turned
from exalign_engine.train.batches import Batch, plain_batches, training_batches
from exalign_engine.train.config import ExemplarConfig

#: Seed of classes and samples: they are the same for all runs.
SWEEP_SEED = 1

#: Training faces, evenly spaced, that errors are measured on.
TRAIN_FACES = 600


@dataclass
class SweepFaces:
    """Training and validation faces, and what is made of them; made when first asked for, then kept.

    Args:
        train: faces to learn from.
        val: faces to measure on.
        epochs: differently disturbed samples of each training face.
    """

    train: FaceSource
    val: FaceSource
    epochs: int
    _samples: dict[bool, Batch] = field(default_factory=dict)
    _exemplars: dict[tuple[int, int], Exemplars] = field(default_factory=dict)

    @cached_property
    def memory(self) -> FaceMemory:
        """The training faces, each also turned in 3-D."""
        faces = load_faces(self.train)
        mean_face = fit_mean_face(box_frame_shapes(faces.landmarks))
        return with_turned(faces, mean_face, AUGMENT.turned_pictures, AUGMENT.turn_deg, SWEEP_SEED)

    def samples(self, synthetic: bool) -> Batch:
        """Every disturbed sample, with or without synthetic poses: epoch e's are the e-th part."""
        if synthetic not in self._samples:
            augmenter = _augmenter(AUGMENT if synthetic else REAL_AUGMENT)
            parts = [
                b for e in range(self.epochs) for b in training_batches(self.memory, augmenter, SWEEP_SEED, e, BATCH)
            ]
            self._samples[synthetic] = _joined(parts)
        return self._samples[synthetic]

    @cached_property
    def plain_train(self) -> Batch:
        """All training faces about their true boxes, undisturbed."""
        return _plain(self.memory)

    @cached_property
    def plain_val(self) -> Batch:
        """All validation faces about their true boxes, undisturbed."""
        return _plain(load_faces(self.val))

    @cached_property
    def measured_train(self) -> Batch:
        """The training faces that errors are measured on."""
        plain = self.plain_train
        rows = np.linspace(0, len(plain.crops) - 1, min(TRAIN_FACES, len(plain.crops))).astype(int)
        return Batch(plain.crops[rows], plain.shapes[rows], plain.is_face[rows])

    @cached_property
    def subsets(self) -> Mapping[str, NDArray[np.intp]]:
        """Difficult validation faces by name: a tenth each (`exalign_engine.metrics.subsets`), and by roll."""
        shapes = box_frame_shapes(self.val.landmarks)
        pose = solve_pose(shapes, fit_mean_face(box_frame_shapes(self.train.landmarks))).astype(np.float64)
        count = -(-len(pose) // ONE_IN)
        rolled = np.sort(np.argsort(-np.abs(pose[:, ROLL]), kind="stable")[:count])
        return difficult_subsets(self.val.landmarks, pose[:, YAW]) | {"large_roll": rolled}

    def exemplars(self, run: Run) -> Exemplars:
        """The classes of a run; those of every pose without v_k, which no run reads."""
        key = (run.k, run.variants)
        if key not in self._exemplars:
            e: ExemplarConfig = run.exemplars
            shapes, ids = box_frame_shapes(self.memory.landmarks), self.memory.ids
            if e.k:
                made = build(shapes, ids, e.tau, variants=e.variants, variation=e.variation, k=e.k, seed=SWEEP_SEED)
            else:
                rng = np.random.default_rng([SWEEP_SEED, 0xE8])  # as `build` draws them
                recipe = make_recipe(shapes, e.variants, e.variation, rng)
                made = mirrored_exemplars(recipe, np.zeros(0, np.float32), tuple(ids))
            self._exemplars[key] = made
        return self._exemplars[key]


def _augmenter(config: AugmentConfig) -> Augmenter:
    return Augmenter(config, NETWORK.input_size, NETWORK.margin)


def _plain(memory: FaceMemory) -> Batch:
    return _joined(list(plain_batches(memory, _augmenter(REAL_AUGMENT), BATCH)))


def _joined(batches: list[Batch]) -> Batch:
    return Batch(
        np.concatenate([b.crops for b in batches]),
        np.concatenate([b.shapes for b in batches]),
        np.concatenate([b.is_face for b in batches]),
    )
