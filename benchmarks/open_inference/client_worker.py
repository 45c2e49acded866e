"""Asks a server by tritonclient; runs in its environment, on the standard library, NumPy and tritonclient alone.

python client_worker.py ADDRESS PICTURE X0 Y0 X1 Y1

Writes one JSON object: what the server said of itself, every output about the face of the box, and the fields of
tritonclient's own messages.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton  # type: ignore[import-not-found]  # in its own environment
from tritonclient.grpc import model_config_pb2, service_pb2


def fields(message: Any, found: dict[str, list[list[Any]]]) -> None:
    """Add the fields of a message and of those within it: name, number, type, whether repeated."""
    found[message.full_name] = [[f.name, f.number, f.type, _repeated(f)] for f in message.fields]
    for nested in message.nested_types:
        fields(nested, found)


def _repeated(field: Any) -> bool:
    found = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if found is None else found)


def main() -> None:
    """Ask, and write what was said."""
    address, picture, *box = sys.argv[1:]
    client = triton.InferenceServerClient(address)
    image = triton.InferInput("image", [1], "BYTES")
    image.set_data_from_numpy(np.array([Path(picture).read_bytes()], dtype=np.object_))
    boxes = triton.InferInput("boxes", [1, 4], "FP32")
    boxes.set_data_from_numpy(np.array([box], dtype=np.float32))
    answer = client.infer("exalign", [image, boxes])
    metadata = client.get_model_metadata("exalign")
    detected = client.infer("exalign", [image], outputs=[triton.InferRequestedOutput("landmarks")])
    empty = triton.InferInput("image", [64, 64, 3], "UINT8")
    empty.set_data_from_numpy(np.zeros((64, 64, 3), np.uint8))
    nobody = client.infer("exalign", [empty])
    messages: dict[str, list[list[Any]]] = {}
    for contract in (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR):
        for message in contract.message_types_by_name.values():
            fields(message, messages)
    said = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("exalign"),
        "version": answer.get_response().model_version,
        "outputs": {output.name: answer.as_numpy(output.name).tolist() for output in metadata.outputs},
        "shapes": {output.name: list(answer.as_numpy(output.name).shape) for output in metadata.outputs},
        "detected": list(detected.as_numpy("landmarks").shape),
        "nobody": {output.name: list(nobody.as_numpy(output.name).shape) for output in metadata.outputs},
        "messages": messages,
    }
    json.dump(said, sys.stdout)


main()
