"""The answer of GetModel."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from exalign.v1 import geometry_pb2, model_pb2, service_pb2
from exalign_engine.bundle.bundle import MANIFEST
from exalign_engine.detect import convention, understood
from exalign_engine.evidence.evidence import MAX_POSES, MAX_REGIONS, MAX_VERTICES
from exalign_engine.face.aligner import Aligner
from exalign_engine.geometry.boxes import MAX_FACES, MIN_BOX_SIDE
from exalign_engine.geometry.landmarks import NAMES
from exalign_engine.heatmaps.marginals import MAX_CELLS
from exalign_engine.posterior.pose import MAX_BINS, MAX_INTERVALS, MIN_BIN_WIDTH
from exalign_engine.tracking import MAX_PATH_FRAMES, MAX_SMOOTHING_LAG
from exalign_service.config.schema import ServerConfig
from exalign_service.requests.evidence import MAX_CLICKS, MAX_CONSTRAINTS
from exalign_service.rpc.options import SHORTEST_PING_INTERVAL


def describe(aligner: Aligner, config: ServerConfig) -> service_pb2.GetModelResponse:
    """Everything that a caller may want to know; it does not change while the server runs."""
    bundle, manifest, runtime = aligner.bundle, aligner.bundle.manifest, aligner.runtime
    threshold = config.model.presence_threshold
    response = service_pb2.GetModelResponse(
        bundle_id=bundle.id,
        files=[
            model_pb2.BundleFile(path=name, sha256=digest, size_bytes=(bundle.path / name).stat().st_size)
            for name, digest in sorted({**manifest.files, MANIFEST: bundle.id}.items())
        ],
        model=model_pb2.ModelInfo(
            exemplars=manifest.exemplars,
            landmarks=manifest.landmarks,
            input_size=manifest.input_size,
            margin=manifest.margin,
            tau=manifest.tau,
            temperature=bundle.calibration.temperature,
            landmark_names=NAMES,
        ),
        runtime=model_pb2.RuntimeInfo(
            name=runtime.name,
            version=runtime.version,
            precision=runtime.precision,
            device=runtime.device,
            reason=runtime.reason,
            max_batch=config.batching.max_batch,
        ),
        limits=_limits(config),
        detectors=_detectors(aligner, config.model.detector or aligner.default_detector),
        calibration=_calibration(aligner),
        presence_threshold=bundle.calibration.presence_threshold if threshold is None else threshold,
        licences=[model_pb2.Licence(subject=e.subject, name=e.name, terms=e.terms) for e in manifest.licences],
        training_data=manifest.training_data,
        server_version=version("exalign"),
    )
    return response


def _limits(config: ServerConfig) -> model_pb2.Limits:
    """What is accepted."""
    limits, sessions = config.limits, config.sessions
    message = model_pb2.Limits(
        max_message_bytes=limits.max_message_bytes,
        max_answer_bytes=limits.max_answer_bytes,
        max_encoded_bytes=limits.max_encoded_bytes,
        max_pixels=limits.max_pixels,
        max_faces=limits.max_faces,
        min_box_side=MIN_BOX_SIDE,
        max_landmark_groups=limits.max_landmark_groups,
        max_top_exemplars=limits.max_top_exemplars,
        max_heatmap_side=MAX_CELLS,
        max_constraints=MAX_CONSTRAINTS,
        max_exemplars=limits.max_exemplars,
        max_queue=config.batching.queue,
        max_posteriors=limits.max_posteriors,
        max_sessions=sessions.max_sessions,
        max_smoothing_lag=MAX_SMOOTHING_LAG,
        max_unacked_frames=sessions.max_unacked_frames,
        max_path_frames=MAX_PATH_FRAMES,
        max_posterior_bytes=limits.max_posterior_bytes,
        max_sessions_per_caller=sessions.max_sessions_per_caller,
        max_unacked_bytes=sessions.max_unacked_bytes,
        max_unacked_bytes_per_caller=sessions.max_unacked_bytes_per_caller,
        max_request_bytes=limits.max_request_bytes,
        max_message_rate=sessions.max_message_rate,
        message_burst=sessions.message_burst,
        max_resumable_bytes=sessions.max_resumable_bytes,
        max_tracks=min(limits.max_faces, MAX_FACES),
        max_pose_bins=MAX_BINS,
        min_pose_bin_width=MIN_BIN_WIDTH,
        max_pose_intervals=MAX_INTERVALS,
        max_clicks=MAX_CLICKS,
        max_regions=MAX_REGIONS,
        max_pose_ranges=MAX_POSES,
        max_polygon_vertices=MAX_VERTICES,
    )
    durations = (
        (message.max_deadline, limits.max_deadline),
        (message.max_wait, limits.max_wait),
        (message.max_decode_time, limits.max_decode_seconds),
        (message.session_idle_timeout, sessions.session_idle_timeout),
        (message.session_max_age, sessions.session_max_age),
        (message.session_grace, sessions.session_grace),
        (message.session_retention, sessions.session_retention),
        (message.min_ping_interval, SHORTEST_PING_INTERVAL),
    )
    for duration, seconds in durations:
        duration.FromNanoseconds(round(seconds * 1e9))
    return message


def _detectors(aligner: Aligner, default: str) -> list[model_pb2.DetectorInfo]:
    """What the bundle knows, and what runs here and answers boxes that the bundle knows."""
    known, here = aligner.bundle.detectors, aligner.detectors
    return [
        model_pb2.DetectorInfo(
            name=name,
            available=name in here,
            is_default=name == default,
            min_score=here[name].min_score if name in here else 0.0,
            dx=known[convention(name)].dx,
            dy=known[convention(name)].dy,
            scale=known[convention(name)].scale,
        )
        for name in sorted({*known, *understood(here, known)})
    ]


def _calibration(aligner: Aligner) -> model_pb2.CalibrationCard:
    """The card as far as the bundle has it: one that was never calibrated has none, and nothing is made up."""
    calibration = aligner.bundle.calibration
    message = model_pb2.CalibrationCard(
        kernel_scale=calibration.kernel_scale, landmark_factors=calibration.landmark_scale
    )
    card: dict[str, Any] = calibration.card
    if not card:
        return message
    message.split, message.faces, message.nll = card["split"], card["faces"], card["nll"]
    message.presence_roc_auc = card["presence"]["roc_auc"]
    for bin_ in card["presence"]["reliability"]:
        message.presence_reliability.add(**bin_)
    for row in card.get("coverage", ()):  # a card from before coverage was measured has none
        yaw = row["yaw"]
        message.coverage.add(
            group=row["group"],
            yaw=None if yaw is None else geometry_pb2.Interval(lower=yaw[0], upper=yaw[1]),
            nominal=row["nominal"],
            observed=row["observed"],
            landmarks=row["landmarks"],
        )
    for row in card["accuracy"]:
        message.accuracy.add(
            boxes=row["boxes"],
            faces=row["n"],
            nrmse_mean=row["nrmse_mean"],
            auc=row["auc"],
            failure_rate=row["failure_rate"],
            missed=row["missed"],
        )
    return message
