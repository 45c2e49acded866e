"""The addresses of several processes: those of the first, and the next ports up."""

from __future__ import annotations

from exalign_engine.settings import Problem

_UNIX = "unix:"

_LAST_PORT = 65_535


def address_of(address: str, index: int) -> str:
    """The address of one of several processes.

    Args:
        address: of the first, HOST:PORT or unix:/PATH. Port 0 stays 0: it picks one.
        index: of the process, from 0.

    Returns:
        The port is ``index`` higher; a path has ``.index`` at its end, but for the first.
    """
    if address.startswith(_UNIX):
        return f"{address}.{index}" if index else address
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + index if int(port) else 0}"


def port_problems(address: str, metrics_address: str, processes: int) -> list[Problem]:
    """Where the ports of several processes would be too high, or those of one would be another's."""
    problems = []
    ports = {name: _port(value) for name, value in (("address", address), ("metrics_address", metrics_address))}
    for name, port in ports.items():
        if port + processes - 1 > _LAST_PORT:
            text = f"{name} has port {port}, with {processes} processes must be at most {_LAST_PORT + 1 - processes}"
            problems.append(Problem((name, "processes"), text))
    grpc, metrics = ports.values()
    if processes > 1 and grpc and metrics and abs(grpc - metrics) < processes:
        text = f"address and metrics_address have ports {grpc} and {metrics}, must be {processes} apart or more"
        problems.append(Problem(("address", "metrics_address", "processes"), text))
    return problems


def _port(address: str) -> int:
    """0 where there is none, or any."""
    return 0 if address.startswith(_UNIX) else int(address.rpartition(":")[2])
