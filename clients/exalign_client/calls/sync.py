"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from exalign.v1 import admin_pb2_grpc, service_pb2_grpc, track_pb2
from exalign_client.calls import methods
from exalign_client.calls.fitting import fitted, needs_limits
from exalign_client.calls.tracking import Tracking
from exalign_client.calls.unary import UnaryCall, documented_as
from exalign_client.errors import UnavailableError, error_from_rpc
from exalign_client.requests.arguments import check_timeout
from exalign_client.results.model import Limits
from exalign_client.track.requests import FrameInput
from exalign_client.track.sync import TrackStream
from exalign_client.transport import health
from exalign_client.transport.channel import DEFAULT_TIMEOUT, Encryption, open_channel
from exalign_client.transport.health import HealthStatus
from exalign_client.transport.retry import CallBudget
from exalign_client.transport.token import BearerToken, Headers, Token
from exalign_client.transport.trace_context import trace_headers

P = ParamSpec("P")
AnswerT = TypeVar("AnswerT")


def _blocking(description: Callable[P, UnaryCall[AnswerT]]) -> Callable[Concatenate[Client, P], AnswerT]:
    """A method that makes the call that a function of `exalign_client.calls.methods` describes."""

    @documented_as(description, "Client")
    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> AnswerT:
        return client._perform(description(*args, **kwargs))

    return method


class Client(Tracking[Iterable[FrameInput], TrackStream]):
    """A connection to an Exalign server, for blocking calls. Threads may share it.

    A call that fails with UNAVAILABLE is repeated with growing pauses, one that a busy server turns away is
    repeated after the pause that the server names; at most 4 attempts and never beyond the timeout. Both are safe:
    the calls change nothing.

    Args:
        address: ``host:port``, or ``unix:/path/of/socket``.
        tls: False for plain text, True for TLS with the system's certificates, `Tls` for files of a private authority
            or of the caller's own certificate, or ``grpc.ChannelCredentials`` for anything else.
        token: shown with every call but health; a function is asked for it each time, so that it can be a new one.
        timeout: seconds for a whole call, retries included, where the call itself names no other.

    Raises:
        InvalidRequestError: ``timeout`` is not a finite number > 0; or there is a token, and no TLS on the way to
            another machine.

    Example:
        >>> with Client("localhost:50051") as client:
        ...     faces = client.predict("photo.jpg")
        ...     print(faces[0].landmarks)
    """

    def __init__(
        self,
        address: str,
        *,
        tls: Encryption = False,
        token: Token | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self.address = address
        self._timeout = check_timeout(timeout)
        self._token = BearerToken(token, address, encrypted=tls is not False)
        self._limits: Limits | None = None
        self._channel = open_channel(address, tls)
        self._stub = service_pb2_grpc.FaceAlignmentServiceStub(self._channel)
        self._stubs = {"faces": self._stub, "admin": admin_pb2_grpc.ModelAdminServiceStub(self._channel)}
        self._check_health = self._channel.unary_unary(
            health.CHECK,
            request_serializer=health.encode_request,
            response_deserializer=health.decode_response,
        )

    def __repr__(self) -> str:
        return f"<Client {self.address}>"

    predict = _blocking(methods.predict)
    heatmaps = _blocking(methods.heatmaps)
    pose = _blocking(methods.pose)
    condition = _blocking(methods.condition)
    suggest = _blocking(methods.suggest)
    exemplars = _blocking(methods.exemplars)
    model = _blocking(methods.model)
    swap_model = _blocking(methods.swap_model)

    def health(self, *, timeout: float | None = None) -> HealthStatus:
        """Check the health of the server, once and without retries.

        Args:
            timeout: seconds; None: the client's.

        Raises:
            UnavailableError: nobody answers.
            ExalignClientError: the call failed otherwise.
        """
        return self._health_once(check_timeout(self._timeout if timeout is None else timeout))

    def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the server reports that it is serving.

        Args:
            timeout: seconds; None: the client's.

        Raises:
            DeadlineError: it did not in time; the message names the last status.
            ExalignClientError: the check failed otherwise, such as `UnimplementedError`.
        """
        budget = CallBudget(self._timeout if timeout is None else timeout)
        while True:
            seen: HealthStatus | UnavailableError
            try:
                seen = self._health_once(budget.remaining())
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

    def _perform(self, call: UnaryCall[AnswerT]) -> AnswerT:
        method = getattr(self._stubs[call.service], call.rpc)
        budget = CallBudget(self._timeout if call.timeout is None else call.timeout)
        if self._limits is None and needs_limits(call.request):
            self._limits = self._perform(methods.model(timeout=budget.remaining())).limits
        request, scale = fitted(call.request, self._limits)
        while True:
            try:
                metadata = (*self._token.headers(), *trace_headers())
                response: Any = method(request, timeout=budget.remaining(), metadata=metadata)
                break
            except grpc.RpcError as error:
                ours = error_from_rpc(error, self.address)
                pause = budget.pause_after(ours)
                if pause is None:
                    raise ours from error
            time.sleep(pause)
        if scale is not None:
            scale.undo(response)
        return call.read(response)

    def _open_track(
        self, config: track_pb2.TrackConfig, frames: Iterable[FrameInput], window: int, timeout: float | None
    ) -> TrackStream:
        silence = check_timeout(self._timeout if timeout is None else timeout)
        track, token, trace = self._stub.TrackVideo, self._token, trace_headers()

        def opened(request_iterator: Any, *, metadata: Headers | None = None) -> Any:
            return track(request_iterator, metadata=(*(metadata or ()), *token.headers(), *trace))

        return TrackStream(opened, self.address, config, frames, window=window, timeout=silence)

    def _health_once(self, timeout: float) -> HealthStatus:
        try:
            status: HealthStatus = self._check_health("", timeout=timeout)
            return status
        except grpc.RpcError as error:
            raise error_from_rpc(error, self.address) from error
