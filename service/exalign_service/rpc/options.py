"""The options of the gRPC server. gRPC ignores a name that it does not know: a test asks its library for each."""

from __future__ import annotations

#: Calls and streams of one connection at once: more than there may be calls in progress and sessions by default.
MAX_CALLS_OF_CONNECTION = 512

#: Clients may ping so often, also where nothing is said on a connection, seconds.
SHORTEST_PING_INTERVAL = 3.0

#: Share of that interval at which gRPC takes offence: pings that travel may come closer together than they were sent.
_PING_SLACK = 0.8

#: gRPC takes messages up to so many times the limit, and at least so many bytes. Between limit and ceiling we refuse,
#: count and explain them ourselves; beyond it gRPC cuts the call before anything of the message is kept. A message
#: that is taken costs about three times its size while it is read.
_CEILING_FACTOR, _LEAST_CEILING = 4, 32 * 2**20


def message_ceiling(max_message_bytes: int) -> int:
    """The largest message that gRPC takes, bytes, where the limit is ``max_message_bytes``."""
    return min(max(_CEILING_FACTOR * max_message_bytes, _LEAST_CEILING), 2**31 - 1)


def server_options(
    max_message_bytes: int, shortest_ping_interval: float = SHORTEST_PING_INTERVAL
) -> list[tuple[str, int]]:
    """The options of every server of ours.

    Args:
        max_message_bytes: limit of the server on requests.
        shortest_ping_interval: clients may ping so often, seconds.
    """
    return [
        # One process a port: the kernel must not spread connections over processes with other sessions.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", message_ceiling(max_message_bytes)),
        # Calls of one connection that are in progress; further ones wait with their caller.
        ("grpc.max_concurrent_streams", MAX_CALLS_OF_CONNECTION),
        # What a request may ask for is bounded before anything is computed: `requests.answer_size`.
        ("grpc.max_send_message_length", -1),
        ("grpc.http2.min_ping_interval_without_data_ms", round(_PING_SLACK * shortest_ping_interval * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        # We find dead connections within 40 s. Both timeouts: without its own, a ping is waited for a minute, however
        # short that of the keep-alive is.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
    ]
