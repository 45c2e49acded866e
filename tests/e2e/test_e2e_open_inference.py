"""The Open Inference Protocol at the real server: the same answer as our own contract's, in tensors."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import numpy as np
import pytest

from exalign.open_inference import inference_pb2, inference_pb2_grpc
from exalign_client import Client
from exalign_client.transport.local_server import LocalServer


@pytest.fixture(scope="module")
def infers(server: LocalServer) -> Iterator[inference_pb2_grpc.GRPCInferenceServiceStub]:
    with grpc.insecure_channel(server.address) as channel:
        yield inference_pb2_grpc.GRPCInferenceServiceStub(channel)


def test_a_photograph_is_answered_as_by_our_own_contract(
    client: Client, infers: inference_pb2_grpc.GRPCInferenceServiceStub, astronaut: bytes
) -> None:
    assert infers.ModelReady(inference_pb2.ModelReadyRequest(name="exalign")).ready
    request = inference_pb2.ModelInferRequest(
        model_name="exalign", raw_input_contents=[len(astronaut).to_bytes(4, "little") + astronaut]
    )
    request.inputs.add(name="image", datatype="BYTES", shape=[1])
    answer = infers.ModelInfer(request)
    assert answer.model_version == client.model().bundle_id
    found = {
        output.name: np.frombuffer(values, "<f4").reshape(tuple(output.shape))
        for output, values in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
    (face,) = client.predict(astronaut)
    assert np.array_equal(found["landmarks"][0], np.float32(face.landmarks))
    assert np.array_equal(found["covariances"][0], np.float32(face.covariances))
    assert np.array_equal(found["confidences"][0], np.float32(face.confidences))
    assert found["presence"][0] == np.float32(face.presence)
    assert found["pose"].shape == (1, 3)
