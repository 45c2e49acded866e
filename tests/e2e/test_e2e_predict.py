"""From a photograph to landmarks, through the real server."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from exalign_client import AsyncClient, Click, Client
from exalign_client.transport.local_server import LocalServer, local_server
from exalign_engine import Aligner
from exalign_engine.geometry.landmarks import NOSE_TIP
from exalign_engine.runtime.processor import int8_is_exact
from face_folders import NEEDS_YUNET, data_root

# Where the astronaut's features are in the 512×512 photograph, read off it by eye: pixels.
EYES_Y, NOSE, MOUTH = (94, 112), (223, 127), (222, 147)


def pixels(jpeg: bytes) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_the_face_of_a_photograph_is_found_and_aligned(client: Client, astronaut: bytes) -> None:
    prediction = client.predict(astronaut)
    assert len(prediction) == 1
    face = prediction[0]
    assert face.presence > 0.9
    assert face.detector_score > 0.8
    assert face.landmarks.shape == (68, 2)
    assert np.linalg.norm(face.landmarks[NOSE_TIP] - NOSE) < 8
    assert np.linalg.norm(face.landmarks[48:68].mean(axis=0) - MOUTH) < 8
    eyes = face.landmarks[36:48]
    assert EYES_Y[0] < eyes[:, 1].mean() < EYES_Y[1]
    assert (np.linalg.eigvalsh(face.covariances) > 0).all()
    assert ((face.confidences >= 0) & (face.confidences <= 1)).all()


def test_the_server_answers_what_the_engine_answers(client: Client, astronaut: bytes) -> None:
    served = client.predict(astronaut)[0]
    (face,) = Aligner.default().align(astronaut)
    np.testing.assert_array_equal(served.landmarks, face.landmarks.astype(np.float32))
    np.testing.assert_array_equal(served.confidences, face.confidence.astype(np.float32))
    assert face.occluded is not None
    np.testing.assert_array_equal(served.occluded_probabilities, face.occluded.astype(np.float32))
    assert served.map_class_id == face.map_exemplar
    assert served.presence == pytest.approx(face.presence, abs=1e-6)


def test_landmarks_behind_a_board_are_hidden_and_others_are_not(client: Client, astronaut: bytes) -> None:
    rgb = pixels(astronaut)
    clean = client.predict(rgb)[0]
    assert (clean.occluded_probabilities < 0.5).mean() > 0.9
    x, y = clean.landmarks[48:68].mean(axis=0).astype(int)
    covered = rgb.copy()
    covered[y - 14 : y + 30, x - 45 : x + 45] = (40, 90, 60)
    face = client.predict(covered, [tuple(float(v) for v in clean.box)])[0]
    assert (face.occluded_probabilities[48:68] > 0.5).mean() > 0.8
    assert (face.occluded_probabilities[36:48] < 0.5).all()
    click = Click("nose_tip", *map(float, face.landmarks[30]))
    again = client.condition(posterior_id=face.posterior_id, evidence=click).face
    np.testing.assert_allclose(again.occluded_probabilities, face.occluded_probabilities, atol=0.2)


def test_a_raw_image_is_answered_like_its_file(client: Client, astronaut: bytes) -> None:
    rgb = pixels(astronaut)
    encoded, raw = client.predict(astronaut)[0], client.predict(rgb)[0]
    np.testing.assert_array_equal(raw.landmarks, encoded.landmarks)


def test_the_callers_boxes_win(client: Client, astronaut: bytes) -> None:
    box = tuple(float(v) for v in client.predict(astronaut)[0].box)
    twice = client.predict(astronaut, [box, box])
    assert len(twice) == 2
    assert all(face.detector_score is None for face in twice)
    np.testing.assert_array_equal(twice[0].landmarks, twice[1].landmarks)


def test_a_picture_without_a_face_is_no_error(client: Client) -> None:
    assert len(client.predict(np.full((120, 160, 3), 90, np.uint8))) == 0


def test_a_box_around_no_face_has_no_presence(client: Client, astronaut: bytes) -> None:
    flag, face = (10.0, 10.0, 90.0, 90.0), tuple(float(v) for v in client.predict(astronaut)[0].box)
    nobody, somebody = client.predict(astronaut, [flag, face])
    assert nobody.presence < 0.5 < somebody.presence


@pytest.mark.parametrize("orientation", range(1, 9))
def test_landmarks_are_in_the_frame_of_the_upright_photograph(
    client: Client, astronaut: bytes, orientation: int
) -> None:
    upright = Image.open(io.BytesIO(astronaut)).convert("RGB").crop((100, 20, 420, 260))
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "PNG", exif=exif)
    prediction = client.predict(file.getvalue())
    assert tuple(prediction.image_size) == (320, 240)
    plain = client.predict(np.asarray(upright))[0]
    np.testing.assert_array_equal(prediction[0].landmarks, plain.landmarks)


@pytest.mark.parametrize("side", [2000, 7000], ids=["too many bytes", "too many pixels"])
def test_a_photograph_larger_than_the_server_takes_is_answered_in_its_own_pixels(
    client: Client, astronaut: bytes, side: int
) -> None:
    large = cv2.resize(pixels(astronaut), (side, side), interpolation=cv2.INTER_CUBIC)
    assert large.nbytes > client.model().limits.max_message_bytes
    prediction = client.predict(large)
    assert prediction.image_size == (side, side)
    (face,) = prediction
    (plain,) = client.predict(astronaut)
    there = (plain.landmarks + 0.5) * (side / 512) - 0.5
    assert np.abs(face.landmarks - there).mean() < 3 * side / 512
    # Conditioned by the id, and drawn on in its own pixels: a click where the nose already is changes little.
    click = Click("nose_tip", *(float(v) for v in face.landmarks[NOSE_TIP]))
    again = client.condition(posterior_id=face.posterior_id, evidence=click)
    assert np.abs(again.face.landmarks - face.landmarks).mean() < 3 * side / 512


async def test_the_asynchronous_client_answers_alike(server: LocalServer, client: Client, astronaut: bytes) -> None:
    async with AsyncClient(server.address) as other:
        face = (await other.predict(astronaut))[0]
    np.testing.assert_array_equal(face.landmarks, client.predict(astronaut)[0].landmarks)


def test_get_model_says_what_answers(client: Client) -> None:
    model = client.model()
    assert model.exemplars > 10_000
    assert model.runtime.name == "openvino"
    assert model.runtime.precision == ("int8" if int8_is_exact() else "f32")
    assert model.runtime.reason
    assert any("research" in licence.terms.lower() for licence in model.licences)
    assert len(model.landmark_names) == 68


def test_every_detector_of_the_package_finds_the_face(client: Client, astronaut: bytes) -> None:
    found = [client.predict(astronaut, detector=name) for name in ("blazeface", "blazeface-thorough", "mtcnn")]
    assert [[face.source_detector for face in faces] for faces in found] == [["blazeface"], ["blazeface"], ["mtcnn"]]
    for (face,) in found:
        assert np.linalg.norm(face.landmarks - found[0][0].landmarks, axis=1).mean() < 5


def test_yunet_finds_faces_when_its_model_is_configured(astronaut: bytes) -> None:
    model = data_root() / "models" / "face_detection_yunet_2023mar.onnx"
    if not model.is_file():
        pytest.skip(NEEDS_YUNET)
    with local_server(arguments=["--yunet-model", str(model)]) as server, Client(server.address) as client:
        (default,), (yunet,) = client.predict(astronaut), client.predict(astronaut, detector="yunet")
        boxes = {d.name: d.available for d in client.model().detectors}
    assert boxes == {"blazeface": True, "blazeface-thorough": True, "mtcnn": True, "yunet": True}
    assert default.source_detector == "blazeface"
    assert yunet.source_detector == "yunet"
    assert np.linalg.norm(yunet.landmarks - default.landmarks, axis=1).mean() < 5
