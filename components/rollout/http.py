"""JSON over HTTP to one server, with the standard library alone: trainer images have nothing else.

A connection belongs to one thread and is kept open between requests. Every way in which a server or the network can
fail is one of two exceptions: :class:`Unreachable` (nothing, or not all, came back) and :class:`Refused` (an error
status). What a server answers is never shown unshortened: it is hostile text.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
from typing import Any
from urllib.parse import urlsplit

__all__ = ["API_KEY", "Connection", "Malformed", "Refused", "Unreachable"]

API_KEY = "POLY_EPO_ROLLOUT_API_KEY"
"""Environment variable with the servers' API key; it goes into the Authorization header and nowhere else."""


class Unreachable(Exception):  # noqa: N818
    """No connection, a dropped one, or no whole answer in time: the server may be gone or starting again."""


class Refused(Exception):  # noqa: N818
    """The server answered with an error status.

    Attributes:
        status: HTTP status code.
        said: its message, shortened.
    """

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"HTTP {status}: {said}")
        self.status = status
        self.said = said


class Malformed(Exception):  # noqa: N818
    """The server answered with something that is not what was asked for."""


class Connection:
    """A kept-open connection to the server at ``url``; to be used by one thread."""

    def __init__(self, url: str, *, timeout: float) -> None:
        parts = urlsplit(url)
        self.url = url
        self._host, self._port = str(parts.hostname), parts.port
        self._secure = parts.scheme == "https"
        self._timeout = timeout
        self._open: http.client.HTTPConnection | None = None

    def get(self, path: str) -> Any:
        """The JSON that GET ``path`` answers with; None for an empty body."""
        return self._request("GET", path, None)

    def post(self, path: str, body: object = None) -> Any:
        """The JSON that POST ``path`` with the JSON ``body`` answers with; None for an empty body.

        Raises:
            Unreachable: no whole answer.
            Refused: an error status.
            Malformed: an answer that is not JSON.
        """
        return self._request("POST", path, b"" if body is None else json.dumps(body).encode())

    def command(self, path: str, body: object) -> None:
        """POST ``path`` with the JSON ``body``, where success is all that the answer says.

        Raises:
            Unreachable, Refused: see ``post``.
        """
        self._answered("POST", path, json.dumps(body).encode())

    def close(self) -> None:
        """Close it; the next request opens it again."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _request(self, method: str, path: str, body: bytes | None) -> Any:
        content = self._answered(method, path, body)
        try:
            return json.loads(content) if content else None
        except ValueError as error:
            raise Malformed(f"not JSON: {content[:80]!r}") from error

    def _answered(self, method: str, path: str, body: bytes | None) -> bytes:
        idle = self._open is not None
        try:
            status, content = self._exchange(method, path, body)
        except Unreachable:
            # Servers close connections that were idle for seconds: that is no fault, and seen only when used.
            if not idle:
                raise
            status, content = self._exchange(method, path, body)
        if status >= 400:
            raise Refused(status, _said(content))
        return content

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        try:
            connection = self._connected()
            connection.request(method, path, body, _headers())
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unreachable(f"{self.url}: {type(error).__name__}: {error}") from error

    def _connected(self) -> http.client.HTTPConnection:
        if self._open is None:
            if self._secure:
                context = ssl.create_default_context()
                self._open = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout, context=context)
            else:
                self._open = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return self._open


def _headers() -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    key = os.environ.get(API_KEY)
    return headers | {"Authorization": f"Bearer {key}"} if key else headers


def _said(content: bytes) -> str:
    """The message of an error answer: vLLM's ``{"error": {"message": ...}}`` or the start of whatever came."""
    try:
        document = json.loads(content)
        error = document.get("error", document)
        text = error if isinstance(error, str) else str(error.get("message") or error.get("detail") or error)
    except (ValueError, AttributeError):
        text = content[:300].decode("utf-8", "replace")
    return " ".join(text.split())[:300]
