"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc
from google.protobuf.message import Message

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_client import health
from exalign_client.channel import DEFAULT_TIMEOUT, open_channel
from exalign_client.errors import UnavailableError, error_from_rpc
from exalign_client.health import HealthStatus
from exalign_client.model import Model, model_from
from exalign_client.requests import BoxInput, Group, ImageInput, check_timeout, predict_request
from exalign_client.results import Prediction, prediction_from
from exalign_client.retry import CallBudget

RequestT = TypeVar("RequestT", bound=Message, contravariant=True)
ResponseT = TypeVar("ResponseT", bound=Message, covariant=True)


class _Method(Protocol[RequestT, ResponseT]):
    def __call__(self, request: RequestT, timeout: float | None = None) -> ResponseT: ...


class Client:
    """A connection to an Exalign server, for blocking calls. Threads may share it.

    A call that fails with UNAVAILABLE is repeated with growing pauses, one that a busy server turns away is
    repeated when the server asked for it; at most 4 attempts and never beyond the timeout. Both are safe:
    the calls change nothing.

    Args:
        address: ``host:port``, or ``unix:/path/of/socket``.
        tls: False for plain text, True for TLS with the system's certificates, or ``grpc.ChannelCredentials``
            for anything else (a private authority, a client certificate).
        timeout: seconds for a whole call, retries included, where the call itself names no other.

    Raises:
        InvalidRequestError: ``timeout`` is not a finite number > 0.

    Example:
        >>> with Client("localhost:50051") as client:
        ...     faces = client.predict("photo.jpg")
        ...     print(faces[0].landmarks)
    """

    def __init__(
        self, address: str, *, tls: bool | grpc.ChannelCredentials = False, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        self.address = address
        self._timeout = check_timeout(timeout)
        self._channel = open_channel(address, tls)
        self._stub = service_pb2_grpc.FaceAlignmentServiceStub(self._channel)
        self._check_health = self._channel.unary_unary(
            health.CHECK,
            request_serializer=health.encode_request,
            response_deserializer=health.decode_response,
        )

    def predict(
        self,
        image: ImageInput,
        boxes: Iterable[BoxInput] | None = None,
        *,
        detector: str | None = None,
        max_faces: int | None = None,
        top_exemplars: int | None = None,
        groups: Iterable[Group] = (),
        timeout: float | None = None,
    ) -> Prediction:
        """Find the 68 landmarks of each face, with their uncertainty.

        Args:
            image: path of a JPEG, PNG, WebP or BMP file, the bytes of one, or pixels as a uint8 array:
                (H, W, 3) in the order red, green, blue (OpenCV's is the reverse: ``pixels[..., ::-1]``), or
                (H, W) grey. The EXIF orientation of a file is applied first, an array is taken as it is.
            boxes: the faces to align: each a `Box` or four numbers x0, y0, x1, y1 (image frame, pixels). None
                or empty: the server looks for faces.
            detector: name of the detector that looks for them; None: the server's default. See `model`.
            max_faces: at most so many, those with the highest scores, ≥ 1; None: the server's limit.
            top_exemplars: how many of the most probable exemplars to name, ≥ 0; None: the server's choice.
            groups: groups whose uncertainty as a whole is wanted: names ("jaw", "brows", "nose", "eyes",
                "mouth", "all") or lists of 0-based landmarks.
            timeout: seconds for the whole call, retries included; None: the client's.

        Returns:
            A sequence of faces; empty when there are none in the picture.

        Raises:
            InvalidRequestError: an argument is wrong, or the server says so; every bad field is named.
            OSError: the file cannot be read.
            ExalignClientError: the call failed; see `exalign_client.errors` for the kinds.
        """
        request = predict_request(
            image,
            boxes,
            detector=detector,
            max_faces=max_faces,
            top_exemplars=top_exemplars,
            groups=groups,
        )
        return prediction_from(self._call(self._stub.PredictLandmarks, request, timeout))

    def model(self, *, timeout: float | None = None) -> Model:
        """Say which model answers, how it is run, and what is accepted.

        Args:
            timeout: seconds for the whole call; None: the client's.

        Raises:
            ExalignClientError: the call failed.
        """
        return model_from(self._call(self._stub.GetModel, service_pb2.GetModelRequest(), timeout))

    def health(self, *, timeout: float | None = None) -> HealthStatus:
        """Ask the server how it is, once and without retries.

        Args:
            timeout: seconds; None: the client's.

        Raises:
            UnavailableError: nobody answers.
            ExalignClientError: the call failed otherwise.
        """
        return self._look(check_timeout(self._timeout if timeout is None else timeout))

    def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the server says that it is serving.

        Args:
            timeout: seconds; None: the client's.

        Raises:
            DeadlineError: it did not in time; the message says what was seen last.
            ExalignClientError: it cannot be asked, such as `UnimplementedError`.
        """
        budget = CallBudget(self._timeout if timeout is None else timeout)
        while True:
            seen: HealthStatus | UnavailableError
            try:
                seen = self._look(budget.remaining())
            except UnavailableError as error:
                seen = error
            if seen is HealthStatus.SERVING:
                return
            time.sleep(budget.pause_until_ready(seen, self.address))

    def close(self) -> None:
        """Close the connection. Calls still under way fail."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: _Method[RequestT, ResponseT], request: RequestT, timeout: float | None) -> ResponseT:
        budget = CallBudget(self._timeout if timeout is None else timeout)
        while True:
            try:
                return method(request, timeout=budget.remaining())
            except grpc.RpcError as error:
                ours = error_from_rpc(error, self.address)
                pause = budget.pause_after(ours)
                if pause is None:
                    raise ours from error
            time.sleep(pause)

    def _look(self, timeout: float) -> HealthStatus:
        try:
            status: HealthStatus = self._check_health("", timeout=timeout)
            return status
        except grpc.RpcError as error:
            raise error_from_rpc(error, self.address) from error
