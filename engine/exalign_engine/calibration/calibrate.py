"""Calibration of a bundle: everything in it that is fitted after the network, in the order of `calibrate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exalign_engine.arrays import F64
from exalign_engine.bundle.atomic_rewrite import rewritten
from exalign_engine.bundle.bundle import Baseline, Bundle, seal, sha256, write_baseline
from exalign_engine.bundle.moments_file import Moments, write_moments
from exalign_engine.bundle.occlusion_file import OCCLUSION, write_occlusion
from exalign_engine.bundle.refiner_file import REFINER, write_refiner
from exalign_engine.calibration.clicks import CLICK_FACES, fit_clicks
from exalign_engine.calibration.detector import fit_detectors
from exalign_engine.calibration.heads import ScoredFaces, fit_heads, score_faces
from exalign_engine.calibration.last_level import MomentsMeter
from exalign_engine.calibration.mixture import (
    FACTORS,
    CoverageFit,
    KernelFit,
    fit_baseline,
    fit_coverage,
    fit_kernels,
    flat_features,
)
from exalign_engine.calibration.occlusion import fit_occlusion
from exalign_engine.detect import Detector, FaceBoxMap, convention
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.metrics.accuracy import nrmse, summarise
from exalign_engine.metrics.coverage import coverage_rows, measure
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.calibration import Calibration
from exalign_engine.posterior.occlusion import OcclusionHead
from exalign_engine.posterior.posterior import Posterior, PosteriorModel
from exalign_engine.posterior.residual import ResidualHead
from exalign_engine.progress import progress_bar
from exalign_engine.refiner.fitting import calibrate_refiner
from exalign_engine.refiner.refiner import Refiner
from exalign_engine.sampling.augment import Augmenter, CropSample
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import FaceMemory, LoadedFaces

#: Seed of the crops that the baseline is fitted on.
BASELINE_SEED = 11

#: Disturbed crops of each training face for the baseline.
BASELINE_ROUNDS = 3

#: Crops of the baseline that are scored at once: the scores of all of them (K floats each) are never held together.
BASELINE_CHUNK = 256


@dataclass(frozen=True)
class CalibrationResult:
    """Everything that `calibrate` fits.

    Attributes:
        calibration: with the card.
        baseline: ridge regression from the network's features.
        detectors: what detectors.json holds.
        refiner: of boxes.
        accuracy: of the posterior mean on ``val`` about true boxes.
        moments: what a later fine-tuning needs of ``train``; None where the bundle has no residual.
        occlusion: which landmarks are hidden; None where nothing could be taught.
    """

    calibration: Calibration
    baseline: Baseline
    detectors: dict[str, Any]
    refiner: Refiner
    accuracy: dict[str, Any]
    moments: Moments | None = None
    occlusion: OcclusionHead | None = None


@dataclass(frozen=True)
class MixtureFit:
    """Temperature and kernels.

    Attributes:
        kernels: the likeliest.
        coverage: of regions at each of `FACTORS`.
        calibration: with temperature, and the kernels narrowed by the factor of ``coverage``.
    """

    kernels: KernelFit
    coverage: CoverageFit
    calibration: Calibration


def calibrate(
    bundle: Bundle,
    network: Runtime,
    train: LoadedFaces,
    val: LoadedFaces,
    detectors: Sequence[Detector],
    *,
    threads: int = 2,
) -> CalibrationResult:
    """Fit everything that is not the network.

    Args:
        bundle: its network, exemplars, residual and manifest.
        network: executes the bundle's network.
        train: faces that baseline, detectors and refiner are fitted on.
        val: faces that all else is fitted on.
        detectors: whose boxes are to be understood; one that answers the boxes of another is not fitted.
        threads: that simulate clicks.
    """
    size = bundle.manifest.input_size, bundle.manifest.margin
    augmenter = Augmenter(AugmentConfig(), *size)
    scored = score_faces(network, val.memory, augmenter)
    mixture = fit_mixture(bundle, scored)
    posteriors = scored.posteriors(PosteriorModel(bundle.exemplars, mixture.calibration, bundle.residual))
    heads = fit_heads(bundle, mixture.calibration, network, train.memory, val.memory, scored)
    calibration = with_clicks(heads.calibration, bundle, network, val, threads)
    model = PosteriorModel(bundle.exemplars, calibration, bundle.residual)
    kept = None if bundle.residual is None else MomentsMeter(model, bundle.residual, len(train.memory))
    baseline, baseline_card = fit_baseline_on_crops(network, train.memory, augmenter, scored, kept)
    detectors = [d for d in detectors if convention(d.name) == d.name]
    fitted_detectors = fit_detectors(train.source, detectors, train.limit)
    boxes = {d.name: (d, FaceBoxMap.of_entry(fitted_detectors[d.name])) for d in detectors}
    refiner, refiner_card = calibrate_refiner(
        model, network, train.source, val.source, boxes, *size, limit=val.limit, bar=progress_bar
    )
    accuracy = summarise([nrmse(p.mean, t) for p, t in zip(posteriors, scored.truth, strict=True)])
    occlusion = fit_occlusion(bundle, calibration, network, train.memory, val.memory)
    card = {
        **mixture_card(bundle, mixture, posteriors, scored.truth),
        "pose": heads.pose,
        "presence": heads.presence,
        "accuracy": [{"boxes": "truth", **accuracy}],
        "baseline": baseline_card,
        "detectors": fitted_detectors,
        "refiner": refiner_card,
        **({} if occlusion is None else {"occlusion": occlusion.card}),
    }
    calibration, moments = replace(calibration, card=card), None if kept is None else kept.moments
    head = None if occlusion is None else occlusion.head
    return CalibrationResult(calibration, baseline, fitted_detectors, refiner, accuracy, moments, head)


def write_calibration(bundle: Bundle, result: CalibrationResult) -> None:
    """Put what was fitted into the bundle's files and seal it, whole or not at all."""
    with rewritten(bundle.path) as copy:
        result.calibration.write(copy / "calibration.json")
        write_baseline(copy / "baseline.npz", result.baseline)
        write_refiner(copy / REFINER, result.refiner)
        (copy / OCCLUSION).unlink(missing_ok=True)
        if result.occlusion is not None:
            write_occlusion(copy / OCCLUSION, result.occlusion)
        if result.moments is not None:
            write_moments(copy, result.moments, sha256(copy / "residual.npz"))
        text = json.dumps(result.detectors, indent=1, sort_keys=True) + "\n"
        (copy / "detectors.json").write_text(text, encoding="utf-8")
        metrics = bundle.manifest.metrics | {"val": {"truth": result.accuracy}}
        seal(copy, replace(bundle.manifest, metrics=metrics))


def summary_line(result: CalibrationResult) -> str:
    """One line for people."""
    calibration, accuracy = result.calibration, result.accuracy
    card = calibration.card
    return (
        f"T = {calibration.temperature}, c = {calibration.kernel_scale:.4f}, NLL {card['nll']}; "
        f"val AUC {accuracy['auc']}, failures {accuracy['failure_rate']} %; "
        f"presence ROC AUC {card['presence']['roc_auc']}"
    )


def fit_mixture(bundle: Bundle, scored: ScoredFaces) -> MixtureFit:
    """Fit temperature and kernels; then narrow the kernels until regions hold what they state."""
    scores, displacer = scored.outputs.scores, bundle.residual
    print("fitting temperature and kernels …", file=sys.stderr)
    kernels = fit_kernels(scores, scored.truth, bundle.exemplars, displacer, scored.images)
    likeliest = replace(
        bundle.calibration,
        temperature=kernels.temperature,
        kernel_scale=kernels.kernel_scale,
        landmark_scale=tuple(float(a) for a in kernels.landmark_scale),
        presence_embedding=(),
        card={},
    )
    print("fitting coverage …", file=sys.stderr)
    coverage = fit_coverage(likeliest, scores, scored.truth, bundle.exemplars, displacer, scored.images)
    return MixtureFit(kernels, coverage, replace(likeliest, kernel_scale=coverage.factor * kernels.kernel_scale))


def with_clicks(
    calibration: Calibration, bundle: Bundle, network: Runtime, val: LoadedFaces, threads: int
) -> Calibration:
    """The calibration with what clicks are worth, fitted on clicks simulated on ``val``."""
    unlearnt = replace(calibration, click_slopes=(1.0, 0.0), click_offset=(0.0,) * N_LANDMARKS)
    limit = min(val.limit or CLICK_FACES, CLICK_FACES)
    clicks = fit_clicks(
        PosteriorModel(bundle.exemplars, unlearnt, bundle.residual),
        network,
        val.source,
        bundle.manifest.input_size,
        bundle.manifest.margin,
        limit=limit,
        threads=threads,
        progress=progress_bar(min(limit, len(val.source)), "clicks"),
    )
    return replace(calibration, click_slopes=clicks.slopes, click_offset=tuple(clicks.offset.tolist()))


def fit_baseline_on_crops(
    network: Runtime, faces: FaceMemory, augmenter: Augmenter, val: ScoredFaces, meter: MomentsMeter | None = None
) -> tuple[Baseline, dict[str, Any]]:
    """Fit the baseline on disturbed crops of ``train``, as the network was trained; ``meter`` sees them too."""
    shapes = []

    def crops() -> Iterator[NDArray[np.uint8]]:
        for round_ in range(BASELINE_ROUNDS):
            for i in range(len(faces)):
                sample = _disturbed(faces, augmenter, round_, i)
                shapes.append(sample.shape)
                yield sample.crop

    features, embeddings = [], []
    count = BASELINE_ROUNDS * len(faces)
    report = progress_bar(count, "baseline")
    pending = crops()
    for start in range(0, count, BASELINE_CHUNK):
        n = min(BASELINE_CHUNK, count - start)
        out = score(network, (next(pending) for _ in range(n)))
        features.append(out.features)
        embeddings.append(out.embedding)
        if meter is not None:
            meter.see(out, np.stack(shapes[start:]))
        report(start + n)
    x = flat_features(np.concatenate(features), np.concatenate(embeddings))
    val_features = flat_features(val.outputs.features, val.outputs.embedding)
    return fit_baseline(x, np.stack(shapes), val_features, val.truth.astype(np.float32))


def measure_moments(bundle: Bundle, network: Runtime, head: ResidualHead, faces: FaceMemory) -> Moments:
    """What `calibrate` keeps of ``train`` for a later fine-tuning, alone; ``head`` is the bundle's residual."""
    augmenter = Augmenter(AugmentConfig(), bundle.manifest.input_size, bundle.manifest.margin)
    meter = MomentsMeter(PosteriorModel(bundle.exemplars, bundle.calibration, head), head, len(faces))
    report = progress_bar(len(faces), "moments")
    for start in range(0, len(faces), BASELINE_CHUNK):
        some = range(start, min(start + BASELINE_CHUNK, len(faces)))
        samples = [_disturbed(faces, augmenter, 0, i) for i in some]
        meter.see(score(network, (s.crop for s in samples)), np.stack([s.shape for s in samples]))
        report(some.stop)
    return meter.moments


def _disturbed(faces: FaceMemory, augmenter: Augmenter, round_: int, face: int) -> CropSample:
    """A crop of ``train`` as the network was trained with."""
    rng = np.random.default_rng([BASELINE_SEED, round_, face])
    return augmenter.face(faces.images[face], faces.landmarks[face], rng)


def mixture_card(bundle: Bundle, mixture: MixtureFit, posteriors: Sequence[Posterior], truth: F64) -> Mapping[str, Any]:
    """The card's figures of kernels and regions on ``val``."""
    kernels, coverage = mixture.kernels, mixture.coverage
    levels = measure(posteriors, truth, bundle.poses.pose)
    return {
        "split": "val",
        "faces": len(truth),
        "nll": round(float(levels.nll.mean()), 5),
        "nll_likeliest_kernels": round(float(coverage.nll[FACTORS.index(1.0)]), 5),
        "kernel_factor": round(coverage.factor, 5),
        "kernel_factors": [
            {"factor": factor, "nll": round(float(nll), 5), "coverage": np.round(held, 5).tolist()}
            for factor, nll, held in zip(FACTORS, coverage.nll, coverage.coverage, strict=True)
        ],
        "nll_by_temperature": {str(t): v for t, v in kernels.curve.items()},
        "coverage": coverage_rows(levels),
    }
