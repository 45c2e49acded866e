"""The asyncio client. What its methods take, answer and raise is described at `exalign_client.Client`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Iterable
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import aio

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_client.errors import UnavailableError, error_from_rpc
from exalign_client.requests.arguments import BoxInput, Group, ImageInput, LandmarkOrGroup, check_timeout
from exalign_client.requests.messages import (
    Criterion,
    Evidence,
    LandmarkOptions,
    SuggestionOptions,
    condition_request,
    exemplars_request,
    heatmaps_request,
    pose_request,
    predict_request,
    suggest_request,
)
from exalign_client.requests.views import HeatmapOptions, PoseOptions
from exalign_client.results.conditional import (
    Conditional,
    Exemplar,
    Suggestions,
    conditional_from,
    exemplars_from,
    suggestions_from,
)
from exalign_client.results.faces import Faces, Prediction, faces_from, prediction_from
from exalign_client.results.model import Model, model_from
from exalign_client.track.aio import AsyncTrackStream
from exalign_client.track.requests import DEFAULT_WINDOW, FrameInput, TemporalModel, check_frames, track_config
from exalign_client.transport import health
from exalign_client.transport.channel import DEFAULT_TIMEOUT, open_aio_channel
from exalign_client.transport.health import HealthStatus
from exalign_client.transport.retry import CallBudget

RequestT = TypeVar("RequestT", bound=Message, contravariant=True)
ResponseT = TypeVar("ResponseT", bound=Message, covariant=True)


class _Method(Protocol[RequestT, ResponseT]):
    def __call__(self, request: RequestT, /, *, timeout: float | None = None) -> Awaitable[ResponseT]: ...


class AsyncClient:
    """A connection to an Exalign server, for asyncio. Make it inside the event loop that uses it.

    Arguments and retries are those of `Client`.

    Example:
        >>> async with AsyncClient("localhost:50051") as client:
        ...     faces = await client.predict("photo.jpg")
    """

    def __init__(
        self, address: str, *, tls: bool | grpc.ChannelCredentials = False, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        self.address = address
        self._timeout = check_timeout(timeout)
        self._channel: aio.Channel = open_aio_channel(address, tls)
        self._stub = service_pb2_grpc.FaceAlignmentServiceStub(self._channel)
        self._check_health = self._channel.unary_unary(
            health.CHECK,
            request_serializer=health.encode_request,
            response_deserializer=health.decode_response,
        )

    async def predict(
        self,
        image: ImageInput,
        boxes: Iterable[BoxInput] | None = None,
        *,
        detector: str | None = None,
        max_faces: int | None = None,
        top_exemplars: int | None = None,
        groups: Iterable[Group] = (),
        heatmaps: HeatmapOptions | None = None,
        pose: PoseOptions | None = None,
        timeout: float | None = None,
    ) -> Prediction:
        """Find the 68 landmarks of each face; see `Client.predict`."""
        # In a thread: reading a file or copying a large picture must not hold up the event loop.
        request = await asyncio.to_thread(
            predict_request,
            image,
            boxes,
            detector=detector,
            max_faces=max_faces,
            top_exemplars=top_exemplars,
            groups=groups,
            heatmaps=heatmaps,
            pose=pose,
        )
        return prediction_from(await self._call(self._stub.PredictLandmarks, request, timeout))

    async def heatmaps(
        self,
        image: ImageInput | None = None,
        boxes: Iterable[BoxInput] | None = None,
        *,
        posterior_id: str | None = None,
        options: HeatmapOptions | None = None,
        pose: PoseOptions | None = None,
        landmarks: LandmarkOptions | None = None,
        detector: str | None = None,
        max_faces: int | None = None,
        timeout: float | None = None,
    ) -> Faces:
        """Say where chosen landmarks may be; see `Client.heatmaps`."""
        request = await asyncio.to_thread(
            heatmaps_request,
            image,
            boxes,
            posterior_id=posterior_id,
            options=options,
            pose=pose,
            landmarks=landmarks,
            detector=detector,
            max_faces=max_faces,
        )
        return faces_from(await self._call(self._stub.PredictHeatmaps, request, timeout))

    async def pose(
        self,
        image: ImageInput | None = None,
        boxes: Iterable[BoxInput] | None = None,
        *,
        posterior_id: str | None = None,
        options: PoseOptions | None = None,
        heatmaps: HeatmapOptions | None = None,
        landmarks: LandmarkOptions | None = None,
        detector: str | None = None,
        max_faces: int | None = None,
        timeout: float | None = None,
    ) -> Faces:
        """Say how the head is turned; see `Client.pose`."""
        request = await asyncio.to_thread(
            pose_request,
            image,
            boxes,
            posterior_id=posterior_id,
            options=options,
            heatmaps=heatmaps,
            landmarks=landmarks,
            detector=detector,
            max_faces=max_faces,
        )
        return faces_from(await self._call(self._stub.EstimatePose, request, timeout))

    async def condition(
        self,
        image: ImageInput | None = None,
        evidence: Evidence = (),
        *,
        posterior_id: str | None = None,
        box: BoxInput | None = None,
        box_moves: bool = True,
        heatmaps: HeatmapOptions | None = None,
        pose: PoseOptions | None = None,
        landmarks: LandmarkOptions | None = None,
        include_prior: bool = False,
        detector: str | None = None,
        timeout: float | None = None,
    ) -> Conditional:
        """Answer about one face given evidence; see `Client.condition`."""
        request = await asyncio.to_thread(
            condition_request,
            image,
            evidence,
            posterior_id=posterior_id,
            box=box,
            box_moves=box_moves,
            heatmaps=heatmaps,
            pose=pose,
            landmarks=landmarks,
            include_prior=include_prior,
            detector=detector,
        )
        return conditional_from(await self._call(self._stub.QueryConditional, request, timeout))

    async def suggest(
        self,
        image: ImageInput | None = None,
        evidence: Evidence = (),
        *,
        posterior_id: str | None = None,
        box: BoxInput | None = None,
        box_moves: bool = True,
        candidates: Iterable[LandmarkOrGroup] = (),
        max_suggestions: int | None = None,
        criterion: Criterion = "error",
        click_sigma: float | None = None,
        heatmaps: HeatmapOptions | None = None,
        pose: PoseOptions | None = None,
        landmarks: LandmarkOptions | None = None,
        detector: str | None = None,
        timeout: float | None = None,
    ) -> Suggestions:
        """Say which landmark a person should click next; see `Client.suggest`."""
        request = await asyncio.to_thread(
            suggest_request,
            image,
            evidence,
            posterior_id=posterior_id,
            box=box,
            box_moves=box_moves,
            candidates=candidates,
            max_suggestions=max_suggestions,
            criterion=criterion,
            click_sigma=click_sigma,
            heatmaps=heatmaps,
            pose=pose,
            landmarks=landmarks,
            detector=detector,
        )
        return suggestions_from(await self._call(self._stub.SuggestEvidence, request, timeout))

    def track(
        self,
        frames: Iterable[FrameInput] | AsyncIterable[FrameInput],
        *,
        live: bool = False,
        temporal_model: TemporalModel = "filter",
        smoothing_lag: int = 0,
        max_faces: int | None = None,
        detector: str | None = None,
        detect_every: int | None = None,
        landmarks: LandmarkOptions | None = None,
        heatmaps: HeatmapOptions | None = None,
        pose: PoseOptions | None = None,
        path_frames: int = 0,
        suggestion: SuggestionOptions | None = None,
        session_id: str | None = None,
        window: int = DEFAULT_WINDOW,
        timeout: float | None = None,
    ) -> AsyncTrackStream:
        """Follow faces through a video; see `Client.track`. ``frames`` may be asynchronous.

        Example:
            >>> async with client.track(frames) as video:
            ...     async for event in video:
            ...         print(event.frame_index, [track.state for track in event.tracks])
        """
        check_frames(frames, asynchronous=True)
        config = track_config(
            live=live,
            temporal_model=temporal_model,
            smoothing_lag=smoothing_lag,
            max_faces=max_faces,
            detector=detector,
            detect_every=detect_every,
            landmarks=landmarks,
            heatmaps=heatmaps,
            pose=pose,
            path_frames=path_frames,
            suggestion=suggestion,
            session_id=session_id,
            window=window,
        )
        patience = check_timeout(self._timeout if timeout is None else timeout)
        return AsyncTrackStream(self._stub.TrackVideo, self.address, config, frames, window=window, timeout=patience)

    async def exemplars(
        self, class_ids: Iterable[int], *, bundle_id: str | None = None, timeout: float | None = None
    ) -> tuple[Exemplar, ...]:
        """Return the shapes behind class ids; see `Client.exemplars`."""
        request = exemplars_request(class_ids, bundle_id)
        return exemplars_from(await self._call(self._stub.GetExemplars, request, timeout))

    async def model(self, *, timeout: float | None = None) -> Model:
        """Say which model answers; see `Client.model`."""
        return model_from(await self._call(self._stub.GetModel, service_pb2.GetModelRequest(), timeout))

    async def health(self, *, timeout: float | None = None) -> HealthStatus:
        """Ask the server how it is, once; see `Client.health`."""
        return await self._look(check_timeout(self._timeout if timeout is None else timeout))

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the server says that it is serving; see `Client.wait_ready`."""
        budget = CallBudget(self._timeout if timeout is None else timeout)
        while True:
            seen: HealthStatus | UnavailableError
            try:
                seen = await self._look(budget.remaining())
            except UnavailableError as error:
                seen = error
            if seen is HealthStatus.SERVING:
                return
            await asyncio.sleep(budget.pause_until_ready(seen, self.address))

    async def close(self) -> None:
        """Close the connection. Calls still under way are cancelled."""
        await self._channel.close(grace=None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, method: _Method[RequestT, ResponseT], request: RequestT, timeout: float | None) -> ResponseT:
        budget = CallBudget(self._timeout if timeout is None else timeout)
        while True:
            try:
                return await method(request, timeout=budget.remaining())
            except grpc.RpcError as error:
                ours = error_from_rpc(error, self.address)
                pause = budget.pause_after(ours)
                if pause is None:
                    raise ours from error
            await asyncio.sleep(pause)

    async def _look(self, timeout: float) -> HealthStatus:
        try:
            status: HealthStatus = await self._check_health("", timeout=timeout)
            return status
        except grpc.RpcError as error:
            raise error_from_rpc(error, self.address) from error
