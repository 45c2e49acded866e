"""A server of the contract for the client's tests: a real gRPC socket, answers made up by rule, faults by script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from exalign.v1 import (
    evidence_pb2,
    face_pb2,
    geometry_pb2,
    heatmap_pb2,
    model_pb2,
    pose_pb2,
    service_pb2,
    service_pb2_grpc,
    timing_pb2,
    track_pb2,
)
from fake_track import FakeTracking

IMAGE_SIZE = (120, 80)  # width, height
BOX = (30.0, 20.0, 90.0, 70.0)

#: A fault: ends the call by aborting its context.
Fault = Callable[[grpc.ServicerContext], None]


def points() -> np.ndarray[Any, np.dtype[np.float32]]:
    """(68, 2) float32: every landmark at a place of its own inside BOX."""
    n = np.arange(68)
    grid = np.stack([32.0 + 56.0 * (n % 10) / 9, 22.0 + 46.0 * (n // 10) / 6], axis=1)
    return grid.astype(np.float32)


def face(source: face_pb2.BoxSource.ValueType = face_pb2.BOX_SOURCE_DETECTOR) -> face_pb2.Face:
    """A face whose numbers differ: landmark n has covariance xx = n + 1, xy = 0.5, yy = 2."""
    x0, y0, x1, y1 = BOX
    message = face_pb2.Face(
        box=geometry_pb2.Box(x0=x0, y0=y0, x1=x1, y1=y1),
        box_source=source,
        source_box=geometry_pb2.Box(x0=28, y0=15, x1=95, y1=82, detector="mtcnn"),
        detector_score=0.75,
        presence=0.99,
        posterior_id="p1",
        posterior=face_pb2.PosteriorSummary(
            entropy=3.5,
            effective_exemplars=12.5,
            cut_mass=0.001,
            top_exemplars=[face_pb2.ExemplarProbability(class_id=7, probability=0.4)],
        ),
        landmarks=face_pb2.Landmarks(
            points=points().ravel().tolist(),
            covariances=[v for n in range(68) for v in (n + 1, 0.5, 2.0)],
            confidences=[n / 67 for n in range(68)],
            map_points=(points() + 1).ravel().tolist(),
            map_class_id=7,
        ),
    )
    if source == face_pb2.BOX_SOURCE_CALLER:
        message.ClearField("detector_score")
    return message


def cells(landmark: int, width: int, height: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(height, width) float32: 0.9 in all, most of it in one cell of the landmark's own."""
    masses = np.full((height, width), 0.3 / (width * height), np.float32)
    masses.flat[(7 * landmark) % masses.size] += 0.6
    return masses


def heatmaps(options: heatmap_pb2.HeatmapOptions) -> heatmap_pb2.Heatmaps:
    """`cells` of each landmark, in the requested encoding, over the box widened by 5 pixels."""
    width, height = options.width or 64, options.height or 64
    x0, y0, x1, y1 = BOX
    rectangle = geometry_pb2.Rectangle(x0=x0 - 5, y0=y0 - 5, x1=x1 + 5, y1=y1 + 5)
    message = heatmap_pb2.Heatmaps(
        rectangle=options.rectangle if options.HasField("rectangle") else rectangle, width=width, height=height
    )
    for n in options.landmarks or range(68):
        masses = cells(n, width, height)
        heatmap = message.heatmaps.add(landmark=n, mass_outside=0.1, mass_cut=0.001, mass_error=0.002)
        if options.encoding == heatmap_pb2.HEATMAP_ENCODING_UINT8:
            scale = float(masses.max()) / 255
            heatmap.quantized.uint8 = np.round(masses / scale).astype(np.uint8).tobytes()
            heatmap.quantized.scale = scale
        elif options.encoding == heatmap_pb2.HEATMAP_ENCODING_SPARSE:
            kept = np.flatnonzero(masses > masses.mean())
            heatmap.sparse.indices.extend(kept.tolist())
            heatmap.sparse.masses.extend(masses.ravel()[kept].tolist())
        else:
            heatmap.dense.float32 = masses.astype("<f4").tobytes()
    return message


def pose(options: pose_pb2.PoseOptions) -> pose_pb2.Pose:
    """Two modes in yaw: masses of 0.5 and 0.3 in opposite corners of the histogram; 0.2 outside it."""
    grid = options.histogram
    bins = grid.yaw_bins * grid.roll_bins
    return pose_pb2.Pose(
        mean=pose_pb2.PoseAngles(yaw=-12.5, pitch=4.0, roll=7.0),
        covariance=[9.0, -1.0, 2.0, 16.0, -3.0, 25.0],
        intervals=[
            pose_pb2.PoseIntervals(
                mass=mass,
                yaw=geometry_pb2.Interval(lower=-20, upper=-5),
                pitch=geometry_pb2.Interval(lower=-3, upper=11),
                roll=geometry_pb2.Interval(lower=-1, upper=15),
            )
            for mass in options.interval_masses or (0.5, 0.9)
        ],
        histogram=pose_pb2.PoseHistogram(
            yaw_bins=grid.yaw_bins,
            roll_bins=grid.roll_bins,
            yaw_range=grid.yaw_range,
            roll_range=grid.roll_range,
            masses=[0.5] + [0.0] * (bins - 2) + [0.3],
            mass_outside=0.2,
        )
        if bins > 1
        else None,
    )


def viewed(
    request: service_pb2.PredictHeatmapsRequest
    | service_pb2.EstimatePoseRequest
    | service_pb2.QueryConditionalRequest
    | service_pb2.SuggestEvidenceRequest
    | service_pb2.PredictLandmarksRequest
    | track_pb2.TrackConfig,
    message: face_pb2.Face,
) -> face_pb2.Face:
    """The face with the views that the request names."""
    if request.HasField("heatmaps"):
        message.heatmaps.CopyFrom(heatmaps(request.heatmaps))
    if request.HasField("pose"):
        message.pose.CopyFrom(pose(request.pose))
    return message


def conditioned_face() -> face_pb2.Face:
    """The face after evidence: everything 3 px further right, and surer."""
    message = face()
    message.landmarks.points[::2] = [x + 3 for x in message.landmarks.points[::2]]
    message.posterior.entropy = 1.5
    message.posterior_id = "p2"
    return message


LIVE_BUNDLES = [
    model_pb2.LiveBundle(bundle_id="ab" * 32, sessions=2, current=True),
    model_pb2.LiveBundle(bundle_id="ef" * 32, sessions=1),
]


def model_response() -> service_pb2.GetModelResponse:
    """A model with a value in every part that the client reads."""
    return service_pb2.GetModelResponse(
        bundle_id="ab" * 32,
        files=[model_pb2.BundleFile(path="network.onnx", sha256="cd" * 32, size_bytes=12)],
        model=model_pb2.ModelInfo(
            exemplars=1000,
            landmarks=68,
            input_size=112,
            margin=1.3,
            tau=0.05,
            temperature=1.5,
            landmark_names=[f"point_{n}" for n in range(68)],
        ),
        runtime=model_pb2.RuntimeInfo(name="openvino", version="2025.4", precision="f32", device="CPU"),
        limits=model_pb2.Limits(
            max_faces=16,
            max_message_bytes=8 * 2**20,
            max_smoothing_lag=30,
            max_path_frames=256,
            max_deadline=Duration(seconds=30),
            max_decode_time=Duration(seconds=5),
            min_box_side=8.5,
            max_posterior_bytes=2**28,
            max_sessions_per_caller=64,
            max_unacked_bytes=2**24,
            max_message_rate=250.5,
            message_burst=500,
            session_grace=Duration(seconds=10),
            session_retention=Duration(seconds=60),
            max_resumable_bytes=2**27,
            max_tracks=16,
            max_pose_bins=180,
            min_pose_bin_width=0.001,
            max_pose_intervals=8,
            max_clicks=68,
            max_regions=67,
            max_pose_ranges=7,
            max_polygon_vertices=63,
            min_ping_interval=Duration(seconds=3),
            max_unacked_bytes_per_caller=2**27 + 1,
            max_request_bytes=2**28 + 1,
            max_wait=Duration(seconds=5),
        ),
        detectors=[model_pb2.DetectorInfo(name="mtcnn", available=True, is_default=True, min_score=0.7)],
        calibration=model_pb2.CalibrationCard(
            split="val",
            coverage=[
                model_pb2.CoverageRow(group="jaw", yaw=geometry_pb2.Interval(lower=-30, upper=30), nominal=0.9),
                model_pb2.CoverageRow(group="all", nominal=0.9),
            ],
            accuracy=[model_pb2.AccuracyRow(boxes="truth", faces=10, auc=0.75)],
        ),
        presence_threshold=0.3,
        licences=[model_pb2.Licence(subject="weights", name="research", terms="Research use.")],
        training_data="faces",
        server_version="0.1.0",
        live_bundles=LIVE_BUNDLES,
    )


def abort(code: grpc.StatusCode, message: str, *details: Any) -> Fault:
    """A fault with a status and google.rpc details."""

    def fault(context: grpc.ServicerContext) -> None:
        status = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message)
        for detail in details:
            status.details.add().Pack(detail)
        context.abort_with_status(rpc_status.to_status(status))

    return fault


def retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    delay = Duration()
    delay.FromNanoseconds(int(seconds * 1e9))
    return error_details_pb2.RetryInfo(retry_delay=delay)


class FakeHealth(health.HealthServicer):
    """The standard health service; counts the checks, and may begin to serve at one of them.

    Attributes:
        checks: checks so far.
        serves_at: number of the check from which the status is SERVING; None: `set` alone decides.
    """

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0
        self.serves_at: int | None = None

    def Check(self, request: Any, context: Any) -> Any:
        self.checks += 1
        if self.checks == self.serves_at:
            self.set("", health_pb2.HealthCheckResponse.SERVING)
        return super().Check(request, context)


@dataclass
class FakeService(service_pb2_grpc.FaceAlignmentServiceServicer):
    """Answers all calls; the first unary ones but GetModel meet the scripted faults, one each."""

    faults: list[Fault] = field(default_factory=list)
    faces: int = 1
    image_size: tuple[int, int] = IMAGE_SIZE
    requests: list[Any] = field(default_factory=list)
    #: The answer that QueryConditional gives evidence.
    outcome: evidence_pb2.EvidenceOutcome.ValueType = evidence_pb2.EVIDENCE_OUTCOME_CONDITIONED
    address: str = ""
    health: FakeHealth = field(default_factory=FakeHealth)
    #: Seconds that each of ``requests`` was given by its caller when it came.
    deadlines: list[float] = field(default_factory=list)
    tracking: FakeTracking = field(default_factory=lambda: FakeTracking(face, viewed))
    #: Set to release the calls that `hang` holds.
    released: threading.Event = field(default_factory=threading.Event)

    def hang(self, context: grpc.ServicerContext) -> None:
        """A fault: no answer until the test ends."""
        self.released.wait(30)

    def _begin(self, request: Any, context: Any) -> None:
        """Note the request, meet the next fault; the only posterior that is known is "p1"."""
        self.requests.append(request)
        self.deadlines.append(context.time_remaining())
        if self.faults:
            self.faults.pop(0)(context)
        if getattr(request, "posterior_id", "") not in ("", "p1"):
            abort(grpc.StatusCode.NOT_FOUND, f"posterior_id {request.posterior_id} is not known here")(context)

    def PredictHeatmaps(
        self, request: service_pb2.PredictHeatmapsRequest, context: Any
    ) -> service_pb2.PredictHeatmapsResponse:
        self._begin(request, context)
        found = [viewed(request, face()) for _ in range(self.faces)]
        return service_pb2.PredictHeatmapsResponse(bundle_id="ab" * 32, faces=found, faces_left_out=2)

    def EstimatePose(self, request: service_pb2.EstimatePoseRequest, context: Any) -> service_pb2.EstimatePoseResponse:
        self._begin(request, context)
        found = [viewed(request, face()) for _ in range(self.faces)]
        return service_pb2.EstimatePoseResponse(bundle_id="ab" * 32, faces=found)

    def QueryConditional(
        self, request: service_pb2.QueryConditionalRequest, context: Any
    ) -> service_pb2.QueryConditionalResponse:
        self._begin(request, context)
        impossible = self.outcome == evidence_pb2.EVIDENCE_OUTCOME_IMPOSSIBLE
        return service_pb2.QueryConditionalResponse(
            bundle_id="ab" * 32,
            face=viewed(request, conditioned_face()),
            prior=viewed(request, face()) if request.include_prior else None,
            evidence=request.evidence,
            outcome=self.outcome,
            surprise=None if impossible else 2.25,
        )

    def SuggestEvidence(
        self, request: service_pb2.SuggestEvidenceRequest, context: Any
    ) -> service_pb2.SuggestEvidenceResponse:
        self._begin(request, context)
        candidates = list(request.suggestion.landmarks) or [8, 30, 57, 0, 16]
        return service_pb2.SuggestEvidenceResponse(
            bundle_id="ab" * 32,
            suggestions=[
                evidence_pb2.Suggestion(landmark=n, error_reduction=1.5 / (rank + 1), entropy_reduction=0.5)
                for rank, n in enumerate(candidates[: request.suggestion.max_suggestions or 5])
            ],
            expected_error=4.5,
            face=viewed(request, face()),
            outcome=evidence_pb2.EVIDENCE_OUTCOME_CONDITIONED,
        )

    def GetExemplars(self, request: service_pb2.GetExemplarsRequest, context: Any) -> service_pb2.GetExemplarsResponse:
        self._begin(request, context)
        x0, y0, x1, _ = BOX
        shape = ((points() - (x0, y0)) / (x1 - x0)).astype(np.float32).ravel().tolist()
        return service_pb2.GetExemplarsResponse(
            bundle_id="ab" * 32,
            exemplars=[
                model_pb2.Exemplar(class_id=k, source_id=f"face_{k}", points=shape, spread=0.02, yaw=-10.0)
                for k in request.class_ids
            ],
        )

    def PredictLandmarks(
        self, request: service_pb2.PredictLandmarksRequest, context: Any
    ) -> service_pb2.PredictLandmarksResponse:
        self._begin(request, context)
        given = face_pb2.BOX_SOURCE_CALLER
        faces = [face(given) for _ in request.boxes] or [face() for _ in range(self.faces)]
        for message in faces:
            viewed(request, message)
            for selection in request.landmarks.groups:
                message.landmarks.groups.add(
                    selection=selection,
                    mean=geometry_pb2.Point(x=60, y=40),
                    centroid_covariance=geometry_pb2.Covariance2(xx=4, xy=1, yy=9),
                    rms_spread=2.5,
                )
        return service_pb2.PredictLandmarksResponse(
            bundle_id="ab" * 32,
            faces=faces,
            faces_left_out=2,
            image_width=self.image_size[0],
            image_height=self.image_size[1],
            timing=timing_pb2.StageTiming(decode_seconds=0.001, infer_seconds=0.003, total_seconds=0.005),
        )

    def TrackVideo(self, request_iterator: Iterator[Any], context: Any) -> Iterator[service_pb2.TrackVideoResponse]:
        return self.tracking.stream(request_iterator, context)

    def GetModel(self, request: service_pb2.GetModelRequest, context: Any) -> service_pb2.GetModelResponse:
        return model_response()


@contextmanager
def serving(service: FakeService) -> Iterator[FakeService]:
    """Serve on a free port of 127.0.0.1 for the length of the block."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
    service_pb2_grpc.add_FaceAlignmentServiceServicer_to_server(service, server)
    health_pb2_grpc.add_HealthServicer_to_server(service.health, server)
    service.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield service
    finally:
        service.released.set()
        server.stop(grace=None).wait()
