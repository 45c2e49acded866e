"""What answers: the model, the runtime that executes it, its limits and its calibration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from google.protobuf.duration_pb2 import Duration

from exalign.summary import summarised
from exalign.v1 import admin_pb2, model_pb2, service_pb2
from exalign_client.json_form import Json, float32_decimal, json_form


@dataclass(frozen=True)
class BundleFile:
    """One file of the bundle: path in its directory, SHA-256 in hexadecimal, size in bytes."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Runtime:
    """What executes the network.

    Attributes:
        name: its name in the server's setting ``runtime``, such as onnxruntime.
        version: its version.
        precision: f32, f16 or int8.
        device: such as "CPU" or the name of the GPU.
        reason: why this runtime and precision, one sentence.
        max_batch: largest batch.
        divergence: mean KL from the reference runtime on the bundle's probe batch, nats; None: not compared.
    """

    name: str
    version: str
    precision: str
    device: str
    reason: str
    max_batch: int
    divergence: float | None


@dataclass(frozen=True)
class Limits:
    """What the server accepts; the fields are those of ``exalign.v1.Limits``, durations in seconds."""

    max_message_bytes: int
    max_answer_bytes: int
    max_encoded_bytes: int
    max_pixels: int
    max_decode_time: float
    max_faces: int
    min_box_side: float
    max_landmark_groups: int
    max_top_exemplars: int
    max_heatmap_side: int
    max_constraints: int
    max_exemplars: int
    max_deadline: float
    max_queue: int
    max_posteriors: int
    max_sessions: int
    max_smoothing_lag: int
    max_unacked_frames: int
    max_path_frames: int
    session_idle_timeout: float
    session_max_age: float
    max_posterior_bytes: int
    max_sessions_per_caller: int
    max_unacked_bytes: int
    max_message_rate: float
    message_burst: int
    session_grace: float
    session_retention: float
    max_resumable_bytes: int
    max_tracks: int
    max_pose_bins: int
    min_pose_bin_width: float
    max_pose_intervals: int
    max_clicks: int
    max_regions: int
    max_pose_ranges: int
    max_polygon_vertices: int
    min_ping_interval: float
    max_unacked_bytes_per_caller: int
    max_request_bytes: int
    max_wait: float


@dataclass(frozen=True)
class Detector:
    """A detector that the server can name.

    Attributes:
        name: as used in ``detector`` arguments.
        available: whether it can be run there; otherwise only its boxes are understood.
        is_default: whether it is used when none is named.
        min_score: default threshold on its score.
        dx: shift of the face box's centre to the right, in sides of the detector's squared box.
        dy: the same, down.
        scale: side of the squared face box ÷ side of the detector's squared box.
    """

    name: str
    available: bool
    is_default: bool
    min_score: float
    dx: float
    dy: float
    scale: float


@dataclass(frozen=True)
class Coverage:
    """How often the truth lay in a region of stated mass.

    Attributes:
        group: landmark group, or "all".
        yaw: pose bin as an interval of yaw, degrees; None: all poses.
        nominal: mass that the region should hold, 0 to 1.
        observed: share of landmarks that it held, 0 to 1.
        landmarks: how many were counted.
    """

    group: str
    yaw: tuple[float, float] | None
    nominal: float
    observed: float
    landmarks: int


@dataclass(frozen=True)
class Reliability:
    """One bin of the presence diagram: mean stated probability, observed share of faces, crops counted."""

    stated: float
    observed: float
    count: int


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of the posterior mean.

    Attributes:
        boxes: where the boxes came from: "truth", or the name of a detector.
        faces: how many.
        nrmse_mean: mean point-to-point error ÷ diagonal of the true face box.
        auc: mean of max(0, 1 − error ÷ 0.08).
        failure_rate: share of faces with error > 0.08, %.
        missed: share of faces that the detector missed, %.
    """

    boxes: str
    faces: int
    nrmse_mean: float
    auc: float
    failure_rate: float
    missed: float


@dataclass(frozen=True, repr=False)
class Calibration:
    """How well the answers mean what they say, on data that the network was not trained on.

    Attributes:
        split: split that the figures are from.
        faces: faces in it.
        nll: mean negative log likelihood of a landmark's true place, nats, distances in box sides.
        kernel_scale: common factor of the kernel variances.
        landmark_factors: factor of each landmark's kernel variance, 68 numbers of mean 1.
        coverage: by group, pose and mass.
        presence_roc_auc: area under the ROC curve of presence.
        presence_reliability: its reliability diagram.
        accuracy: by source of the boxes.
    """

    __repr__ = summarised

    split: str
    faces: int
    nll: float
    kernel_scale: float
    landmark_factors: tuple[float, ...]
    coverage: tuple[Coverage, ...]
    presence_roc_auc: float
    presence_reliability: tuple[Reliability, ...]
    accuracy: tuple[Accuracy, ...]


@dataclass(frozen=True)
class LiveBundle:
    """A bundle in the server's memory: its name, the videos that it answers, and whether it answers new calls."""

    bundle_id: str
    sessions: int
    current: bool


@dataclass(frozen=True)
class SwappedModel:
    """What a swap has come to.

    Attributes:
        bundle_id: the bundle that answers now.
        previous_bundle_id: the one that answered before; the same where nothing has changed.
        elapsed: seconds until it answered.
    """

    bundle_id: str
    previous_bundle_id: str
    elapsed: float

    def to_json(self) -> Json:
        """The swap as plain JSON values, under the names of the attributes."""
        return json_form(self)


@dataclass(frozen=True)
class Licence:
    """Terms of one part of the bundle: what it covers, SPDX identifier or short name, plain words."""

    subject: str
    name: str
    terms: str


@dataclass(frozen=True, repr=False)
class Model:
    """The model that answers.

    Attributes:
        bundle_id: name of the bundle by its contents.
        server_version: version of the server's package.
        exemplars: K, the number of exemplars.
        landmarks: the number of landmarks, 68.
        landmark_names: their names, by index.
        input_size: side of the square that the network sees, pixels.
        margin: side of that square ÷ side of the squared face box.
        tau: distance within which two shapes count as the same, box sides.
        temperature: of the softmax.
        presence_threshold: presence at and above which a face counts as there, 0 to 1.
        runtime: what executes the network.
        limits: what is accepted.
        detectors: those known to the server.
        calibration: calibration figures.
        licences: terms of the weights and of what came with them.
        training_data: what the model was trained on, in plain words.
        files: the files of the bundle.
        live_bundles: all in the server's memory, the one that answers first.
    """

    bundle_id: str
    server_version: str
    exemplars: int
    landmarks: int
    landmark_names: tuple[str, ...]
    input_size: int
    margin: float
    tau: float
    temperature: float
    presence_threshold: float
    runtime: Runtime
    limits: Limits
    detectors: tuple[Detector, ...]
    calibration: Calibration
    licences: tuple[Licence, ...]
    training_data: str
    files: tuple[BundleFile, ...]
    live_bundles: tuple[LiveBundle, ...]

    def __repr__(self) -> str:
        runtime = self.runtime
        return (
            f"<Model bundle={self.bundle_id[:12]} exemplars={self.exemplars} runtime={runtime.name} "
            f"{runtime.precision} on {runtime.device}>"
        )

    def to_json(self) -> Json:
        """The model as plain JSON values, under the names of the attributes."""
        return json_form(self)


_LIMITS = tuple(field.name for field in fields(Limits))


def model_from(response: service_pb2.GetModelResponse) -> Model:
    """Read the answer to GetModel."""
    info = response.model
    limits: dict[str, Any] = {name: _plain(getattr(response.limits, name)) for name in _LIMITS}
    return Model(
        bundle_id=response.bundle_id,
        server_version=response.server_version,
        exemplars=info.exemplars,
        landmarks=info.landmarks,
        landmark_names=tuple(info.landmark_names),
        input_size=info.input_size,
        margin=info.margin,
        tau=info.tau,
        temperature=info.temperature,
        presence_threshold=float32_decimal(response.presence_threshold),
        runtime=_runtime(response.runtime),
        limits=Limits(**limits),
        detectors=tuple(_detectors(response.detectors)),
        calibration=_calibration(response.calibration),
        licences=tuple(Licence(item.subject, item.name, item.terms) for item in response.licences),
        training_data=response.training_data,
        files=tuple(BundleFile(f.path, f.sha256, f.size_bytes) for f in response.files),
        live_bundles=tuple(LiveBundle(b.bundle_id, b.sessions, b.current) for b in response.live_bundles),
    )


def swapped_from(response: admin_pb2.SwapModelResponse) -> SwappedModel:
    """Read the answer to SwapModel."""
    return SwappedModel(response.bundle_id, response.previous_bundle_id, response.elapsed.ToTimedelta().total_seconds())


def _plain(value: int | float | Duration) -> int | float:
    return value.ToTimedelta().total_seconds() if isinstance(value, Duration) else value


def _runtime(runtime: model_pb2.RuntimeInfo) -> Runtime:
    return Runtime(
        name=runtime.name,
        version=runtime.version,
        precision=runtime.precision,
        device=runtime.device,
        reason=runtime.reason,
        max_batch=runtime.max_batch,
        divergence=runtime.divergence if runtime.HasField("divergence") else None,
    )


def _detectors(detectors: Iterable[model_pb2.DetectorInfo]) -> Iterable[Detector]:
    for d in detectors:
        yield Detector(d.name, d.available, d.is_default, float32_decimal(d.min_score), d.dx, d.dy, d.scale)


def _calibration(card: model_pb2.CalibrationCard) -> Calibration:
    return Calibration(
        split=card.split,
        faces=card.faces,
        nll=card.nll,
        kernel_scale=card.kernel_scale,
        landmark_factors=tuple(card.landmark_factors),
        coverage=tuple(Coverage(r.group, _yaw(r), r.nominal, r.observed, r.landmarks) for r in card.coverage),
        presence_roc_auc=card.presence_roc_auc,
        presence_reliability=tuple(Reliability(b.stated, b.observed, b.count) for b in card.presence_reliability),
        accuracy=tuple(
            Accuracy(r.boxes, r.faces, r.nrmse_mean, r.auc, r.failure_rate, r.missed) for r in card.accuracy
        ),
    )


def _yaw(row: model_pb2.CoverageRow) -> tuple[float, float] | None:
    return (row.yaw.lower, row.yaw.upper) if row.HasField("yaw") else None
