"""/metrics says exactly what happened."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.request

import cv2
import grpc
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from exalign.v1 import geometry_pb2, image_pb2, service_pb2, service_pb2_grpc
from exalign_client.transport.local_server import LocalServer, local_server
from exalign_engine import Bundle, default_bundle_path

GOOD, BAD, CANCELLED = 10, 3, 2
METHOD = {"grpc_service": "exalign.v1.FaceAlignmentService", "grpc_method": "PredictLandmarks", "grpc_type": "unary"}


def page(server: LocalServer) -> str:
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


def value(text: str, name: str, **labels: str) -> float:
    """The one sample of that name that has these labels."""
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return float(found[0])


@pytest.fixture(scope="module")
def after_calls(astronaut: bytes) -> str:
    """The page of a fresh server after good, bad and cancelled calls."""
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    large = cv2.imencode(".png", np.tile(noise, (125, 100, 1)), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
    box = geometry_pb2.Box(x0=0, y0=0, x1=199, y1=199)
    good = service_pb2.PredictLandmarksRequest(image=image_pb2.Image(encoded=astronaut))
    bad = service_pb2.PredictLandmarksRequest(image=image_pb2.Image(encoded=b"not an image"))
    # 38 megapixels of a format that is always decoded whole, in a process that is started for it, one after the other:
    # calls that are cancelled soon are cancelled there.
    long = service_pb2.PredictLandmarksRequest(image=image_pb2.Image(encoded=large), boxes=[box])
    with local_server(tcp=True) as server, grpc.insecure_channel(server.address) as channel:
        stub = service_pb2_grpc.FaceAlignmentServiceStub(channel)
        for _ in range(GOOD):
            stub.PredictLandmarks(good)
        for _ in range(BAD):
            with pytest.raises(grpc.RpcError):
                stub.PredictLandmarks(bad)
        calls = [stub.PredictLandmarks.future(long) for _ in range(CANCELLED)]
        # Not before the server has them: a call cancelled on the way is none that it could count.
        wait_until(server, "grpc_server_started_total", GOOD + BAD + CANCELLED)
        assert all(call.cancel() for call in calls)
        wait_until(server, "grpc_server_handled_total", CANCELLED, grpc_code="Canceled")
        return page(server)


def wait_until(server: LocalServer, name: str, count: float, **labels: str) -> None:
    until = time.monotonic() + 120
    while value(page(server), name, **METHOD, **labels) < count:
        assert time.monotonic() < until, name


def test_calls_are_counted_as_they_ended(after_calls: str) -> None:
    assert value(after_calls, "grpc_server_started_total", **METHOD) == GOOD + BAD + CANCELLED
    ended = {"OK": GOOD, "InvalidArgument": BAD, "Canceled": CANCELLED, "Internal": 0, "DeadlineExceeded": 0}
    for code, count in ended.items():
        assert value(after_calls, "grpc_server_handled_total", grpc_code=code, **METHOD) == count, code


def test_every_handled_call_is_in_the_latency_histogram(after_calls: str) -> None:
    assert value(after_calls, "grpc_server_handling_seconds_count", **METHOD) == GOOD + BAD + CANCELLED


def test_messages_are_counted_each_way(after_calls: str) -> None:
    assert value(after_calls, "grpc_server_msg_received_total", **METHOD) == GOOD + BAD + CANCELLED
    assert value(after_calls, "grpc_server_msg_sent_total", **METHOD) == GOOD


def test_stages_were_timed_once_for_each_call_that_reached_them(after_calls: str) -> None:
    for stage in ("detect", "queue", "infer", "posterior", "encode"):
        assert value(after_calls, "exalign_stage_seconds_count", stage=stage, method="PredictLandmarks") == GOOD, stage
    assert value(after_calls, "exalign_stage_seconds_count", stage="hmm", method="PredictLandmarks") == 0


def test_the_network_saw_every_face_once(after_calls: str) -> None:
    assert value(after_calls, "exalign_batch_size_sum") == GOOD
    assert value(after_calls, "exalign_queue_depth") == 0


def test_other_methods_start_at_zero_rather_than_missing(after_calls: str) -> None:
    labels = {**METHOD, "grpc_method": "TrackVideo", "grpc_type": "bidi_stream"}
    assert value(after_calls, "grpc_server_started_total", **labels) == 0


def test_promtool_has_nothing_to_say(after_calls: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (apt-get install prometheus)")
    result = subprocess.run(
        [promtool, "check", "metrics"], input=after_calls, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_model_says_what_its_regions_hold(after_calls: str) -> None:
    card = Bundle.load(default_bundle_path()).calibration.card
    assert value(after_calls, "exalign_model_nll", split=card["split"]) == card["nll"]
    whole = [row for row in card["coverage"] if row["yaw"] is None]
    assert len(whole) == 6 * 4
    for row in whole:
        labels = {"group": row["group"], "nominal": f"{row['nominal']:g}"}
        assert value(after_calls, "exalign_model_coverage_ratio", **labels) == row["observed"]
    for row in card["pose"]["intervals"]:
        labels = {"angle": row["angle"], "nominal": f"{row['nominal']:g}"}
        assert value(after_calls, "exalign_model_pose_coverage_ratio", **labels) == row["observed"]
