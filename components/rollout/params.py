"""Parameters of rollout generation."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_serializer, model_validator

from components.errors import PolyEpoError
from components.params import Section

__all__ = ["URLS", "RolloutParams", "VllmParams"]

URLS = "POLY_EPO_ROLLOUT_URLS"
"""Environment variable: addresses of servers, separated by commas, that whoever started this process runs for it."""


class VllmParams(Section):
    """Section ``rollout.vllm``: which vLLM servers sample, and how.

    Only ``dtype`` changes the distribution the completions come from; all the rest says where and how fast, is left
    out of fingerprints, and may be changed between the parts of one run.

    Attributes:
        urls: servers that run already (``poly-epo rollout-server start``), each with its own copy of the policy; empty:
            the process that samples starts its own and ends them, or the runner ``docker`` does so for it.
        router: address of a router before the servers of ``urls``: completions are asked for there, policies go into
            each server at its own address; null: requests are balanced here.
        servers: how many it starts then, one per GPU.
        allow_remote: also talk to servers beyond loopback.
        dtype: of weights and activations on the server.
        weights: how a new policy gets into a server: ``files``, the server reads its directory; ``adapter``, it keeps
            the base policy and reads the new LoRA matrices alone (``training.lora``); ``nccl``, GPU to GPU, and
            ``ipc``, within one GPU (components/rollout/vllm_transfer.py; not run by this project's tests).
        adapter_rank: the largest rank of an adapter that servers started here make room for.
        transfer_address, transfer_port: where servers reach this machine for ``nccl``.
        max_in_flight: completions under way on one server; more wait in the queue.
        attempts: how often a group is asked for that the server answers with a fault of its own.
        start_limit_seconds: a server that starts must answer within this.
        outage_limit_seconds: a server that does not answer is waited for this long.
        request_limit_seconds: an answer that takes longer counts as lost.
        cpu_threads: threads of one server on CPU, bound to no core; null: one on each core, bound to it, which
            is fastest where nothing else runs.
        kv_cache_gib: memory for the key-value cache of a server on CPU, GiB.
        gpu_memory_share: share of a GPU's memory that a server takes.
        arguments: further command-line arguments of ``vllm serve`` for servers started here.
    """

    urls: list[str] = Field(default_factory=list, exclude=True)
    router: str | None = Field(default=None, exclude=True)
    servers: int = Field(default=1, ge=1, exclude=True)
    allow_remote: bool = Field(default=False, exclude=True)
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    weights: Literal["files", "adapter", "nccl", "ipc"] = Field(default="files", exclude=True)
    adapter_rank: Literal[8, 16, 32, 64, 128, 256, 320, 512] = Field(default=16, exclude=True)
    transfer_address: str = Field(default="127.0.0.1", exclude=True)
    transfer_port: int = Field(default=29600, ge=1, le=65535, exclude=True)
    max_in_flight: int = Field(default=256, ge=1, exclude=True)
    attempts: int = Field(default=4, ge=1, exclude=True)
    start_limit_seconds: float = Field(default=900.0, gt=0, exclude=True)
    outage_limit_seconds: float = Field(default=600.0, gt=0, exclude=True)
    request_limit_seconds: float = Field(default=3600.0, gt=0, exclude=True)
    cpu_threads: int | None = Field(default=None, ge=1, exclude=True)
    kv_cache_gib: int = Field(default=2, ge=1, exclude=True)
    gpu_memory_share: float = Field(default=0.9, gt=0, le=1, exclude=True)
    arguments: list[str] = Field(default_factory=list, exclude=True)

    @model_validator(mode="after")
    def _check_urls(self) -> VllmParams:
        if self.router is not None and not self.urls:
            raise ValueError("a router needs urls: the servers behind it, by their own addresses")
        if self.router is not None and self.weights == "adapter":
            raise ValueError("a router cannot tell one server's adapters from another's: use weights: files")
        for url in [*self.urls, *([self.router] if self.router else [])]:
            _check_url(url, self.allow_remote)
            if self.weights == "ipc" and not _is_loopback(str(urlsplit(url).hostname)):
                raise ValueError(f"{url!r} is not on this machine, whose GPU memory weights: ipc shares")
        return self

    def addresses(self, environment: Mapping[str, str] = os.environ) -> list[str]:
        """The servers that are there already: ``urls``, else those of POLY_EPO_ROLLOUT_URLS; empty: none are.

        Raises:
            PolyEpoError: an address in the variable is none, or leads elsewhere unasked.
        """
        given = [url for url in environment.get(URLS, "").split(",") if url]
        try:
            for url in given:
                _check_url(url, self.allow_remote)
        except ValueError as error:
            raise PolyEpoError(str(error), where=URLS, remedy="mend it, or unset it") from error
        return [url.rstrip("/") for url in self.urls or given]


class RolloutParams(Section):
    """Section ``rollout`` of params.yaml.

    The distribution is never truncated (temperature 1, top_p 1, top_k off): anything else would make the
    importance ratio of the update wrong, so these are not settings.
    """

    engine: Literal["transformers", "vllm"] = "transformers"
    max_new_tokens: int = Field(ge=1)
    batch_size: int = Field(256, ge=1)
    vllm: VllmParams = VllmParams()

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: Callable[[RolloutParams], dict[str, Any]]) -> dict[str, Any]:
        """What decides the completions: the settings of an engine that is not used have no part in it."""
        values = handler(self)
        if self.engine != "vllm":
            values.pop("vllm", None)
        return values


def _check_url(url: str, allow_remote: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no http(s) address, e.g. http://127.0.0.1:8100")
    if parts.username or parts.password:
        raise ValueError("an address holds no credentials: the key comes from POLY_EPO_ROLLOUT_API_KEY")
    if parts.path.rstrip("/") or parts.query or parts.fragment:
        raise ValueError(f"{url!r} must end with host and port: the paths below it are vLLM's own")
    if not allow_remote and not _is_loopback(parts.hostname):
        raise ValueError(f"{url!r} is not on this machine; set rollout.vllm.allow_remote in a network you trust")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
