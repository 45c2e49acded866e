"""Whether an address of a server means this machine, however it is spelt. Asks no name server."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import unquote

#: What gRPC takes before a name or a number: a scheme, and for names an authority.
_SCHEME = re.compile(r"(?:dns://[^/]*/|dns:|ipv4:|ipv6:|passthrough:(?://[^/]*/)?)", re.IGNORECASE)

#: Names of this machine that every system has, or that mean it by rule (RFC 6761).
_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"}


def is_this_machine(address: str) -> bool:
    """Whether every place in a gRPC target is this machine: by a loopback name, or by the number of an interface.

    Args:
        address: ``HOST:PORT`` or another target of gRPC's, such as ``ipv4:127.0.0.1:50051``.
    """
    address = unquote(address)
    rest = address[match.end() :] if (match := _SCHEME.match(address)) else address
    places = [place.lstrip("/") for place in rest.split(",")]  # ipv4: and ipv6: take lists
    return all(_is_here(_host(place)) for place in places)


def _host(place: str) -> str:
    """The host of ``HOST:PORT``, ``[HOST]:PORT`` or a host by itself."""
    if place.startswith("["):
        return place[1:].partition("]")[0]
    if place.count(":") > 1:  # an IPv6 number without a port
        return place
    return place.partition(":")[0]


def _is_here(host: str) -> bool:
    name = host.casefold().removesuffix(".")
    if name in _NAMES or name.endswith(".localhost") or name == socket.gethostname().casefold():
        return True
    number = _number(name)
    if number is None:
        return False
    mapped = number.ipv4_mapped if isinstance(number, ipaddress.IPv6Address) else None
    number = mapped or number
    return number.is_loopback or number.is_unspecified or _is_own(number)


def _number(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_own(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an interface of this machine has the number: only then can it be bound. Nothing is sent."""
    family = socket.AF_INET if number.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(number), 0))
    except OSError:
        return False
    return True
