"""What is wrong at first sight: found in milliseconds, before the model is loaded, and said in one line."""

from __future__ import annotations

import ipaddress
import os
import socket
from contextlib import ExitStack
from itertools import product
from pathlib import Path

from exalign_engine.errors import BundleError, RuntimeUnavailableError
from exalign_engine.runtime.precision import check_precision_on_cpu
from exalign_engine.runtime.registry import RUNTIMES
from exalign_service.config.ports import address_of
from exalign_service.config.schema import ModelConfig, ServerConfig

_UNIX = "unix:"


class StartError(Exception):
    """The server cannot start; one line says why."""


def check_start(config: ServerConfig) -> None:
    """Refuse what cannot be served from.

    Raises:
        StartError: an address cannot be listened on, or is beyond this machine without TLS; or there is no place to
            record to.
        BundleError: there is no bundle.
        RuntimeUnavailableError: a detector has no model file, or the runtime has not got the precision.
    """
    check_addresses(config)
    check_model(config.model)
    directory = config.recording.record_sessions
    if directory is not None and not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
        raise StartError(f"record_sessions is {str(directory)!r}, must be a directory that can be written")


def check_addresses(config: ServerConfig) -> None:
    """Take both addresses, of every process, and release them.

    Raises:
        StartError: one cannot be listened on, or that of gRPC is beyond this machine without TLS.
    """
    _check_exposure(config)
    with ExitStack() as held:  # together: they may be one and the same
        for name, index in product(("address", "metrics_address"), range(config.processes)):
            address = address_of(getattr(config, name), index)
            try:
                _take(address, held)
            except OSError as e:
                raise cannot_listen(name, address, e) from e


def cannot_listen(name: str, address: str, error: Exception) -> StartError:
    """What to say of an address, by the name of its setting."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return StartError(f"{name} is {address!r}, cannot be listened on: {reason}")


def _check_exposure(config: ServerConfig) -> None:
    """Without TLS, nobody but this machine, unless somebody has said so."""
    if config.access.tls or config.access.insecure or is_loopback(config.address):
        return
    text = f"address is {config.address!r}, must be on the loopback interface, or unix:/PATH, without tls_cert"
    raise StartError(f"{text}; set tls_cert and tls_key, or insecure where others keep strangers away")


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address; also where it has a name that nobody knows."""
    if address.startswith(_UNIX):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        found = {str(target[0]) for *_, target in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return True  # it cannot be listened on, which is said elsewhere
    return all(ipaddress.ip_address(one).is_loopback for one in found)


def _take(address: str, held: ExitStack) -> None:
    if address.startswith(_UNIX):
        _check_socket(Path(address.removeprefix(_UNIX)))
        return
    host, _, port = address.rpartition(":")
    family, kind, protocol, _, target = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    taken = held.enter_context(socket.socket(family, kind, protocol))
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(target)
    taken.listen()


def _check_socket(path: Path) -> None:
    """gRPC takes a path from whoever listens there, and says only on stderr why it cannot."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            pass  # free, or left behind by a server that was killed
        else:
            raise OSError("another server listens there")
    if not path.parent.is_dir():
        raise OSError(f"there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OSError(f"directory {path.parent} cannot be written")


def check_model(model: ModelConfig) -> None:
    """Refuse a model that is not there.

    Raises:
        BundleError: there is no bundle.
        RuntimeUnavailableError: a detector has no model file, or the runtime has not got the precision.
    """
    for path in (model.bundle, model.bundle_directory):
        if path is not None and not path.is_dir():
            raise BundleError(path, "no such directory")
    for name, path in model.detector_models.items():
        if not path.is_file():
            raise RuntimeUnavailableError(f"detector {name}: there is no model file {path}")
    spec = RUNTIMES.get(model.runtime)
    if spec is not None and not spec.on_gpu:
        check_precision_on_cpu(model.precision)
