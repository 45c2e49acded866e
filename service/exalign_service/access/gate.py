"""Who a caller is, and whether it may call a method; decided from the headers, before any message is read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from exalign_service.access.holder import BadTokenError, Holder
from exalign_service.access.scopes import ANY, OPEN, PREDICT, TRACK, needed
from exalign_service.access.static_tokens import PREFIX, read_tokens
from exalign_service.access.watched_files import ReloadObserver, WatchedFiles
from exalign_service.config.access import AccessConfig
from exalign_service.observability.logs import Seldom
from exalign_service.rpc.errors import AccessError, PermissionDeniedError, UnauthenticatedError

if TYPE_CHECKING:
    import grpc

_log = logging.getLogger(__name__)

#: Files are looked at so often, seconds: a token that was struck out is good for so long.
_LOOK = 1.0

#: Lines a second about calls that were denied; the next one says how many were left out.
_LINES = 20

#: What a caller may do that shows a certificate, where no tokens are asked for.
_CERTIFIED = frozenset((PREDICT, TRACK))


class AccessObserver(ReloadObserver, Protocol):
    """Counts calls that were denied."""

    def access_denied(self, reason: str) -> None:
        """A call was denied, for one of `holder.REASONS`."""


class Tokens(Protocol):
    """One kind of token."""

    def holder(self, token: str) -> Holder:
        """Whose token it is.

        Raises:
            BadTokenError: nobody's.
        """


class Gate:
    """Tokens, certificates and scopes of one server. For the event loop's thread.

    Args:
        config: what is asked of callers: tokens, or else certificates.
        observer: see `AccessObserver`.

    Raises:
        StartError: a file that the configuration names cannot be used.
    """

    def __init__(self, config: AccessConfig, observer: AccessObserver) -> None:
        self._observer, self._lines = observer, Seldom(1 / _LINES)
        self._static: WatchedFiles[Tokens] | None = None
        self._jwt: WatchedFiles[Tokens] | None = None
        tokens, jwks = config.token_file, config.token_jwks
        if tokens is not None:
            self._static = WatchedFiles("tokens", [tokens], lambda: read_tokens(tokens), observer, _LOOK)
        if jwks is not None:
            from exalign_service.access.jwt_tokens import read_jwks  # its package is an extra

            audience, issuer = config.token_audience or "", config.token_issuer
            self._jwt = WatchedFiles("jwks", [jwks], lambda: read_jwks(jwks, audience, issuer), observer, _LOOK)

    def admit(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> str:
        """Decide about a call.

        Args:
            method: its full name, "service/method".
            metadata: what came with the call.

        Returns:
            Who calls, by the token; empty where none is asked for.

        Raises:
            UnauthenticatedError: there is no token, or not a good one.
            PermissionDeniedError: it does not allow the method.
        """
        scope = needed(method)
        if scope == OPEN:
            return ""
        if self._static is None and self._jwt is None:
            if scope != ANY and scope not in _CERTIFIED:
                raise PermissionDeniedError("scope")
            return ""
        try:
            holder = self._holder(metadata)
        except BadTokenError as e:
            raise UnauthenticatedError(e.reason) from None
        if scope != ANY and scope not in holder.scopes:
            raise PermissionDeniedError("scope", holder.name)
        return holder.name

    def certified(self, context: grpc.aio.ServicerContext[Any, Any]) -> str:
        """Who calls, by the certificate of the connection; empty where it showed none."""
        found: Mapping[str, Iterable[bytes]] = context.auth_context()
        for name in ("x509_subject_alternative_name", "x509_common_name"):
            for identity in found.get(name, ()):
                return f"certificate:{identity.decode('utf-8', 'replace')}"
        return ""

    def denied(self, error: AccessError, request_id: str, method: str, peer: str) -> None:
        """Count and log a call that was denied."""
        self._observer.access_denied(error.reason)
        if not self._lines.due():
            return
        fields: dict[str, object] = {
            "request_id": request_id,
            "method": method,
            "decision": "denied",
            "reason": error.reason,
            "peer": peer,
        }
        if error.caller:
            fields["caller"] = error.caller
        if self._lines.left_out:
            fields["left_out"] = self._lines.left_out
        _log.warning("access", extra={"fields": fields})

    def _holder(self, metadata: Iterable[tuple[str, str | bytes]]) -> Holder:
        """Whose token came with a call.

        Raises:
            BadTokenError: nobody's.
        """
        values = [value for key, value in metadata if key == "authorization"]
        if not values:
            raise BadTokenError("missing")
        scheme, _, token = values[0].partition(" ") if isinstance(values[0], str) else ("", "", "")
        if len(values) > 1 or scheme.lower() != "bearer":
            raise BadTokenError("malformed")
        kind = self._static if token.startswith(PREFIX) else self._jwt
        if kind is None:
            raise BadTokenError("unknown")
        return kind.current().holder(token)


def open_gate(config: AccessConfig, observer: AccessObserver) -> Gate | None:
    """The gate of a server; None where nothing is asked of callers.

    Raises:
        StartError: see `Gate`.
    """
    asked = (config.token_file, config.token_jwks, config.tls_client_ca)
    return Gate(config, observer) if any(path is not None for path in asked) else None
