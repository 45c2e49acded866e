"""Answers become typed results, the same through both clients."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from both_clients import Call
from exalign.v1 import face_pb2, service_pb2
from exalign_client import BoxSource, Click, Client, InternalServerError, LiveBundle, Prediction
from exalign_client.commands.tables import landmark_table
from exalign_client.formats.faces import UNCERTAIN, VISIBLE, labelled_face
from exalign_client.json_form import json_form
from exalign_client.results.faces import prediction_from
from fake_server import BOX, FakeService, face, points

JPEG = b"\xff\xd8"


def test_a_prediction_is_a_sequence_of_faces(service: FakeService, call: Call) -> None:
    service.faces = 2
    prediction: Prediction = call("predict", service.address, JPEG)
    assert len(prediction) == 2
    assert list(prediction) == [prediction[0], prediction[1]] == list(prediction[0:2])
    assert prediction.bundle_id == "ab" * 32
    assert (prediction.image_size, prediction.faces_left_out) == ((120, 80), 2)
    assert (prediction.timing.infer, prediction.timing.total) == (0.003, 0.005)


def test_no_face_is_an_empty_prediction(service: FakeService, call: Call) -> None:
    service.faces = 0
    assert len(call("predict", service.address, JPEG)) == 0


def test_a_face_holds_arrays_of_the_documented_shapes(service: FakeService, call: Call) -> None:
    found = call("predict", service.address, JPEG, groups=["jaw", [30, 8]])[0]
    np.testing.assert_array_equal(found.landmarks, points())
    np.testing.assert_array_equal(found.map_landmarks, points() + 1)
    np.testing.assert_array_equal(found.covariances[9], [[10.0, 0.5], [0.5, 2.0]])
    np.testing.assert_allclose(found.spreads, np.sqrt(np.arange(68) + 3.0), rtol=1e-6)
    np.testing.assert_array_equal(found.box, BOX)
    assert found.covariances.shape == (68, 2, 2)
    for array in (found.landmarks, found.covariances, found.confidences, found.map_landmarks, found.box):
        assert array.dtype == np.float32
    assert found.confidences[67] == 1.0
    assert (found.box_source, found.source_detector) == (BoxSource.DETECTOR, "mtcnn")
    assert (found.detector_score, found.presence, found.entropy) == (0.75, 0.99, 3.5)
    assert (found.top_exemplars[0].class_id, found.top_exemplars[0].probability) == (7, 0.4)
    assert found.posterior_id == "p1"
    assert [group.landmarks for group in found.groups] == ["jaw", (30, 8)]
    np.testing.assert_array_equal(found.groups[0].centroid_covariance, [[4, 1], [1, 9]])


def test_what_is_hidden_is_known_where_the_server_says_it() -> None:
    message = face()
    silent = prediction_from(service_pb2.PredictLandmarksResponse(faces=[message]))[0]
    assert silent.occluded_probabilities is None
    assert silent.hidden is None
    assert "occluded" not in landmark_table(silent, ())
    message.landmarks.occluded_probabilities[:] = [0.25, 0.5, *[0.125] * 66]
    stated = prediction_from(service_pb2.PredictLandmarksResponse(faces=[message]))[0]
    np.testing.assert_array_equal(stated.hidden, np.arange(68) == 1)
    assert stated.to_json()["occluded_probabilities"][:2] == [0.25, 0.5]  # type: ignore[index,call-overload]
    assert landmark_table(stated, ()).splitlines()[2].split()[-1] == "0.500"
    # Both are sure enough of their places; one is hidden.
    assert labelled_face(stated).visibility[1] == UNCERTAIN
    sure = replace(stated, confidences=np.ones(68, np.float32))
    assert (labelled_face(sure).visibility == np.where(np.arange(68) == 1, UNCERTAIN, VISIBLE)).all()
    message.landmarks.occluded_probabilities.append(0.5)
    with pytest.raises(InternalServerError, match=r"faces\[0\]\.landmarks\.occluded_probabilities"):
        prediction_from(service_pb2.PredictLandmarksResponse(faces=[message]))


def test_a_callers_box_has_no_detector_score(service: FakeService, call: Call) -> None:
    found = call("predict", service.address, JPEG, [BOX])[0]
    assert (found.box_source, found.detector_score) == (BoxSource.CALLER, None)


def test_an_array_is_written_as_the_decimals_of_its_numbers() -> None:
    values = np.array([0.1, 16777216, 1e-30, -0.0, 0.99, 1 / 3], np.float32)
    assert json.dumps(json_form(values.reshape(3, 2))) == "[[0.1, 16777216.0], [1e-30, -0.0], [0.99, 0.33333334]]"
    assert json_form(np.zeros((2, 0), np.float32)) == [[], []]
    assert json_form(np.array([[1.5, 0.1]])) == [[1.5, 0.1]]
    assert json_form(values.reshape(3, 2)[:2].T) == [[0.1, 1e-30], [16777216.0, -0.0]]
    assert json_form(np.array(0.1, np.float32)) == 0.1


def test_the_decimals_of_an_array_are_the_shortest_as_numpy_has_them() -> None:
    values = np.random.default_rng(3).integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    values = values[np.isfinite(values)]
    assert json_form(values) == [float(str(value)) for value in values]


@pytest.mark.parametrize(
    "value", [np.array([1, np.nan], np.float32), np.float32("inf"), float("nan"), np.array([np.inf])]
)
def test_a_number_that_is_not_finite_has_no_json(value: object) -> None:
    with pytest.raises(ValueError, match="not finite"):
        json_form({"landmarks": value})


def test_json_holds_the_same_numbers(service: FakeService) -> None:
    with Client(service.address) as client:
        prediction = client.predict(JPEG)
    form = json.loads(json.dumps(prediction.to_json(), allow_nan=False))
    again = form["faces"][0]
    np.testing.assert_array_equal(np.array(again["landmarks"], np.float32), prediction[0].landmarks)
    np.testing.assert_array_equal(np.array(again["covariances"], np.float32), prediction[0].covariances)
    assert (again["box_source"], again["presence"]) == ("detector", 0.99)
    assert form["image_size"] == [120, 80]


def test_a_model_is_read_in_full(service: FakeService, call: Call) -> None:
    model = call("model", service.address)
    assert (model.exemplars, model.landmark_names[3], model.server_version) == (1000, "point_3", "0.1.0")
    limits = model.limits
    assert (limits.max_faces, limits.max_deadline, limits.min_box_side) == (16, 30.0, 8.5)
    assert (limits.max_posterior_bytes, limits.max_sessions_per_caller, limits.max_resumable_bytes) == (
        2**28,
        64,
        2**27,
    )
    assert (limits.max_unacked_bytes, limits.max_message_rate, limits.message_burst) == (2**24, 250.5, 500)
    assert (limits.session_grace, limits.session_retention, limits.min_ping_interval) == (10.0, 60.0, 3.0)
    assert (limits.max_tracks, limits.max_pose_bins, limits.min_pose_bin_width) == (16, 180, 0.001)
    assert (limits.max_pose_intervals, limits.max_clicks, limits.max_regions) == (8, 68, 67)
    assert (limits.max_unacked_bytes_per_caller, limits.max_request_bytes) == (2**27 + 1, 2**28 + 1)
    assert limits.max_wait == 5.0
    assert (limits.max_pose_ranges, limits.max_polygon_vertices) == (7, 63)
    assert limits.max_decode_time == 5.0
    assert (model.runtime.name, model.runtime.divergence) == ("openvino", None)
    assert (model.detectors[0].name, model.detectors[0].min_score) == ("mtcnn", 0.7)
    assert [row.yaw for row in model.calibration.coverage] == [(-30.0, 30.0), None]
    assert (model.presence_threshold, model.licences[0].name) == (0.3, "research")
    assert model.live_bundles == (LiveBundle("ab" * 32, 2, True), LiveBundle("ef" * 32, 1, False))
    assert json.loads(json.dumps(model.to_json()))["files"][0]["path"] == "network.onnx"


@pytest.mark.parametrize("field", ["points", "covariances", "confidences", "map_points"])
def test_an_answer_with_a_wrong_count_of_numbers_is_the_servers_fault(field: str) -> None:
    damaged = face()
    getattr(damaged.landmarks, field).pop()
    with pytest.raises(InternalServerError, match=rf"faces\[0\]\.landmarks\.{field} has"):
        prediction_from(service_pb2.PredictLandmarksResponse(faces=[damaged]))


def test_an_answer_without_landmarks_is_the_servers_fault() -> None:
    damaged = face()
    damaged.ClearField("landmarks")
    with pytest.raises(InternalServerError, match=r"faces\[0\]\.landmarks is absent"):
        prediction_from(service_pb2.PredictLandmarksResponse(faces=[damaged]))


def test_a_box_source_that_is_newer_than_this_client_is_unknown() -> None:
    newer = face()
    newer.ParseFromString(newer.SerializeToString() + b"\x10\x63")  # field 2, box_source = 99
    assert newer.box_source not in face_pb2.BoxSource.values()
    assert prediction_from(service_pb2.PredictLandmarksResponse(faces=[newer]))[0].box_source == "unknown"


def test_every_answer_is_told_in_a_line_with_its_arrays_by_shape(service: FakeService) -> None:
    with Client(service.address) as client:
        shown = {
            "client": repr(client),
            "prediction": repr(client.predict(b"x", groups=["nose"])),
            "face": repr(client.predict(b"x")[0]),
            "heatmaps": repr(client.heatmaps(b"x")[0].heatmaps),
            "pose": repr(client.pose(b"x")[0].pose),
            "conditional": repr(client.condition(b"x", Click(30, 1, 2))),
            "suggestions": repr(client.suggest(b"x")),
            "exemplar": repr(client.exemplars([7])[0]),
            "model": repr(client.model()),
        }
        with client.track([np.zeros((80, 120, 3), np.uint8)] * 2) as video:
            shown |= {f"event {event.frame_index}": repr(event) for event in video}
        shown["closed"] = repr(video.closed)
    assert {name: line for name, line in shown.items() if "\n" in line or "array(" in line or len(line) > 1500} == {}
    assert shown["client"] == f"<Client {service.address}>"
    assert shown["prediction"].startswith("<Prediction bundle=abababababab faces=(<Face box=(30.0, 20.0, 90.0, 70.0)")
    assert "masses=float32[68, 64, 64]" in shown["heatmaps"]
    assert "points=float32[68, 2]" in shown["exemplar"]
    assert shown["model"] == "<Model bundle=abababababab exemplars=1000 runtime=openvino f32 on CPU>"
