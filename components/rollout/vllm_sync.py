"""The one adapter to vLLM's control routes, which change between releases: written for 0.32.

A policy is put into a running server in few calls: pause (requests under way end first), reload the weights from the
policy's directory, drop the prefix cache (its keys and values are the old policy's), name the weights, resume. The
*label* that names them lives in the engine's own memory: a server that was started again says ``default``, one whose
loading failed ``loading``. Labels are never used twice, so a server that says ours has held our weights, and no
others, since we put them there.

The routes exist only with VLLM_SERVER_DEV_MODE=1 and let whoever reaches them change the model: loopback, or a
network that is trusted.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.errors import PolyEpoError
from components.rollout.http import API_KEY, Connection, Malformed, Refused
from components.rollout.vllm_environment import check_version

__all__ = [
    "SERVED_NAME",
    "Adapter",
    "Load",
    "Policy",
    "ServerFacts",
    "architecture",
    "current_label",
    "inspect",
    "load_from_files",
    "put_policy",
]

SERVED_NAME = "policy"
"""The name under which our servers serve the policy, whatever its version."""


@dataclass(frozen=True)
class Adapter:
    """LoRA matrices that make a policy of the weights they were trained beside.

    Attributes:
        directory: in peft's format; the server opens it under the same path.
        base: the policy whose weights they stand beside.
        base_digest: what tells those weights from all others.
    """

    directory: Path
    base: Path
    base_digest: str


@dataclass(frozen=True)
class Policy:
    """What a server is to sample with.

    Attributes:
        directory: safetensors, configuration and tokenizer; the server opens it under the same path.
        version: the policy's version in its run.
        adapter: the same policy as an adapter, where it goes into servers as one.
    """

    directory: Path
    version: int
    adapter: Adapter | None = None


@dataclass(frozen=True)
class ServerFacts:
    """What a server says about itself.

    Attributes:
        model: the name to ask for.
        max_tokens: the longest prompt and completion together, in tokens.
        root: the directory of the model it was started with, as the server sees it.
    """

    model: str
    max_tokens: int
    root: Path


def inspect(connection: Connection) -> ServerFacts:
    """Check that the server is a vLLM of the release we speak to, and serves one model.

    Raises:
        PolyEpoError: another release, another kind of server, a key it does not accept, no control routes.
        Unreachable: it does not answer.
    """
    try:
        check_version(str(connection.get("/version")["version"]), connection.url)
        served = connection.get("/v1/models")["data"]
        base = [entry for entry in served if entry.get("parent") is None]
        facts = ServerFacts(str(base[0]["id"]), int(base[0]["max_model_len"]), Path(str(base[0]["root"])))
        current_label(connection)
    except Refused as error:
        raise _refused(error, connection.url) from error
    except (Malformed, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise PolyEpoError(
            "this is no vLLM server", where=connection.url, remedy="mend rollout.vllm.urls, or leave it empty"
        ) from error
    return facts


Load = Callable[[Connection, Path], None]
"""Puts the weights in a directory into a paused server."""


def load_from_files(connection: Connection, directory: Path) -> None:
    """Have the server read ``directory`` itself (components/rollout/vllm_worker.py)."""
    connection.post("/collective_rpc", {"method": "load_policy", "kwargs": {"directory": str(directory)}})


def put_policy(connection: Connection, policy: Policy, load: Load = load_from_files) -> str:
    """Load ``policy`` into the running server, in place.

    Args:
        connection: to the server.
        policy: what it is to hold.
        load: how whole weights get there.

    Returns:
        The label that names its weights from now on; a policy with an adapter is also asked for under this name.

    Raises:
        PolyEpoError: the server cannot load it, or does not confirm it.
        Unreachable: it went away.
    """
    label = f"{policy.version}-{secrets.token_hex(8)}"
    if policy.adapter is not None:
        label += _beside(policy.adapter)
    try:
        connection.post("/pause?mode=wait")
        try:
            before = current_label(connection)
            connection.post("/update_weight_version", {"new_version": f"loading {policy.version}"})
            if policy.adapter is None:
                load(connection, policy.directory.absolute())
            else:
                _put_adapter(connection, policy.adapter, label, before, load)
            connection.post("/reset_prefix_cache")
            connection.post("/update_weight_version", {"new_version": label})
        finally:
            connection.post("/resume")
        confirmed = current_label(connection)
        served = _adapters(connection) if policy.adapter is not None else []
    except Refused as error:
        raise PolyEpoError(
            f"the server could not load the policy: {error.said or error.status}",
            where=f"{connection.url}, {policy.directory.absolute()}",
            remedy=_cannot_load(policy, error),
        ) from error
    if confirmed != label or (policy.adapter is not None and served != [label]):
        raise PolyEpoError(
            f"the server says it holds weights {confirmed!r}{f', adapters {served}' if served else ''} after loading"
            f" version {policy.version}",
            where=connection.url,
            remedy="another run uses this server: give each its own, or run both in one project, where they take turns",
        )
    return label


def _put_adapter(connection: Connection, adapter: Adapter, label: str, before: str, load: Load) -> None:
    """Exchange the server's adapter for ``adapter``; its base weights are loaded only where they are not there."""
    if not before.endswith(_beside(adapter)):
        load(connection, adapter.base.absolute())
    for name in _adapters(connection):
        connection.command("/v1/unload_lora_adapter", {"lora_name": name})
    body = {"lora_name": label, "lora_path": str(adapter.directory.absolute())}
    connection.command("/v1/load_lora_adapter", body)


def _beside(adapter: Adapter) -> str:
    """The end of every label of an adapter on these base weights: who reads it knows what the server holds."""
    return f"+{adapter.base_digest[:16]}"


def _adapters(connection: Connection) -> list[str]:
    """The names of the adapters that the server has loaded."""
    return [str(entry["id"]) for entry in connection.get("/v1/models")["data"] if entry.get("parent") is not None]


def _cannot_load(policy: Policy, error: Refused) -> str:
    if policy.adapter is not None and error.status == 404:
        return "start it with rollout.vllm.weights: adapter (--enable-lora, VLLM_ALLOW_RUNTIME_LORA_UPDATING=1)"
    return (
        "it must see this path, and have been started with a model of the same shape by `poly-epo"
        " rollout-server start`; its log says more; start it again, for half of the weights may be in it"
    )


def current_label(connection: Connection) -> str:
    """The label of the weights that the server holds; ``default`` when none was put into it."""
    return str(connection.get("/weight_info")["weight_version"])


def architecture(directory: Path) -> dict[str, object]:
    """The model's configuration, less what does not matter: equal for two models whose weights are interchangeable."""
    document = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    return {key: value for key, value in document.items() if key not in ("transformers_version", "_name_or_path")}


def _refused(error: Refused, url: str) -> PolyEpoError:
    if error.status in (401, 403):
        return PolyEpoError("the server does not accept the API key", where=url, remedy=f"set {API_KEY}")
    if error.status == 404:
        return PolyEpoError(
            "the server lacks vLLM's control routes",
            where=url,
            remedy="start it with `poly-epo rollout-server start`, or with VLLM_SERVER_DEV_MODE=1 in its environment",
        )
    return PolyEpoError(f"the server answered {error}", where=url, remedy="its log says why")
