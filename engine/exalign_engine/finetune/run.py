"""Fine-tuning from faces to a bundle, or to the word that it would gain nothing."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from exalign_engine.arrays import F64
from exalign_engine.bundle.bundle import Bundle, seal, sha256, write_residual
from exalign_engine.bundle.moments_file import Moments, read_moments, write_moments
from exalign_engine.calibration.last_level import LastLevel, last_weight, see_last_level
from exalign_engine.calibration.mixture import fit_coverage
from exalign_engine.errors import BundleError, DataError
from exalign_engine.finetune.fitting import MOST_MOVED, Chosen, auc, choose, errors, folds, try_strengths
from exalign_engine.metrics.accuracy import FAILURE
from exalign_engine.metrics.coverage import MASSES, landmark_levels
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import FaceOutputs, Runtime
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.posterior.residual import Displacer, ImageFeatures, Level, ResidualHead
from exalign_engine.progress import Progress
from exalign_engine.sampling.augment import Augmenter, CropSample
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import FaceMemory

#: Fewest faces: folds of three.
LEAST_FACES = 18

#: Disturbed crops of each face, as in training.
ROUNDS = 15

#: Seed of the disturbances.
SEED = 24

#: A gain counts where its mean less so many standard errors is above 0: chance passes once in twenty times.
STANDARD_ERRORS = 1.645

#: Factors of the kernels' width: on faces that training never saw, regions may be far too narrow.
KERNEL_FACTORS = (0.5, 1.0, 2.0, 4.0, 8.0)

#: Faces whose regions are measured, evenly spaced.
REGION_FACES = 200

#: Crops that are seen at once: K scores of each are held.
CHUNK = 64


@dataclass(frozen=True)
class FineTuned:
    """What was found.

    Attributes:
        chosen: the strength and its fits.
        before: (F,) NRMSE of each face by the bundle as it was.
        figures: for people and for the card.
        head: the residual with its last level changed.
        kernel_factor: of the kernels' width, by the regions of faces that were left out.
    """

    chosen: Chosen
    before: F64
    figures: dict[str, Any]
    head: ResidualHead
    kernel_factor: float

    @property
    def gained(self) -> bool:
        """Whether the faces that were left out are answered better, by more than chance does."""
        return bool(self.figures["gain"] > STANDARD_ERRORS * self.figures["standard_error"])


def moments_of(bundle: Bundle) -> Moments:
    """What the bundle keeps of its training faces.

    Raises:
        BundleError: it has no residual, or keeps nothing of them.
    """
    inputs = residual_of(bundle).levels[-1].weight.shape[1] + 1
    return read_moments(bundle.path, bundle.manifest.files["residual.npz"], inputs)


def residual_of(bundle: Bundle) -> ResidualHead:
    """What is fine-tuned.

    Raises:
        BundleError: the bundle has none.
    """
    if bundle.residual is None:
        raise BundleError(bundle.path / "residual.npz", "is missing: fine-tuning changes the residual alone")
    return bundle.residual


def checked(bundle: Bundle, faces: int) -> Moments:
    """What the bundle keeps of its training faces, if all is there that `fine_tune` needs.

    Raises:
        BundleError: see `moments_of`.
        DataError: there are too few faces.
    """
    moments = moments_of(bundle)
    if faces < LEAST_FACES:
        raise DataError("--data", f"has {faces} faces, fine-tuning needs at least {LEAST_FACES}")
    return moments


def fine_tune(
    bundle: Bundle,
    network: Runtime,
    faces: FaceMemory,
    *,
    most_moved: float = MOST_MOVED,
    progress: Progress | None = None,
) -> FineTuned:
    """Fit the last level to faces, and judge it by faces that were left out.

    Args:
        bundle: that is fine-tuned; it stays as it is.
        network: executes its network.
        faces: of the user's; neighbours are left out together.
        most_moved: by how much landmarks of faces as the bundle knew before may move, box sides, root mean square.
        progress: told how many of `crops_of` the faces are seen.

    Raises:
        BundleError: see `checked`.
        DataError: likewise.
    """
    moments, head = checked(bundle, len(faces)), residual_of(bundle)
    model = PosteriorModel(bundle.exemplars, bundle.calibration, head)
    augmenter = Augmenter(AugmentConfig(), bundle.manifest.input_size, bundle.manifest.margin)
    looks = _Looks(model, head, network, progress)
    samples = [augmenter.plain(i, p) for i, p in zip(faces.images, faces.landmarks, strict=True)]
    plain = looks.at(samples)
    parts = [looks.at(_disturbed(faces, fold, augmenter)) for fold in folds(len(faces))]
    weight = last_weight(head)
    before = errors(plain, weight)
    chosen = choose(try_strengths(parts, plain, weight, moments.second), most_moved)
    some = np.linspace(0, len(faces) - 1, min(len(faces), REGION_FACES)).astype(int).tolist()
    rows = score(network, (samples[i].crop for i in some)).rows()
    factor, regions = _regions(bundle, dict(zip(some, rows, strict=True)), plain.truth, weight, chosen)
    return FineTuned(
        chosen, before, _figures(chosen, before) | regions, with_last(head, weight + chosen.taken.change), factor
    )


def crops_of(faces: int) -> int:
    """How many crops `fine_tune` looks at."""
    return faces * (1 + ROUNDS)


class _Looks:
    """Runs the network over crops, and reports how many it has seen."""

    def __init__(self, model: PosteriorModel, head: ResidualHead, network: Runtime, progress: Progress | None) -> None:
        self._model, self._head, self._network, self._progress, self._done = model, head, network, progress, 0

    def at(self, samples: Sequence[CropSample]) -> LastLevel:
        """What the last level saw of them."""
        seen = []
        for start in range(0, len(samples), CHUNK):
            some = samples[start : start + CHUNK]
            rows = score(self._network, (s.crop for s in some)).rows()
            seen.append(see_last_level(self._model, self._head, rows, np.stack([s.shape for s in some])))
            self._done += len(some)
            if self._progress:
                self._progress(self._done)
        return LastLevel.joined(seen)


def _disturbed(faces: FaceMemory, fold: range, augmenter: Augmenter) -> list[CropSample]:
    """Crops of some faces as training makes them."""
    return [
        augmenter.face(faces.images[i], faces.landmarks[i], np.random.default_rng([SEED, round_, i]))
        for i in fold
        for round_ in range(ROUNDS)
    ]


def with_last(head: ResidualHead, weight: F64) -> ResidualHead:
    """The residual with another last level, rounded to the half precision in which it is stored."""
    last = head.levels[-1]
    matrix, bias = weight[:, :-1].astype(np.float16).astype(np.float32), weight[:, -1].astype(np.float32)
    return replace(head, levels=(*head.levels[:-1], Level(last.hidden_weight, last.hidden_bias, matrix, bias)))


def _figures(chosen: Chosen, before: F64) -> dict[str, Any]:
    """What is said of the faces that were left out."""
    gain = np.maximum(0, 1 - chosen.errors / FAILURE) - np.maximum(0, 1 - before / FAILURE)
    return {
        "faces": len(before),
        "auc_before": round(auc(before), 5),
        "auc": round(auc(chosen.errors), 5),
        "gain": round(float(gain.mean()), 5),
        "standard_error": round(float(gain.std(ddof=1) / np.sqrt(len(gain))), 5),
        "strength": chosen.taken.strength,
        "moved_elsewhere": round(chosen.taken.moved, 6),
    }


class _LeftOut:
    """A displacer that moves each face by the fit that had not seen it.

    Args:
        heads: by the identity of what the network saw.
    """

    def __init__(self, heads: Mapping[int, ResidualHead]) -> None:
        self._heads = heads

    def displacement(self, image: ImageFeatures, start: F64) -> F64:
        """See `exalign_engine.posterior.residual.Displacer`."""
        return self._heads[id(image)].displacement(image, start)


def _regions(
    bundle: Bundle, rows: Mapping[int, FaceOutputs], truth: F64, weight: F64, chosen: Chosen
) -> tuple[float, dict[str, Any]]:
    """The kernels' factor by which regions hold what they state, by faces that were left out; and what they hold.

    Args:
        bundle: that is fine-tuned.
        rows: of some faces about their true boxes, by their place among all.
        truth: (F, 68, 2) of all faces.
        weight: W.
        chosen: with the fits that had not seen each fold.
    """
    head, calibration = residual_of(bundle), bundle.calibration
    heads = {
        id(rows[face].image): with_last(head, weight + change)
        for fold, change in zip(folds(len(truth)), chosen.left_out, strict=True)
        for face in fold
        if face in rows
    }
    left_out, wanted = _LeftOut(heads), truth[list(rows)]
    scores, images = np.stack([row.scores for row in rows.values()]), [row.image for row in rows.values()]
    fit = fit_coverage(calibration, scores, wanted, bundle.exemplars, left_out, images, KERNEL_FACTORS)
    factor = fit.factor
    narrowed = replace(calibration, kernel_scale=factor * calibration.kernel_scale)

    def held(displacer: Displacer, calibration: Calibration) -> dict[str, float]:
        model = PosteriorModel(bundle.exemplars, calibration, displacer)
        levels = [landmark_levels(model.posterior(s, i), t)[0] for s, i, t in zip(scores, images, wanted, strict=True)]
        return {str(mass): round(100 * float((np.stack(levels) <= mass / 100).mean()), 2) for mass in MASSES}

    return factor, {
        "coverage_before": held(head, calibration),
        "coverage": held(left_out, narrowed),
        "kernel_factor": round(factor, 4),
    }


def write_fine_tuned(bundle: Bundle, found: FineTuned, data: Path, out: Path) -> None:
    """Write a bundle of its own: the old one but for the residual's last level and the kernels' width.

    Everything that hangs on the network alone is as it was. What the old one kept of its training faces goes along, so
    that what is moved elsewhere is held against them again by the next fine-tuning.

    Args:
        bundle: that was fine-tuned.
        found: see `fine_tune`.
        data: folder of the faces; its name goes into the manifest.
        out: directory to write; must not be there.
    """
    moments = moments_of(bundle)
    partial = out.with_name(out.name + ".new")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(bundle.path, partial, ignore=shutil.ignore_patterns("MODEL_CARD.md"))
    write_residual(partial / "residual.npz", found.head)
    write_moments(partial, moments, sha256(partial / "residual.npz"))
    calibration = bundle.calibration
    replace(
        calibration,
        kernel_scale=found.kernel_factor * calibration.kernel_scale,
        card=calibration.card | {"fine_tuning": found.figures},
    ).write(partial / "calibration.json")
    manifest = bundle.manifest
    note = f"; its residual was fine-tuned to {found.figures['faces']} faces of {data.resolve().name}"
    seal(
        partial,
        replace(
            manifest,
            name=f"{manifest.name}-finetuned",
            created=datetime.datetime.now(datetime.UTC).date().isoformat(),
            training_data=manifest.training_data + note,
            metrics=manifest.metrics | {"fine_tuning": found.figures},
        ),
    )
    partial.rename(out)
