"""Running the occlusion suite: every face clean, and behind one occluder of every kind; and the figures."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np

from exalign_engine.bundle.bundle import Bundle
from exalign_engine.errors import InvalidInputError
from exalign_engine.evaluation.occlusion.kinds import UNSEEN
from exalign_engine.metrics.occlusion import occlusion_report
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import Progress
from exalign_engine.sampling.faces import FaceMemory
from exalign_engine.sampling.occluded import plain_crops

#: Seed of what is before each face.
SEED = 93

#: Crops that are scored at once.
CHUNK = 64

#: Crops of each face.
CROPS = 1 + len(UNSEEN)


def run_occlusion(
    bundle: Bundle, runtime: Runtime, faces: FaceMemory, progress: Progress | None = None
) -> dict[str, Any]:
    """Figures of `exalign_engine.metrics.occlusion.occlusion_report` on faces about their true boxes.

    Args:
        bundle: with occlusion.npz.
        runtime: executes its network.
        faces: that nothing was taught or fitted on.
        progress: told how many of `CROPS` × faces are done.

    Raises:
        InvalidInputError: the bundle cannot tell which landmarks are hidden.
    """
    head = bundle.occlusion
    if head is None:
        raise InvalidInputError.of("--bundle", "has no occlusion.npz: exalign-model calibrate --occlusion writes it")
    model = PosteriorModel(bundle.exemplars, bundle.calibration, bundle.residual)
    waiting = plain_crops(faces, bundle.manifest.input_size, bundle.manifest.margin, UNSEEN, sorted(UNSEEN), SEED)
    stated, hidden, kinds = [], [], []
    while some := list(islice(waiting, CHUNK)):
        for crop, row in zip(some, score(runtime, (c.crop for c in some)).rows(), strict=True):
            assert row.image is not None  # noqa: S101 - for the type checker: the aligner compares them when it starts
            mean = model.posterior(row.scores, row.image, row.sums).mean
            stated.append(head.probabilities(row.image, mean))
            hidden.append(crop.hidden)
            kinds.append(crop.kind)
        if progress:
            progress(len(kinds))
    return occlusion_report(np.stack(stated), np.stack(hidden), kinds)
