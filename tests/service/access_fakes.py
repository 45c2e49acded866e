"""Certificate authorities and certificates made by the tests."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="needs cryptography (extra 'jwt')")

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as a file without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str = "server") -> tuple[Path, Path]:
        """Into two files, which take the place of those that were there."""
        found = []
        for suffix, data in ((".crt", self.certificate), (".key", self.key)):
            new, path = folder / f"new{suffix}", folder / f"{name}{suffix}"
            new.write_bytes(data)
            new.rename(path)
            found.append(path)
        return found[0], found[1]


class Authority:
    """Signs certificates."""

    def __init__(self, name: str = "tests") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        builder = _builder(self._name, self._name, self._key, timedelta(days=1))
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        signed = builder.add_extension(constraint, critical=True).sign(self._key, hashes.SHA256())
        self.certificate = signed.public_bytes(serialization.Encoding.PEM)

    def write(self, folder: Path, name: str = "authority") -> Path:
        """Into a file."""
        path = folder / f"{name}.crt"
        path.write_bytes(self.certificate)
        return path

    def issue(self, name: str = "server", *, ends: timedelta = timedelta(hours=1), uri: str = "") -> Pair:
        """A certificate for this machine, or for a caller with a URI."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)] if uri else []
        if not names:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = _builder(_named(name), self._name, key, ends)
        signed = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        data = signed.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return Pair(data, pem(key))

    def trusted(self, caller: Pair | None = None) -> grpc.ChannelCredentials:
        """What a client brings that trusts this authority, and shows a certificate."""
        if caller is None:
            return grpc.ssl_channel_credentials(self.certificate)
        return grpc.ssl_channel_credentials(self.certificate, caller.key, caller.certificate)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, ends: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + ends)
    )
