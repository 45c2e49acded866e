"""Which landmarks are hidden: the head of `exalign_engine.posterior.occlusion`, taught and made sure.

It is taught on faces of ``train`` behind drawn occluders (`exalign_engine.sampling.occluded`), and on such that are
turned away and hide parts of themselves (`exalign_engine.sampling.profiled`). The network stays as it is: each crop is
looked at once, and what the head reads of it is kept. α and β are fitted on ``val``, each face once clean and once
behind an occluder.
docs/decisions/occlusion.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.bundle.atomic_rewrite import rewritten
from exalign_engine.bundle.bundle import Bundle, seal
from exalign_engine.bundle.occlusion_file import OCCLUSION, write_occlusion
from exalign_engine.calibration.occlusion_learning import EPOCHS, Looks, learn, sureness
from exalign_engine.errors import InvalidInputError
from exalign_engine.geometry.landmarks import MIRROR
from exalign_engine.metrics.occlusion import occlusion_report
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.occlusion import OcclusionHead, SeenLandmarks, seen_at
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import progress_bar
from exalign_engine.sampling.faces import FaceMemory
from exalign_engine.sampling.occluded import OccludedCrop, disturbed_crops, plain_crops
from exalign_engine.sampling.occluders import TAUGHT
from exalign_engine.sampling.profiled import level_face, profiled_crops

#: Rounds over the faces of ``train``; faces that are turned, and pictures of each; seeds.
ROUNDS, TURNED_FACES, TURNED_PICTURES = 4, 1200, 2
TRAIN_SEED, TURNED_SEED, VAL_SEED = 91, 27, 92

#: Fewer faces of ``train`` teach a head that is worth nothing.
LEAST_FACES = 200

#: What hides a landmark that the head itself hides.
TURNED = "turned"

#: Crops that are scored at once: the scores of all of them (K floats each) are never held together.
CHUNK = 64


@dataclass(frozen=True)
class OcclusionFit:
    """What `fit_occlusion` found.

    Attributes:
        head: with α and β.
        card: figures on ``val``.
    """

    head: OcclusionHead
    card: dict[str, Any]


@dataclass(frozen=True)
class SeenCrop:
    """What the head reads of a crop, and what is known of it."""

    seen: SeenLandmarks
    hidden: NDArray[np.bool_]
    kind: str


def look_at(
    bundle: Bundle, calibration: Calibration, network: Runtime, crops: Iterable[OccludedCrop]
) -> Iterator[SeenCrop]:
    """Look at crops, a few at a time.

    Raises:
        ValueError: the network has no map that a residual reads.
    """
    model, waiting = PosteriorModel(bundle.exemplars, calibration, bundle.residual), iter(crops)
    while some := list(islice(waiting, CHUNK)):
        for crop, row in zip(some, score(network, (c.crop for c in some)).rows(), strict=True):
            if row.image is None or bundle.residual is None:
                raise ValueError("the network has no output 'local', or the bundle no residual that reads it")
            shape = model.posterior(row.scores, row.image, row.sums).mean
            seen = seen_at(row.image, bundle.residual.looks(row.image), shape, bundle.manifest.margin)
            yield SeenCrop(seen, crop.hidden, crop.kind)


def fit_occlusion(
    bundle: Bundle, calibration: Calibration, network: Runtime, train: FaceMemory, val: FaceMemory
) -> OcclusionFit | None:
    """Teach a head; None where the bundle has no residual, whose map it reads, or faces are few (`LEAST_FACES`).

    Args:
        bundle: its exemplars, residual and sizes.
        calibration: temperature and kernels.
        network: executes the bundle's network.
        train: faces that the head is taught on.
        val: faces that tell how sure it may be.
    """
    if bundle.residual is None or len(train) < LEAST_FACES:
        return None
    size, margin = bundle.manifest.input_size, bundle.manifest.margin
    rounds = (disturbed_crops(train, size, margin, round_, TRAIN_SEED) for round_ in range(ROUNDS))
    count = ROUNDS * len(train)
    taught = chain(chain.from_iterable(rounds), turned_crops(train, level_face(train.landmarks), size, margin))
    looks = _kept(look_at(bundle, calibration, network, taught), count)
    head = learn(looks, margin, progress_bar(EPOCHS, "occlusion"))
    # As it will be read from its file.
    head = OcclusionHead.of_arrays(head.to_arrays(), margin)
    judged = list(look_at(bundle, calibration, network, plain_crops(val, size, margin, TAUGHT, None, VAL_SEED)))
    scores, hidden = np.stack([head.scores_of(c.seen) for c in judged]), np.stack([c.hidden for c in judged])
    kinds = [c.kind for c in judged]
    head = replace(head, sureness=np.array(sureness(scores, hidden), np.float32))
    card = {"split": "val", "kinds_taught": sorted(TAUGHT), "crops_taught": len(looks)}
    return OcclusionFit(head, card | occlusion_report(head.sure(scores), hidden, kinds))


def recalibrate_occlusion(bundle: Bundle, network: Runtime, train: FaceMemory, val: FaceMemory) -> OcclusionFit:
    """Teach the head of a bundle whose other files stay.

    Raises:
        InvalidInputError: the bundle has no residual, whose map the head reads, or there are too few faces.
    """
    if len(train) < LEAST_FACES:
        raise InvalidInputError.of("--data", f"has {len(train)} faces of train, must have {LEAST_FACES} at least")
    found = fit_occlusion(bundle, bundle.calibration, network, train, val)
    if found is None:
        raise InvalidInputError.of("--bundle", "has no residual.npz, whose map tells which landmarks are hidden")
    return found


def turned_crops(faces: FaceMemory, face: F64, size: int, margin: float) -> Iterator[OccludedCrop]:
    """Faces that are turned away, and which landmarks they hide from the camera themselves."""
    turned = profiled_crops(faces, face, size, margin, limit=TURNED_FACES, pictures=TURNED_PICTURES, seed=TURNED_SEED)
    return (OccludedCrop(c.crop, c.hidden, TURNED) for c in turned)


def _kept(crops: Iterator[SeenCrop], about: int) -> Looks:
    """All looks, in half precision; of the second ones the landmarks are mirrored.

    Args:
        crops: to be looked at.
        about: how many, for the progress.
    """
    places, summary, hidden = [], [], []
    report = progress_bar(about, "occluders")
    for done, crop in enumerate(crops, start=1):
        places.append(crop.seen.places.astype(np.float16))
        summary.append(crop.seen.summary.astype(np.float16))
        hidden.append(np.stack([crop.hidden, crop.hidden[MIRROR]])[: len(crop.seen.summary)])
        if done <= about:
            report(done)
    return Looks(np.concatenate(places), np.concatenate(summary), np.concatenate(hidden))


def write_occlusion_fit(bundle: Bundle, fit: OcclusionFit) -> None:
    """Put the head into the bundle's files and seal it, whole or not at all."""
    card = {**bundle.calibration.card, "occlusion": fit.card}
    with rewritten(bundle.path) as copy:
        write_occlusion(copy / OCCLUSION, fit.head)
        replace(bundle.calibration, card=card).write(copy / "calibration.json")
        seal(copy, bundle.manifest)


def occlusion_line(fit: OcclusionFit) -> str:
    """One line for people."""
    card = fit.card
    return (
        f"hidden landmarks of val: ROC AUC {card['roc_auc']}, expected calibration error "
        f"{card['expected_calibration_error']}, {card['flagged_clean']} % of clean ones flagged"
    )
