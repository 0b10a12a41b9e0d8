"""Who may read, and what a browser may do with a page: one ASGI layer around the application.

Read-only (GET and HEAD), a bearer token or the header of a trusted proxy, the Host check of an open loopback server
(against DNS rebinding), a path prefix behind a reverse proxy, and the security headers.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.errors import PolyEpoError

__all__ = ["Access", "Guard", "is_loopback"]

_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]", "testserver")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}


@dataclass(frozen=True)
class Access:
    """Who may read.

    Attributes:
        host: the address that is bound.
        token: asked for as ``Authorization: Bearer`` or as the password of HTTP Basic; "" asks for none.
        proxy_header: header in which a proxy names the signed-in user, e.g. X-Forwarded-User; "" trusts none.
        proxies: addresses whose proxy header is believed.
        root_path: prefix below which a reverse proxy serves the pages, e.g. ``/poly-epo``.
        names: further Host names that an open server on loopback answers to.
    """

    host: str = "127.0.0.1"
    token: str = ""
    proxy_header: str = ""
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    root_path: str = ""
    names: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse to serve everybody by accident.

        Raises:
            PolyEpoError: bound to more than loopback without authentication, or a malformed prefix.
        """
        if not is_loopback(self.host) and not (self.token or self.proxy_header):
            raise PolyEpoError(
                "would show the runs to everybody on the network",
                where="dashboard --host",
                value=self.host,
                remedy="set POLY_EPO_DASHBOARD_TOKEN or POLY_EPO_DASHBOARD_PROXY_HEADER, or bind to 127.0.0.1",
            )
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise PolyEpoError(
                "must begin and must not end with a slash", where="dashboard --root-path", value=self.root_path
            )


class Guard:
    """The layer; see the module."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer itself what is refused, pass on the rest."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(self._prefixed(scope), receive, guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("this page only reads", 405, {"Allow": "GET, HEAD"})
        access = self._access
        if not (access.token or access.proxy_header):
            name = headers.get("host", "").rpartition(":")[0] if _has_port(headers) else headers.get("host", "")
            if is_loopback(access.host) and name.lower() not in (*_LOCAL_NAMES, *access.names):
                return PlainTextResponse("unknown host name; see --allow-host", 421)
            return None
        if self._is_signed_in(headers, scope):
            return None
        challenge = {"WWW-Authenticate": 'Basic realm="poly-epo dashboard", charset="UTF-8"'} if access.token else {}
        return PlainTextResponse("not signed in", 401, challenge)

    def _is_signed_in(self, headers: Headers, scope: Scope) -> bool:
        access = self._access
        client = scope.get("client")
        if access.proxy_header and client and client[0] in access.proxies and headers.get(access.proxy_header):
            return True
        given = _credential(headers.get("authorization", ""))
        return bool(access.token) and hmac.compare_digest(given.encode(), access.token.encode())

    def _prefixed(self, scope: Scope) -> MutableMapping[str, Any]:
        """The scope with the prefix in it once, whether the proxy strips it or not."""
        prefix = self._access.root_path
        if not prefix:
            return scope
        path = scope["path"]
        inside = path == prefix or path.startswith(f"{prefix}/")
        return {**scope, "root_path": prefix, "path": path if inside else f"{prefix}{path}"}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _has_port(headers: Headers) -> bool:
    return headers.get("host", "").rpartition(":")[2].isdigit()


def _credential(authorization: str) -> str:
    """The token of ``Bearer``, or the password of ``Basic``; "" for anything else."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
