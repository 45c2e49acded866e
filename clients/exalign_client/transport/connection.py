"""A connection for blocking calls: retries, health, and the end of it. What is asked: `exalign_client.calls.sync`."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc
from google.protobuf.message import Message

from exalign.v1 import service_pb2, service_pb2_grpc
from exalign_client.errors import UnavailableError, error_from_rpc
from exalign_client.requests.arguments import check_timeout
from exalign_client.results.model import Model, model_from
from exalign_client.transport import health
from exalign_client.transport.channel import DEFAULT_TIMEOUT, open_channel
from exalign_client.transport.health import HealthStatus
from exalign_client.transport.retry import CallBudget

RequestT = TypeVar("RequestT", bound=Message, contravariant=True)
ResponseT = TypeVar("ResponseT", bound=Message, covariant=True)


class _Method(Protocol[RequestT, ResponseT]):
    def __call__(self, request: RequestT, timeout: float | None = None) -> ResponseT: ...


class Connection:
    """What `exalign_client.Client` can do whatever is asked; its arguments are described there."""

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
