"""Parameters of the LM judge."""

from __future__ import annotations

import ipaddress
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from components.params import Section

__all__ = ["JudgeParams", "is_loopback_host"]

_OURS = ("model", "messages", "response_format", "max_tokens", "temperature", "stream", "n")


class JudgeParams(Section):
    """Section ``scoring.judge``; used where ``scoring.clusterer`` is ``judge``.

    The API key, where the endpoint wants one, is the environment variable POLY_EPO_JUDGE_API_KEY and never a
    parameter.

    Attributes:
        url: base URL of an OpenAI-compatible API, e.g. ``http://127.0.0.1:8000/v1``.
        model: the judge's name at that endpoint.
        allow_remote: let problems and completions leave this machine for ``url``.
        context_tokens: the judge's context, tokens; completions are shortened so that a question fits.
        bytes_per_token: UTF-8 bytes of problems and completions that are counted as one token. A server that finds
            a question too long all the same gets a shorter one.
        temperature: of the first try; a reply that does not fit is asked for again at 0.7 or more.
        request: further fields of every request, e.g. ``{chat_template_kwargs: {enable_thinking: false}}``.
        concurrency: questions in flight.
        attempts: tries per question.
        timeout_seconds: wall-clock limit of one try.
        max_failure_share: a batch in which a larger share of the questions fails stops the run.
        cache: directory of replies; shared by all runs, safe to remove.
    """

    url: str = "http://127.0.0.1:8000/v1"
    model: str = ""
    allow_remote: bool = False
    context_tokens: int = Field(default=32_768, ge=1_024)
    bytes_per_token: float = Field(default=2.0, ge=1.0, le=8.0)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    request: dict[str, Any] = Field(default_factory=dict)
    concurrency: int = Field(default=8, ge=1, le=1_024)
    attempts: int = Field(default=4, ge=1, le=20)
    timeout_seconds: float = Field(default=120.0, gt=0.0, le=3_600.0)
    max_failure_share: float = Field(default=0.1, ge=0.0, le=1.0)
    cache: str = Field(default=".poly-epo/judge", min_length=1)

    @field_validator("url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// URL")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("must hold no credentials, query or fragment; a key goes into POLY_EPO_JUDGE_API_KEY")
        return value.rstrip("/")

    @field_validator("request")
    @classmethod
    def _further_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = [name for name in value if name in _OURS]
        if taken:
            raise ValueError(f"{taken[0]} is not free to set here")
        return value

    @model_validator(mode="after")
    def _local_unless_allowed(self) -> Self:
        if not self.allow_remote and not is_loopback_host(urlsplit(self.url).hostname or ""):
            raise ValueError(
                "url leaves this machine: set judge.allow_remote to true to send problems and completions there"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """What decides the clusters; where the server stands and how patiently it is asked does not."""
        return self.model_dump(
            mode="json", include={"model", "context_tokens", "bytes_per_token", "temperature", "request"}
        )


def is_loopback_host(host: str) -> bool:
    """Whether ``host`` is this machine: ``localhost`` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
