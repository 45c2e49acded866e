"""Who may speak to the server: TLS, tokens, and listening without either."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from exalign_engine.settings import ConfigError, Problem, Rule, check

#: Settings that mean nothing without another one.
_NEEDED = (
    ("tls_cert", "tls_key"),
    ("tls_key", "tls_cert"),
    ("tls_client_ca", "tls_cert"),
    # Without an audience, a token that its holder gave to any other service would be good here.
    ("token_jwks", "token_audience"),
    ("token_audience", "token_jwks"),
    ("token_issuer", "token_jwks"),
)


@dataclass(frozen=True)
class AccessConfig:
    """Who may speak to the server.

    Raises:
        ConfigError: a setting is wrong, or stands without one that it needs.
    """

    tls_cert: Annotated[Path | None, Rule("certificate chain of the gRPC port, PEM; read again when it changes")] = None
    tls_key: Annotated[Path | None, Rule("its private key, PEM, without a password")] = None
    tls_client_ca: Annotated[
        Path | None, Rule("authorities of callers' certificates, PEM; set: every caller must have one")
    ] = None
    insecure: Annotated[
        bool, Rule("listen without TLS also beyond this machine: whoever is on the way reads and changes everything")
    ] = False
    token_file: Annotated[
        Path | None, Rule("tokens of callers, as `exalign-server token` writes them; set: every call needs one")
    ] = None
    token_jwks: Annotated[
        Path | None, Rule("public keys (JWKS) of who signs callers' tokens (JWT); set: every call needs one")
    ] = None
    token_audience: Annotated[str | None, Rule("audience that such a token must name (aud)")] = None
    token_issuer: Annotated[str | None, Rule("issuer that such a token must name (iss); not set: any")] = None
    resume_keys: Annotated[
        Path | None,
        Rule("keys of resume tokens, a line each in hex, the newest first; not set: a random one of each process"),
    ] = None
    quota_requests: Annotated[
        float | None, Rule("calls of one caller in a second, after a burst of ten seconds' worth", 0.001, 1_000_000.0)
    ] = None
    quota_frames: Annotated[
        float | None, Rule("video frames of one caller in a second, after such a burst", 0.001, 1_000_000.0)
    ] = None
    quota_cpu_seconds: Annotated[
        float | None, Rule("thread time that one caller is given in a second, after such a burst", 0.001, 1024.0)
    ] = None
    quota_sessions: Annotated[
        int | None, Rule("video sessions of one caller at once, beside caller_share", least=0, most=65_536)
    ] = None
    quota_posterior_bytes: Annotated[
        int | None, Rule("memory for one caller's posteriors, bytes; its oldest give way", least=1, most=2**40)
    ] = None

    def __post_init__(self) -> None:
        check(self)
        problems = list(self._incomplete())
        if self.insecure and self.tls_cert is not None:
            problems.append(Problem(("insecure", "tls_cert"), "insecure is True, must not be with tls_cert"))
        if problems:
            raise ConfigError(problems)

    @property
    def tls(self) -> bool:
        """Whether the gRPC port speaks TLS."""
        return self.tls_cert is not None

    def _incomplete(self) -> Iterable[Problem]:
        """Settings that stand without one that they need."""
        for name, needed in _NEEDED:
            value = getattr(self, name)
            if value is not None and getattr(self, needed) is None:
                yield Problem((name, needed), f"{name} is {str(value)!r}, must not be without {needed}")
