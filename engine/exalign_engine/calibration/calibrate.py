"""Calibration of a bundle: temperature, kernels, pose, presence, clicks, detectors, refiner."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exalign_engine.bundle.atomic_rewrite import rewritten
from exalign_engine.bundle.bundle import Baseline, Bundle, seal, write_baseline, write_refiner
from exalign_engine.calibration.clicks import FACES as CLICK_FACES
from exalign_engine.calibration.clicks import fit_clicks
from exalign_engine.calibration.mixture import (
    FACTORS,
    fit_baseline,
    fit_coverage,
    fit_kernels,
    fit_presence,
    flat_features,
)
from exalign_engine.calibration.pose import error_rows, fit_pose, interval_rows
from exalign_engine.data.face_source import FaceSource
from exalign_engine.data.source import open_faces
from exalign_engine.detect import create_detector, fit_affines
from exalign_engine.geometry.frames import tight_box
from exalign_engine.geometry.head_pose import solve_pose, wrap
from exalign_engine.geometry.landmarks import N_LANDMARKS
from exalign_engine.metrics.accuracy import nrmse, summarise
from exalign_engine.metrics.coverage import coverage_rows, measure
from exalign_engine.metrics.presence import presence_report, presence_scores
from exalign_engine.network.batches import score
from exalign_engine.network.outputs import Runtime
from exalign_engine.posterior.pose import displaced_turn
from exalign_engine.posterior.posterior import PosteriorModel
from exalign_engine.progress import progress_bar
from exalign_engine.refiner.fitting import calibrate_refiner, ready_detectors
from exalign_engine.runtime import create_runtime
from exalign_engine.sampling.augment import Augmenter
from exalign_engine.sampling.augment_config import AugmentConfig
from exalign_engine.sampling.faces import FaceMemory, load_faces

#: Seeds of the crops that presence and the control are fitted on.
PRESENCE_SEED, BASELINE_SEED = 10, 11


#: Disturbed crops of each training face for the control.
BASELINE_ROUNDS = 3


#: Training faces that a detector's affine is fitted on.
DETECTOR_FACES = 600


def calibrate(
    root: Path,
    data: Path,
    *,
    runtime: str = "auto",
    precision: str = "auto",
    threads: int = 2,
    limit: int = 0,
    yunet: Path | None = None,
) -> dict[str, Any]:
    """Fit everything that is not the network, and seal the bundle.

    Args:
        root: the bundle; network.onnx, exemplars.npz, train.toml and manifest.json are there.
        data: faces with splits ``train`` and ``val``.
        runtime: see `exalign_engine.runtime.RUNTIMES`.
        precision: see `exalign_engine.runtime.PRECISIONS`.
        threads: of the network.
        limit: use only so many faces of each split; 0 uses all.
        yunet: YuNet's model file; None fits MTCNN alone.

    Returns:
        The calibration card.
    """
    bundle = Bundle.load(root)
    manifest = bundle.manifest
    network = create_runtime(runtime, bundle.network, threads=threads, precision=precision)
    augmenter = Augmenter(AugmentConfig(), manifest.input_size, manifest.margin)
    train, val = open_faces(data, "train"), open_faces(data, "val")
    val_faces = load_faces(val, limit)

    samples = [augmenter.plain(i, p) for i, p in zip(val_faces.images, val_faces.landmarks, strict=True)]
    truth = np.stack([s.shape for s in samples]).astype(np.float64)
    out = score(network, (s.crop for s in samples), progress_bar(len(samples), "val"))
    images, displacer = [row.image for row in out.rows()], bundle.residual
    print("fitting temperature and kernels …", file=sys.stderr)
    kernels = fit_kernels(out.scores, truth, bundle.exemplars, displacer, images)
    positives, negatives = presence_scores(
        network, val_faces, augmenter, PRESENCE_SEED, progress_bar(4 * len(val_faces), "presence")
    )
    slope, offset = fit_presence(positives, negatives)
    likeliest = replace(
        bundle.calibration,
        temperature=kernels.temperature,
        kernel_scale=kernels.kernel_scale,
        landmark_scale=tuple(float(a) for a in kernels.landmark_scale),
        presence_slope=slope,
        presence_offset=offset,
        card={},
    )
    print("fitting coverage …", file=sys.stderr)
    width = fit_coverage(likeliest, out.scores, truth, bundle.exemplars, displacer, images)
    narrowed = replace(likeliest, kernel_scale=width.factor * kernels.kernel_scale)
    model = PosteriorModel(bundle.exemplars, narrowed, displacer)
    posteriors = [model.posterior(s, i) for s, i in zip(out.scores, images, strict=True)]
    errors = [nrmse(p.mean, t) for p, t in zip(posteriors, truth, strict=True)]
    levels = measure(posteriors, truth, bundle.poses.pose)
    print("fitting the pose …", file=sys.stderr)
    probabilities = [p.probabilities for p in posteriors]
    mean_face = bundle.poses.mean_face
    turned = wrap(solve_pose(truth, mean_face) - np.stack([displaced_turn(p, mean_face) for p in posteriors]))
    pose = fit_pose(probabilities, turned, bundle.poses)
    unlearnt = replace(narrowed, click_slopes=(1.0, 0.0), click_offset=(0.0,) * N_LANDMARKS)
    clicks = fit_clicks(
        PosteriorModel(bundle.exemplars, unlearnt, displacer),
        network,
        val,
        manifest.input_size,
        manifest.margin,
        limit=min(limit or CLICK_FACES, CLICK_FACES),
        threads=threads,
        progress=progress_bar(min(limit or CLICK_FACES, CLICK_FACES, len(val)), "clicks"),
    )
    calibration = replace(
        narrowed,
        pose_scale=pose.scale,
        pose_excess=pose.excess,
        click_slopes=clicks.slopes,
        click_offset=tuple(clicks.offset.tolist()),
    )
    val_features = flat_features(out.features, out.embedding)
    baseline, baseline_card = _fit_control(
        network, load_faces(train, limit), augmenter, val_features, truth.astype(np.float32)
    )
    detectors = _fit_detectors(train, min(limit or DETECTOR_FACES, DETECTOR_FACES), yunet)
    refiner, refiner_card = calibrate_refiner(
        PosteriorModel(bundle.exemplars, calibration, bundle.residual),
        network,
        train,
        val,
        ready_detectors(detectors, yunet),
        manifest.input_size,
        manifest.margin,
        limit=limit,
        bar=progress_bar,
    )
    presence = presence_report(calibration, positives, negatives)
    card = {
        "split": "val",
        "faces": len(val_faces),
        "nll": round(float(levels.nll.mean()), 5),
        "nll_likeliest_kernels": round(float(width.nll[FACTORS.index(1.0)]), 5),
        "kernel_factor": round(width.factor, 5),
        "kernel_factors": [
            {"factor": factor, "nll": round(float(nll), 5), "coverage": np.round(held, 5).tolist()}
            for factor, nll, held in zip(FACTORS, width.nll, width.coverage, strict=True)
        ],
        "nll_by_temperature": {str(t): v for t, v in kernels.curve.items()},
        "coverage": coverage_rows(levels),
        "pose": {
            "intervals": interval_rows(probabilities, turned, bundle.poses, calibration),
            **error_rows(probabilities, turned, truth, bundle.poses),
        },
        "presence": presence,
        "accuracy": [{"boxes": "truth", **summarise(errors)}],
        "baseline": baseline_card,
        "detectors": detectors,
        "refiner": refiner_card,
    }
    accuracy = summarise(errors)
    with rewritten(root) as copy:
        replace(calibration, card=card).write(copy / "calibration.json")
        write_baseline(copy / "baseline.npz", baseline)
        write_refiner(copy / "refiner.npz", refiner)
        (copy / "detectors.json").write_text(json.dumps(detectors, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        seal(copy, replace(manifest, metrics=manifest.metrics | {"val": {"truth": accuracy}}))
    print(
        f"T = {kernels.temperature}, c = {calibration.kernel_scale:.4f}, NLL {card['nll']}; val AUC {accuracy['auc']}, "
        f"failures {accuracy['failure_rate']} %; presence ROC AUC {presence['roc_auc']}",
        file=sys.stderr,
    )
    return card


def _fit_control(
    network: Runtime,
    faces: FaceMemory,
    augmenter: Augmenter,
    val_features: np.ndarray[Any, np.dtype[np.float32]],
    val_shapes: np.ndarray[Any, np.dtype[np.float32]],
) -> tuple[Baseline, dict[str, Any]]:
    """Fit the control on disturbed crops of ``train``, as the network was trained."""
    shapes = []

    def crops() -> Any:
        for round_ in range(BASELINE_ROUNDS):
            for i in range(len(faces)):
                rng = np.random.default_rng([BASELINE_SEED, round_, i])
                sample = augmenter.face(faces.images[i], faces.landmarks[i], rng)
                shapes.append(sample.shape)
                yield sample.crop

    features, embeddings = [], []
    report = progress_bar(BASELINE_ROUNDS * len(faces), "control")
    pending = crops()
    # In pieces, so that the scores of all these crops (K floats each) are never held at once.
    for start in range(0, BASELINE_ROUNDS * len(faces), 256):
        n = min(256, BASELINE_ROUNDS * len(faces) - start)
        out = score(network, (next(pending) for _ in range(n)))
        features.append(out.features)
        embeddings.append(out.embedding)
        report(start + n)
    x = flat_features(np.concatenate(features), np.concatenate(embeddings))
    return fit_baseline(x, np.stack(shapes), val_features, val_shapes)


def _fit_detectors(train: FaceSource, count: int, yunet: Path | None) -> dict[str, Any]:
    """Fit each detector's affine on evenly spaced training faces: what detectors.json holds."""
    detectors = [create_detector("mtcnn")]
    if yunet is not None:
        detectors.append(create_detector("yunet", yunet_model=yunet))
    rows = np.unique(np.linspace(0, len(train) - 1, min(count, len(train))).astype(int))
    pairs = ((train.image(int(i)), tight_box(train.landmarks[i])) for i in rows)
    fitted = fit_affines(pairs, detectors)
    return {name: fit.to_dict() for name, fit in fitted.items()}
