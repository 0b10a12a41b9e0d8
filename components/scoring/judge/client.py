"""One chat endpoint over HTTP: what went wrong is told apart by what helps against it.

- ``QuestionTooLongError``: ask a shorter question
- ``NoReplyError``: wait, and ask again
- PolyEpoError: the user must act (no server, wrong model, refused key)

The API key is read from POLY_EPO_JUDGE_API_KEY, sent as a bearer token, and taken out of whatever a server says
before it is shown. Redirects are not followed: they could lead off the machine.
"""

from __future__ import annotations

import json
import math
import os
import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from components.errors import PolyEpoError
from components.scoring.judge.params import JudgeParams, is_loopback_host
from components.scoring.judge.reply import MalformedReplyError

__all__ = ["KEY_VARIABLE", "ChatClient", "NoReplyError", "QuestionTooLongError"]

KEY_VARIABLE = "POLY_EPO_JUDGE_API_KEY"

_MAX_BYTES = 8 * 2**20
_TRANSIENT = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_REFUSED = {401, 403}
_TOO_LONG = ("context length", "context_length", "maximum context", "max_model_len", "too many tokens", "too long")
_LONGEST_PAUSE = 60.0


class QuestionTooLongError(Exception):
    """The server counts more tokens than the judge's context holds."""


class NoReplyError(Exception):
    """The endpoint did not answer this time.

    Attributes:
        pause: seconds the server asks to wait, 0 where it says nothing.
    """

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class ChatClient:
    """The endpoint of section ``scoring.judge``; safe to use from several threads."""

    def __init__(self, params: JudgeParams) -> None:
        self._params = params
        self._key = os.environ.get(KEY_VARIABLE, "").strip()
        remote = not is_loopback_host(urlsplit(params.url).hostname or "")
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=params.timeout_seconds,
            limits=httpx.Limits(max_connections=params.concurrency),
            follow_redirects=False,
            trust_env=remote,  # a proxy of the environment is none for this machine's own servers
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def check(self) -> None:
        """Make sure that the endpoint serves the judge with the context we count on, where it tells.

        Raises:
            NoReplyError: it did not answer this time.
            PolyEpoError: another model is served, its context is smaller, or the key is refused.
        """
        status, document, _ = self._send("GET", "/models", None)
        if status in _REFUSED:
            raise self._key_refused(status)
        models = document.get("data") if isinstance(document, dict) and status == httpx.codes.OK else None
        if not isinstance(models, list):
            return  # not every compatible endpoint lists its models
        known = {str(model.get("id")): model for model in models if isinstance(model, dict)}
        if self._params.model not in known:
            raise PolyEpoError(
                f"the judge's endpoint serves no model of this name, but {sorted(known)[:5]!r}"[:400],
                where="scoring.judge.model",
                value=self._params.model,
                remedy="name one it serves, or mend scoring.judge.url",
            )
        length = known[self._params.model].get("max_model_len")
        if isinstance(length, int) and length < self._params.context_tokens:
            raise PolyEpoError(
                f"the server gives this judge a context of {length} tokens only",
                where="scoring.judge.context_tokens",
                value=self._params.context_tokens,
                remedy=f"set it to {length}, or start the server with a larger context",
            )

    def complete(self, body: dict[str, Any]) -> object:
        """The content of the first choice; None where the server gave none.

        Raises:
            MalformedReplyError: the reply was cut off.
            QuestionTooLongError, NoReplyError: see the module.
            PolyEpoError: no such model or path, or the key is refused.
        """
        status, document, text = self._send("POST", "/chat/completions", body)
        if status == httpx.codes.OK:
            return _content(document)
        said = self._told(text)
        if status in _REFUSED:
            raise self._key_refused(status)
        if status in (400, 413, 422) and any(sign in text.lower() for sign in _TOO_LONG):
            raise QuestionTooLongError(said)
        if status == httpx.codes.NOT_FOUND:
            raise PolyEpoError(
                f"no such model or path at the judge's endpoint: {said}",
                where="scoring.judge",
                value=f"{self._params.model} at {self._params.url}",
                remedy="mend scoring.judge.url (it ends in /v1 for most servers) or scoring.judge.model",
            )
        raise NoReplyError(f"HTTP {status}: {said}")

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, Any, str]:
        """Status, JSON document (None where it is none) and text of one exchange, in the limits of time and size."""
        deadline = time.monotonic() + self._params.timeout_seconds
        try:
            with self._http.stream(method, self._params.url + path, json=body) as response:
                raw = _read(response, deadline)
                status, headers = response.status_code, response.headers
        except httpx.HTTPError as error:
            raise NoReplyError(self._told(f"{type(error).__name__}: {error}")) from None
        text = raw.decode("utf-8", "replace")
        if status in _TRANSIENT:
            raise NoReplyError(f"HTTP {status}: {self._told(text)}", _pause(headers.get("retry-after", "")))
        if 300 <= status < 400:
            raise PolyEpoError(
                "the judge's endpoint redirects, which is not followed",
                where="scoring.judge.url",
                value=self._params.url,
                remedy="name the address it leads to",
            )
        try:
            return status, json.loads(text), text
        except (ValueError, RecursionError):
            return status, None, text

    def _told(self, text: str) -> str:
        """What a server said, on one short line and without the key."""
        shown = text.replace(self._key, "***") if self._key else text
        return " ".join(shown.split())[:200]

    def _key_refused(self, status: int) -> PolyEpoError:
        what = f"refuses the key (HTTP {status})" if self._key else "asks for a key"
        return PolyEpoError(
            f"the judge's endpoint {what}",
            where="scoring.judge.url",
            value=self._params.url,
            remedy=f"set {KEY_VARIABLE} in the environment",
        )


def _read(response: httpx.Response, deadline: float) -> bytes:
    raw = bytearray()
    for chunk in response.iter_bytes():
        raw += chunk
        if len(raw) > _MAX_BYTES:
            raise NoReplyError(f"more than {_MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise NoReplyError("the reply took too long")
    return bytes(raw)


def _content(document: object) -> object:
    """choices[0].message.content of a chat completion that ended by itself; None where there is none."""
    try:
        choice = document["choices"][0]  # type: ignore[index]
        reason, content = choice.get("finish_reason"), choice["message"]["content"]
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    if reason == "length":
        raise MalformedReplyError("the reply was cut off at its token limit")
    return content


def _pause(retry_after: str) -> float:
    """Seconds of a Retry-After header; its form as a date is rare here and counts as none."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_PAUSE) if math.isfinite(seconds) else 0.0
