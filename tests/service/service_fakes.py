"""A model small enough to start a server with in milliseconds: real engine, fake network and detector."""

from __future__ import annotations

import asyncio
import struct
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2
from numpy.typing import NDArray

from exalign.v1 import geometry_pb2, image_pb2, service_pb2, service_pb2_grpc
from exalign_engine import Aligner, Bundle
from exalign_engine.bundle.bundle import FILES, MANIFEST, Baseline, Licence, Manifest
from exalign_engine.detect import BoxAffine, RawDetection
from exalign_engine.exemplars.exemplars import Exemplars
from exalign_engine.exemplars.poses import Poses
from exalign_engine.network.outputs import Outputs
from exalign_engine.posterior.calibration import Calibration
from exalign_service import Server, ServerConfig
from exalign_service.config.schema import (
    AccessConfig,
    BatchingConfig,
    LimitsConfig,
    RecordingConfig,
    SessionsConfig,
    StoreConfig,
    TracesConfig,
    WatchingConfig,
)
from exalign_service.rpc.clock import Clock

U8 = NDArray[np.uint8]
Corners = tuple[float, float, float, float]

K = 12
SIDE = 16


class FakeRuntime:
    """Scores that follow from a crop's mean brightness alone. ``gate`` holds every batch until it is set.

    Attributes:
        held: batches at the gate now.
        error: what every batch raises; None: nothing.
        alter: makes another answer of the right one, given the crops.
        batches: sizes of those answered, in order.
        brightness: of every crop answered, in order.
    """

    name, version, precision, device, reason = "fake", "1", "f32", "CPU", "for tests"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.alter: Callable[[U8, Outputs], Outputs] = lambda crops, out: out
        self.batches: list[int] = []
        self.brightness: list[float] = []
        self.held = 0
        self._counting = threading.Lock()
        self.closed = False

    def infer(self, crops: U8) -> Outputs:
        """See `exalign_engine.runtime.Runtime`."""
        with self._counting:
            self.held += 1
        self.gate.wait()
        with self._counting:
            self.held -= 1
        if self.error is not None:
            raise self.error
        self.batches.append(len(crops))
        brightness = crops.reshape(len(crops), -1).mean(axis=1, dtype=np.float64)
        self.brightness += brightness.tolist()
        scores = -np.abs(np.arange(K) - brightness[:, None] / 255 * (K - 1))
        b = len(crops)
        features = np.zeros((b, 2, 1, 1), np.float32)
        return self.alter(crops, Outputs(scores.astype(np.float32), np.zeros((b, 4), np.float32), features))

    def close(self) -> None:
        """See `exalign_engine.runtime.Runtime`."""
        self.closed = True


class FakeDetector:
    """Finds what it is told to find."""

    name, min_score = "mtcnn", 0.7

    def __init__(self, *faces: tuple[Corners, float]) -> None:
        self.faces = list(faces)

    def release(self) -> None:
        """Let go of what is held."""

    def detect(self, image: U8) -> list[RawDetection]:
        """See `exalign_engine.detect.Detector`."""
        return [RawDetection(np.array(box), score) for box, score in self.faces]


def tiny_bundle(folder: Path) -> Bundle:
    """K shapes that differ in size, in memory; the files are there only to have a size."""
    rng = np.random.default_rng(7)
    base = rng.uniform(0.1, 0.9, (68, 2))
    shapes = np.stack([0.5 + (base - 0.5) * (0.8 + 0.03 * k) for k in range(K)])
    for name in (*FILES, MANIFEST):
        (folder / name).write_bytes(b"x")
    return Bundle(
        path=folder,
        id="b" * 64,
        manifest=Manifest(
            schema_version=1,
            name="tiny",
            created="2026-01-01",
            files=dict.fromkeys(FILES, "a" * 64),
            input_size=SIDE,
            margin=1.3,
            landmarks=68,
            exemplars=K,
            tau=0.05,
            training_data="none",
            licences=(Licence("weights", "none", "for tests"),),
        ),
        exemplars=Exemplars(
            shapes=shapes.astype(np.float32),
            variance=np.full(K, 1e-4, np.float32),
            mirror_of=np.arange(K, dtype=np.int32),
            source=np.full(K, -1, np.int32),
            source_ids=(),
        ),
        poses=Poses(rng.normal(0, 0.3, (68, 3)), np.zeros((K, 3), np.float32), np.ones((K, 3), np.float32)),
        calibration=Calibration(),
        detectors={"mtcnn": BoxAffine(0.0, 0.1, 0.9), "yunet": BoxAffine(0.0, 0.0, 1.0)},
        baseline=Baseline(np.zeros((6, 136), np.float32), np.zeros(136, np.float32)),
    )


def config(**changes: object) -> ServerConfig:
    """A configuration on free ports; changes are by name of the setting.

    Nothing counts as stuck for two minutes: tests hold work on purpose, and machines are busy.
    """
    changes.setdefault("stuck_after", 120.0)

    def part(section: type) -> dict[str, object]:
        return {k: changes.pop(k) for k in list(changes) if k in section.__dataclass_fields__}  # type: ignore[attr-defined]

    sections: dict[str, object] = {
        "batching": BatchingConfig(**part(BatchingConfig)),  # type: ignore[arg-type]
        "limits": LimitsConfig(**part(LimitsConfig)),  # type: ignore[arg-type]
        "sessions": SessionsConfig(**part(SessionsConfig)),  # type: ignore[arg-type]
        "watching": WatchingConfig(**part(WatchingConfig)),  # type: ignore[arg-type]
        "access": AccessConfig(**part(AccessConfig)),  # type: ignore[arg-type]
        "traces": TracesConfig(**part(TracesConfig)),  # type: ignore[arg-type]
        "recording": RecordingConfig(**part(RecordingConfig)),  # type: ignore[arg-type]
        "stores": StoreConfig(**part(StoreConfig)),  # type: ignore[arg-type]
    }
    values = {"address": "127.0.0.1:0", "metrics_address": "127.0.0.1:0", **changes}
    return ServerConfig(**sections, **values)  # type: ignore[arg-type]


@dataclass
class Running:
    """A server, what is fake about it, and a client."""

    server: Server
    runtime: FakeRuntime
    detector: FakeDetector
    channel: grpc.aio.Channel
    stub: service_pb2_grpc.FaceAlignmentServiceAsyncStub = field(init=False)

    def __post_init__(self) -> None:
        self.stub = service_pb2_grpc.FaceAlignmentServiceStub(self.channel)

    def sample(self, name: str, **labels: str) -> float:
        """The value of one sample of the server's metrics."""
        value = self.server.metrics.registry.get_sample_value(name, labels)
        assert value is not None, f"there is no sample {name} {labels}"
        return value


@asynccontextmanager
async def running(
    folder: Path,
    settings: ServerConfig | None = None,
    clock: Clock | None = None,
    detector: FakeDetector | None = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[Running]:
    """A started server with a client, over TLS where there are credentials; stopped at the end."""
    runtime, detector = FakeRuntime(), detector or FakeDetector()
    aligner = Aligner(tiny_bundle(folder), runtime, {"mtcnn": detector})
    server = Server(settings or config(), aligner, clock=clock)
    await server.start()
    await server.warm()
    runtime.batches.clear()
    runtime.brightness.clear()
    try:
        async with channel_to(server.address, credentials) as channel:
            yield Running(server, runtime, detector, channel)
    finally:
        runtime.gate.set()
        detector.release()
        if not runtime.closed:
            await server.stop(0)


def channel_to(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A connection of its own, over TLS where there are credentials."""
    own = [("grpc.use_local_subchannel_pool", 1)]
    if credentials is None:
        return grpc.aio.insecure_channel(address, own)
    return grpc.aio.secure_channel(address, credentials, own)


@asynccontextmanager
async def another_caller(live: Running, credentials: grpc.ChannelCredentials | None = None) -> AsyncIterator[Running]:
    """The same server, over a connection of its own."""
    async with channel_to(live.server.address, credentials) as channel:
        yield Running(live.server, live.runtime, live.detector, channel)


#: What must happen happens within so many seconds, also where a machine has twenty things to do.
PATIENCE = 120.0


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Wait for something that must happen."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


def picture(width: int = 64, height: int = 48, seed: int = 0) -> U8:
    """A smooth colour picture, RGB."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def encoded(image: U8 | None = None, kind: str = ".png") -> bytes:
    """A picture as a file."""
    rgb = picture() if image is None else image
    return bytes(cv2.imencode(kind, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1])


def request(*boxes: Corners, data: bytes | None = None) -> service_pb2.PredictLandmarksRequest:
    """A request with boxes in the face box convention."""
    return service_pb2.PredictLandmarksRequest(
        image=image_pb2.Image(encoded=encoded() if data is None else data),
        boxes=[geometry_pb2.Box(x0=a, y0=b, x1=c, y1=d) for a, b, c, d in boxes],
    )


#: Stands in pictures, and nowhere else may it be seen.
MARK = b"FACE-OF-SOMEBODY"


def marked() -> list[image_pb2.Image]:
    """Pictures that hold the mark: in a text, in their pixels, in what is no picture at all, in one that is damaged."""
    png = encoded()
    text = b"tEXtComment\0" + MARK
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    whole = png[:33] + chunk + png[33:]
    pixels = MARK * (64 * 48 * 3 // len(MARK))
    raw = image_pb2.RawImage(width=64, height=48, data=pixels, pixel_format=image_pb2.PIXEL_FORMAT_RGB8)
    return [
        image_pb2.Image(encoded=whole),
        image_pb2.Image(raw=raw),
        image_pb2.Image(encoded=MARK * 100),
        image_pb2.Image(encoded=whole[:-40]),
    ]


#: A box that is right for `picture()`.
GOOD_BOX = (10.0, 10.0, 40.0, 40.0)


def metadata_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The trailing metadata of an error."""
    trailing: Any = error.trailing_metadata()
    return dict(trailing)


@dataclass(frozen=True)
class Details:
    """What the google.rpc details of an error say."""

    violations: dict[str, str]
    reason: str
    domain: str
    retry_seconds: float | None


def details_of(error: grpc.aio.AioRpcError) -> Details:
    """Unpack the status details of an error, and check that they agree with its code and message."""
    status = status_pb2.Status()
    status.ParseFromString(metadata_of(error)["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    bad, info, retry = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    found = {any_.TypeName().rpartition(".")[2] for any_ in status.details}
    for any_ in status.details:
        for message in (bad, info, retry):
            any_.Unpack(message)
    return Details(
        {v.field: v.description for v in bad.field_violations},
        info.reason,
        info.domain,
        retry.retry_delay.ToTimedelta().total_seconds() if "RetryInfo" in found else None,
    )
