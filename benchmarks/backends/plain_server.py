"""The simplest server of the network: grpcio, a pool of threads, one face after the other in each.

    python -m benchmarks.backends.plain_server

Nothing of our service is in it: no limits, no turns, no batches, no metrics. It writes its address as a line of JSON,
and ends with its standard input.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np

from exalign.open_inference import inference_pb2, inference_pb2_grpc
from exalign_engine import Aligner

THREADS = 2


class Plain(inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Answers ModelInfer about a picture of BYTES and one box, raw."""

    def __init__(self, aligner: Aligner) -> None:
        self._aligner = aligner

    def ModelInfer(  # noqa: N802  # the contract's name
        self, request: inference_pb2.ModelInferRequest, context: Any
    ) -> inference_pb2.ModelInferResponse:
        """Landmarks, covariances, confidences and presence."""
        picture, boxes = request.raw_input_contents
        faces = self._aligner.align(picture[4:], list(np.frombuffer(boxes, "<f4").reshape(-1, 4).astype(float)))
        for face in faces:
            face.compute()
        response = inference_pb2.ModelInferResponse(model_name=request.model_name, id=request.id)
        for name, values in {
            "landmarks": [face.landmarks for face in faces],
            "covariances": [face.covariance for face in faces],
            "confidences": [face.confidence for face in faces],
            "presence": [face.presence for face in faces],
        }.items():
            array = np.array(values, "<f4")
            response.outputs.add(name=name, datatype="FP32", shape=array.shape)
            response.raw_output_contents.append(array.tobytes())
        return response


def main() -> None:
    """Serve until standard input ends."""
    aligner = Aligner.default(threads=1)
    aligner.warm_up()
    server = grpc.server(ThreadPoolExecutor(THREADS))
    inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Plain(aligner), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)
    sys.stdin.read()
    server.stop(0).wait()


if __name__ == "__main__":
    main()
