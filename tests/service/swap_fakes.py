"""A server over a directory of whole, small bundles, and a client that may swap them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from drawn_bundles import write_bundle
from exalign.v1 import admin_pb2, admin_pb2_grpc, model_pb2, service_pb2, service_pb2_grpc
from exalign_engine.bundle.bundle import MANIFEST, sha256
from exalign_service import Server
from exalign_service.config.schema import ModelConfig
from exalign_service.rpc.clock import Clock
from service_fakes import GOOD_BOX, channel_to, config, request, until


@dataclass
class BundleServer:
    """A server, its directory, and a client."""

    server: Server
    directory: Path
    channel: grpc.aio.Channel

    def __post_init__(self) -> None:
        self.stub: Any = service_pb2_grpc.FaceAlignmentServiceStub(self.channel)
        self.admin: Any = admin_pb2_grpc.ModelAdminServiceStub(self.channel)

    def id_of(self, name: str) -> str:
        """The bundle of a name."""
        return sha256(self.directory / name / MANIFEST)

    async def swap(self, name: str) -> admin_pb2.SwapModelResponse:
        """Put a bundle in the place of the one that answers."""
        answer: admin_pb2.SwapModelResponse = await self.admin.SwapModel(admin_pb2.SwapModelRequest(bundle=name))
        return answer

    async def predict(self) -> service_pb2.PredictLandmarksResponse:
        """A call about one face."""
        answer: service_pb2.PredictLandmarksResponse = await self.stub.PredictLandmarks(request(GOOD_BOX))
        return answer

    async def live(self) -> list[model_pb2.LiveBundle]:
        """Bundles in memory, the one that answers first."""
        return list((await self.stub.GetModel(service_pb2.GetModelRequest())).live_bundles)

    async def only(self, name: str) -> None:
        """Wait until a bundle is the only one, and there is room for another."""
        await until(lambda: not self.server.live_models.full)
        (one,) = await self.live()
        assert (one.bundle_id, one.current) == (self.id_of(name), True)

    def sample(self, name: str, **labels: str) -> float | None:
        """The value of one sample of the server's metrics; None where there is none."""
        return self.server.metrics.registry.get_sample_value(name, labels)


def bundles(directory: Path, count: int = 3) -> Path:
    """A directory of bundles "b0", "b1", ..., whose link names the first."""
    directory.mkdir()
    for number in range(count):
        write_bundle(directory / f"b{number}", number)
    (directory / "current").symlink_to("b0")
    return directory


@asynccontextmanager
async def serving_bundles(
    directory: Path, clock: Clock | None = None, **settings: object
) -> AsyncIterator[BundleServer]:
    """A server over `bundles`, all warm; stopped at the end."""
    model = ModelConfig(bundle_directory=directory, runtime="onnxruntime")
    server = Server(config(model=model, **settings), clock=clock)
    await server.start()
    await server.warm()
    try:
        async with channel_to(server.address) as channel:
            yield BundleServer(server, directory, channel)
    finally:
        await server.stop(0)
