"""Who may ask: this machine by its own name, pages of this server alone, and beyond this machine whoever has the token.

A page of another site can send requests to a server on loopback, and a name of another site can lead there (DNS
rebinding). Hence every request must name a host that this server listens on, and one that changes something must come
from a page of it.
"""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exalign_gateway.errors import failure
from exalign_gateway.listening.process import is_loopback

#: With the port: cookies know none, and another project may be open on another one.
COOKIE = "exalign-token-{port}"

#: Of every answer: nothing from elsewhere, in nobody's frame.
SAFE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

#: Methods that change nothing.
_READING = ("GET", "HEAD")


class Guard:
    """Lets requests through to an application, or refuses them.

    Args:
        app: the application.
        token: that callers must show; None: none is needed.
        any_host: whether requests may name any host: only where a token is needed.
    """

    def __init__(self, app: ASGIApp, token: str | None, *, any_host: bool = False) -> None:
        if any_host and token is None:
            raise ValueError("without a token, only this machine's own names may be asked for")
        self._app, self._token, self._any_host = app, token, any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            refusal.headers.update(SAFE_HEADERS)
            await refusal(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                found = list(message.get("headers") or [])
                found += [(name.lower().encode(), value.encode()) for name, value in SAFE_HEADERS.items()]
                message = {**message, "headers": found}
            await send(message)

        await self._app(scope, receive, send_safely)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if not self._any_host and not _names_this_machine(host):
            return failure("permission_denied", "ask for this server by localhost or its address", status=403)
        origin = headers.get("origin")
        changes = scope["method"] not in _READING
        foreign = changes and origin is not None and origin != f"{scope['scheme']}://{host}"
        # A browser's own word; without it, no browser, or an old one. The page itself may be led to from elsewhere.
        site = headers.get("sec-fetch-site", "same-origin")
        if foreign or (site not in ("same-origin", "none") and (changes or scope["path"] != "/")):
            return failure("permission_denied", "a page of another site asks", status=403)
        return None if self._token is None else self._token_refusal(scope, headers, self._token)

    def _token_refusal(self, scope: Scope, headers: Headers, token: str) -> Response | None:
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = query.pop("token", [""])[-1]
        if given and hmac.compare_digest(given.encode(), token.encode()):
            # The token leaves the address bar, where it would be seen, kept in the history and passed on.
            rest = urlencode(query, doseq=True)
            path = "/" + scope["path"].lstrip("/")
            answer = RedirectResponse(path + (f"?{rest}" if rest else ""), status_code=303)
            answer.set_cookie(
                _cookie_name(scope), token, httponly=True, samesite="strict", secure=scope["scheme"] == "https"
            )
            return answer
        if hmac.compare_digest(_cookie(scope, headers).encode(), token.encode()):
            return None
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(bearer.strip().encode(), token.encode()):
            return None
        text = "open the address that `exalign annotate` printed: it holds the token"
        return failure("unauthenticated", text, headers={"WWW-Authenticate": "Bearer"})


def _names_this_machine(host: str) -> bool:
    """Whether a Host header, with or without a port, is a name or an address of this machine itself."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") and ":" in host else host
    return is_loopback(name.removeprefix("[").removesuffix("]").lower())


def _cookie_name(scope: Scope) -> str:
    server = scope.get("server")
    return COOKIE.format(port=server[1] if server else 0)


def _cookie(scope: Scope, headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(scope))
    except CookieError:
        return ""
    return "" if found is None else found.value
