"""The certificates of the gRPC port. They are read again when their files change, at the next connection."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import grpc

from exalign_service.access.watched_files import ReloadObserver, WatchedFiles, read_file
from exalign_service.config.access import AccessConfig
from exalign_service.config.start_checks import StartError

_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0
_TIMES = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}


class CertificateObserver(ReloadObserver, Protocol):
    """Shows until when the server's certificate holds."""

    def certificate_expires(self, at: float) -> None:
        """The certificate in use ends at this time, seconds since 1970."""


@dataclass(frozen=True)
class _Certificates:
    """One version of the files.

    Attributes:
        configuration: as gRPC takes it.
        expires: seconds since 1970.
    """

    configuration: grpc.ServerCertificateConfiguration
    expires: float


def read_certificates(config: AccessConfig) -> _Certificates:
    """Read and check what the settings name, of which TLS is one.

    Raises:
        StartError: a file cannot be read, is no certificate or key, or the key is another certificate's; or the
            certificate has expired.
    """
    cert, key = config.tls_cert, config.tls_key
    if cert is None or key is None:
        raise StartError("tls_cert and tls_key are not set")
    chain, private = read_file("tls_cert", cert), read_file("tls_key", key)
    try:
        # Without a password; None would ask the terminal for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
        expires = not_after(ssl.PEM_cert_to_DER_cert(_first(chain.decode("ascii", "replace"))))
    except (ssl.SSLError, OSError, ValueError) as e:
        text = f"tls_cert is {str(cert)!r} and tls_key is {str(key)!r}, must be a certificate and its own key, PEM"
        raise StartError(f"{text}, without a password: {_reason(e)}") from e
    if expires <= time.time():
        ended = datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds")
        raise StartError(f"tls_cert is {str(cert)!r}, has expired at {ended}")
    roots = None if config.tls_client_ca is None else _authorities(config.tls_client_ca)
    return _Certificates(grpc.ssl_server_certificate_configuration([(private, chain)], roots), expires)


def server_credentials(config: AccessConfig, observer: CertificateObserver) -> grpc.ServerCredentials:
    """What the gRPC port shows, and asks of callers; new at each connection, where the files are.

    Raises:
        StartError: see `read_certificates`.
    """
    paths = [path for path in (config.tls_cert, config.tls_key, config.tls_client_ca) if path is not None]
    files = WatchedFiles("certificates", paths, lambda: read_certificates(config), observer)
    used = files.current()
    observer.certificate_expires(used.expires)

    def newer() -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC before each handshake, in one of its threads; None: what it has stands."""
        nonlocal used
        now = files.current()
        if now is used:
            return None
        used = now
        observer.certificate_expires(now.expires)
        return now.configuration

    return grpc.dynamic_ssl_server_credentials(
        used.configuration,
        newer,  # type: ignore[arg-type]  # the stubs lack None
        require_client_authentication=config.tls_client_ca is not None,
    )


def add_port(server: grpc.aio.Server, address: str, config: AccessConfig, observer: CertificateObserver) -> int:
    """Listen, with TLS where it is set; returns the port.

    Raises:
        StartError: see `read_certificates`.
        OSError, RuntimeError: the address cannot be listened on.
    """
    if not config.tls:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, server_credentials(config, observer))


def not_after(der: bytes) -> float:
    """When a certificate ends, seconds since 1970.

    Args:
        der: the certificate, X.509.

    Raises:
        ValueError: it is none.
    """
    certificate = _parts(der)
    body = _parts(_parts(certificate[0][1])[0][1])
    if body[0][0] == _VERSION:
        body = body[1:]
    _serial, _algorithm, _issuer, validity = body[:4]
    _, (tag, text) = _parts(validity[1])
    if tag not in _TIMES:
        raise ValueError("its validity is no time")
    return datetime.strptime(text.decode("ascii"), _TIMES[tag]).replace(tzinfo=UTC).timestamp()


def _parts(der: bytes) -> list[tuple[int, bytes]]:
    """(tag, contents) of each part of a DER value."""
    found, at = [], 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:
            count = size & 0x7F
            size, at = int.from_bytes(der[at : at + count], "big"), at + count
        found.append((tag, der[at : at + size]))
        at += size
    return found


def _first(pem: str) -> str:
    """The first certificate of a chain, which is the server's."""
    begin, end = ssl.PEM_HEADER, ssl.PEM_FOOTER
    if begin not in pem or end not in pem:
        raise ValueError("it holds no certificate")
    return begin + pem.partition(begin)[2].partition(end)[0] + end


def _authorities(path: Path) -> bytes:
    """The authorities of callers' certificates.

    Raises:
        StartError: the file cannot be read, or holds none.
    """
    data = read_file("tls_client_ca", path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=data.decode("ascii"))
    except (ssl.SSLError, ValueError) as e:
        raise StartError(f"tls_client_ca is {str(path)!r}, must be certificates, PEM: {_reason(e)}") from e
    return data


def _reason(error: Exception) -> str:
    """In a few words, without the name of a file of OpenSSL's."""
    return (getattr(error, "reason", None) or str(error)).lower().replace("_", " ")
