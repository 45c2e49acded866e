"""The connection to a server: channel options, what gRPC itself retries, TLS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import grpc
from grpc import aio

from exalign.v1 import admin_pb2, service_pb2
from exalign_client.errors import InvalidRequestError, Violation
from exalign_client.transport.this_machine import is_this_machine

#: Seconds for a whole call, its retries and their pauses included, where the caller names none.
DEFAULT_TIMEOUT = 30.0

#: Largest answer that is taken, bytes. Requests are limited by the server: ``Model.limits``.
MAX_ANSWER_BYTES = 64 * 2**20

#: Attempts of one call altogether. gRPC itself takes no more than 5.
MAX_ATTEMPTS = 4

_SERVICES = (
    service_pb2.DESCRIPTOR.services_by_name["FaceAlignmentService"],
    admin_pb2.DESCRIPTOR.services_by_name["ModelAdminService"],
)


def _service_config() -> str:
    """Retries of UNAVAILABLE, by gRPC itself, within the deadline of the call.

    Only for methods that the contract calls idempotent: TrackVideo is not among them, a stream is resumed and
    not repeated. RESOURCE_EXHAUSTED is not among the codes: its pause is in a RetryInfo, which gRPC does not
    read; `exalign_client.transport.retry` does.
    """
    idempotent = [
        {"service": service.full_name, "method": method.name}
        for service in _SERVICES
        for method in service.methods
        if not (method.client_streaming or method.server_streaming)
    ]
    return json.dumps(
        {
            "methodConfig": [
                {
                    "name": idempotent,
                    "retryPolicy": {
                        "maxAttempts": MAX_ATTEMPTS,
                        "initialBackoff": "0.1s",
                        "maxBackoff": "2s",
                        "backoffMultiplier": 2,
                        "retryableStatusCodes": ["UNAVAILABLE"],
                    },
                }
            ],
            # When about half of all calls fail, retries only add to the load: gRPC then stops making them.
            "retryThrottling": {"maxTokens": 50, "tokenRatio": 0.5},
        }
    )


def channel_options(address: str) -> list[tuple[str, str | int]]:
    """The options of every channel of ours."""
    options: list[tuple[str, str | int]] = [
        ("grpc.service_config", _service_config()),
        ("grpc.enable_retries", 1),
        ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        ("grpc.max_send_message_length", -1),
        # A connection that died silently is noticed during a call, not after its deadline. Not between calls:
        # many servers count those pings as abuse.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # Without this, a ping is waited for a minute, whatever the timeout of the keep-alive says.
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 0),
        # A server that is just starting is found soon, not after gRPC's usual second.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    if is_this_machine(address):
        # http_proxy in the environment means the world outside, not this machine.
        options.append(("grpc.enable_http_proxy", 0))
    return options


@dataclass(frozen=True)
class Tls:
    """Files for TLS, PEM; read when a client is made.

    Attributes:
        ca: authorities that vouch for the server; None: the system's.
        cert: the caller's certificate, for servers that ask for one.
        key: its private key, without a password.

    Raises:
        InvalidRequestError: there is one of ``cert`` and ``key`` alone.
    """

    ca: str | PathLike[str] | None = None
    cert: str | PathLike[str] | None = None
    key: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise InvalidRequestError([Violation("tls", "must have both of cert and key, or none")])

    def credentials(self) -> grpc.ChannelCredentials:
        """As gRPC takes them.

        Raises:
            OSError: a file cannot be read.
        """
        ca, key, cert = (None if path is None else Path(path).read_bytes() for path in (self.ca, self.key, self.cert))
        return grpc.ssl_channel_credentials(ca, key, cert)


#: How a connection is encrypted: not at all, with the system's authorities, with files, or as gRPC itself has it.
Encryption = bool | Tls | grpc.ChannelCredentials


def _credentials(tls: Encryption) -> grpc.ChannelCredentials | None:
    if isinstance(tls, Tls):
        return tls.credentials()
    return grpc.ssl_channel_credentials() if tls is True else (tls or None)


def open_channel(address: str, tls: Encryption) -> grpc.Channel:
    """A channel for blocking calls; `exalign_client.Client` describes the arguments."""
    options, credentials = channel_options(address), _credentials(tls)
    if credentials is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, credentials, options)


def open_aio_channel(address: str, tls: Encryption) -> aio.Channel:
    """A channel for calls with asyncio; `exalign_client.AsyncClient` describes the arguments."""
    options, credentials = channel_options(address), _credentials(tls)
    if credentials is None:
        return aio.insecure_channel(address, options)
    return aio.secure_channel(address, credentials, options)
