"""Each RPC's request, as bytes -> parsed -> read and checked; and what its caller would be told.

The first byte says which message the rest is. What is wrong must be an `InvalidInputError` that names fields, and its
status must fit into trailing metadata and give nothing away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError, Message

from decode_target import pictures
from error_scan import given_away
from exalign.open_inference import inference_pb2
from exalign.v1 import admin_pb2, service_pb2, track_pb2
from exalign_engine.errors import ExalignError, InvalidInputError
from exalign_service.config.schema import LimitsConfig
from exalign_service.open_inference.request import read_infer
from exalign_service.requests.faces import (
    read_conditional,
    read_heatmaps,
    read_pose,
    read_predict,
    read_suggest,
)
from exalign_service.requests.image import ExaminedRaw
from exalign_service.requests.picture import Picture, RequestLimits, image_limits
from exalign_service.rpc.errors import ServiceError, status_of
from exalign_service.serving.swap import ModelSwap
from exalign_service.track.requests import TrackOptions, read_config, read_frame, read_past_evidence
from fuzz_target import BrokenPromiseError, Target
from message_mutator import change
from request_seeds import seeds

CONFIG = LimitsConfig(max_faces=8, max_pixels=500_000, max_encoded_bytes=16_384, max_message_bytes=16_384 + 65_536)
LIMITS = RequestLimits(CONFIG, ("blazeface", "mtcnn"), ("blazeface",), "blazeface")

#: Trailing metadata that many clients take, bytes; of it a third is base64's.
MOST_STATUS = 8192 * 3 // 4

Read = Callable[[Any], object]


class Fuzzed(Target):
    """See the module."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._loop = asyncio.new_event_loop()
        self._blobs = [b"", b"no picture", *list(pictures())[:4], bytes(64 * 48 * 3), bytes(64 * 48)]
        options = _options()
        swap = _no_swap(folder)
        self._kinds: list[tuple[type[Message], Read]] = [
            (service_pb2.PredictLandmarksRequest, lambda m: _checked(read_predict(m, LIMITS).source)),
            (service_pb2.PredictHeatmapsRequest, lambda m: _checked(read_heatmaps(m, LIMITS).source)),
            (service_pb2.EstimatePoseRequest, lambda m: _checked(read_pose(m, LIMITS).source)),
            (service_pb2.QueryConditionalRequest, lambda m: _checked(read_conditional(m, LIMITS).source)),
            (service_pb2.SuggestEvidenceRequest, lambda m: _checked(read_suggest(m, LIMITS).source)),
            (track_pb2.TrackConfig, lambda m: read_config(m, LIMITS)),
            (track_pb2.VideoFrame, lambda m: read_frame(m, LIMITS, options)),
            (track_pb2.PastEvidence, lambda m: read_past_evidence(m, options)),
            (inference_pb2.ModelInferRequest, lambda m: _infer(m)),
            (admin_pb2.SwapModelRequest, lambda m: self._loop.run_until_complete(swap.by_name(m.bundle))),
        ]

    def seeds(self) -> Sequence[bytes]:
        return [bytes([i]) + m.SerializeToString() for m in seeds() for i in [self._place(m)]]

    def run(self, data: bytes) -> str:
        kind, read = self._kinds[data[0] % len(self._kinds)] if data else self._kinds[0]
        message = kind()
        try:
            message.ParseFromString(data[1:])
        except DecodeError:
            return f"{kind.__name__} malformed"
        try:
            read(message)
        except (ExalignError, ServiceError) as e:
            return f"{kind.__name__} {_judged(e, data)}"
        return f"{kind.__name__} taken"

    def mutate(self, data: bytes, random: Random) -> bytes | None:
        """Change some fields; None where the bytes are no message."""
        place = data[0] % len(self._kinds) if data else 0
        if random.random() < 0.05:
            place = random.randrange(len(self._kinds))
        message = self._kinds[place][0]()
        try:
            message.ParseFromString(data[1:])
        except DecodeError:
            return None
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            change(message, random, self._blobs)
        return bytes([place]) + message.SerializeToString()

    def close(self) -> None:
        self._loop.close()

    def _place(self, message: Message) -> int:
        return [kind for kind, _ in self._kinds].index(type(message))


def _judged(error: Exception, data: bytes) -> str:
    """What the caller is told of an error, which must be one of his own mistakes; he may see what he has sent."""
    status = status_of(error, "r")
    text = status.serialized()
    if status.code not in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
        raise BrokenPromiseError(f"answered with {status.code}")
    if len(text) + len(status.message.encode()) > MOST_STATUS:
        raise BrokenPromiseError(f"a status of {len(text)} bytes")
    if isinstance(error, InvalidInputError) and not all(v.description for v in error.violations):
        raise BrokenPromiseError("a field is wrong, and nothing says why")
    if (found := given_away(text)) and found not in data:
        raise BrokenPromiseError(f"the status shows {found!r}")
    return str(status.code.name)


def _checked(source: object) -> None:
    """What comes after reading, of a request that holds a picture."""
    if not isinstance(source, Picture):
        return
    examined = source.examine(image_limits(CONFIG))
    if isinstance(examined, ExaminedRaw):
        source.check(source.complete(examined.decode))
    else:  # its pixels are the target `decode`'s
        source.check(np.broadcast_to(np.uint8(0), examined.shape))


def _infer(message: inference_pb2.ModelInferRequest) -> None:
    asked = read_infer(message, CONFIG.max_faces)
    read_predict(asked.predict, LIMITS)


def _options() -> TrackOptions:
    return read_config(track_pb2.TrackConfig(detection={"max_faces": 3}), LIMITS)


def _no_swap(folder: Path) -> ModelSwap:
    """A swap in a directory without bundles: a name is wrong, or not there."""

    def never(*_: object) -> Any:
        raise BrokenPromiseError("a bundle was found in an empty directory")

    nobody: Any = None
    return ModelSwap(folder / "bundles", nobody, never, never, nobody, lambda: "")
