"""From params to the architecture and the workload of a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import PolyEpoError
from components.improve.params import ImproveParams
from components.params import Params
from components.planning.architecture import KNOWN, Architecture, from_config, tiny_architecture
from components.planning.workload import Workload
from components.policy.params import GgufSource, HubSource, PathSource, PolicyParams, TinySource
from components.rollout.params import RolloutParams
from components.training.chunks import chunk_tokens
from components.training.params import TrainingParams

__all__ = ["Assumed", "architecture_of", "workload_of"]

_TINY_VOCABULARY, _TINY_POSITIONS = 24, 512
_TINY_PROMPT, _PAPER_PROMPT = 32, 1024


@dataclass(frozen=True)
class Assumed:
    """What params do not say; None: the default that ``workload_of`` documents.

    Attributes:
        prompt_tokens: longest prompt.
        completion_tokens: mean length of a completion.
    """

    prompt_tokens: int | None = None
    completion_tokens: float | None = None


def architecture_of(params: PolicyParams, config: Path | None = None) -> tuple[Architecture, list[str]]:
    """The policy's architecture, and what was assumed about it.

    ``config``, a config.json, goes before what the source names. Hub models that no profile names are looked up on
    the hub.

    Raises:
        PolyEpoError: the configuration cannot be found or read.
    """
    source = params.source
    if config is not None:
        return _from_file(config), []
    if isinstance(source, TinySource):
        shape = tiny_architecture(
            hidden=source.hidden_size,
            layers=source.layers,
            heads=source.heads,
            vocabulary=_TINY_VOCABULARY,
            positions=_TINY_POSITIONS,
        )
        return shape, [f"a vocabulary of {_TINY_VOCABULARY} characters: the real one comes from the problems"]
    if isinstance(source, PathSource):
        return _from_file(Path(source.path) / "config.json"), []
    name = source.package if isinstance(source, GgufSource) else source.name
    if name in KNOWN:
        return KNOWN[name], []
    if isinstance(source, HubSource):
        return _from_hub(source), []
    raise PolyEpoError(
        "no plan for a GGUF file by itself",
        where="policy.source",
        value=source.file,
        remedy="give the model's config.json with --config; the base stage writes workspace/base/config.json",
    )


def workload_of(
    params: Params, architecture: Architecture, assumed: Assumed, *, processes: int, device_type: str
) -> tuple[Workload, list[str]]:
    """The workload that ``params`` describe, and what was assumed about it.

    Prompts are as long as the paper's limit (1,024 tokens) where the model has room, completions half as long as
    they may be, and every trainer process's device samples too. ``device_type`` is torch's.
    """
    training, rollout, improve = params[TrainingParams], params[RolloutParams], params[ImproveParams]
    longest = rollout.max_new_tokens
    is_tiny = isinstance(params[PolicyParams].source, TinySource)
    limit = _TINY_PROMPT if is_tiny else min(_PAPER_PROMPT, architecture.positions - longest)
    prompt = assumed.prompt_tokens or limit
    mean = assumed.completion_tokens or longest / 2
    gpus = processes
    mixed = training.dtype == "bfloat16"
    sequences = improve.prompts_per_iteration * improve.group_size
    minibatch = -(-improve.prompts_per_iteration // improve.minibatches) * (prompt + improve.group_size * longest)
    # No more than an optimizer step has, no less than one completion with its prompt.
    micro_batch = max(min(training.micro_batch_tokens, minibatch), prompt + longest)
    vllm = rollout.engine == "vllm"
    in_flight = rollout.vllm.max_in_flight if vllm else rollout.batch_size
    work = Workload(
        prompts=improve.prompts_per_iteration,
        group_size=improve.group_size,
        minibatches=improve.minibatches,
        prompt_tokens=prompt,
        completion_tokens=longest,
        mean_completion_tokens=mean,
        micro_batch_tokens=micro_batch,
        head_tokens=min(micro_batch, chunk_tokens(architecture.vocabulary, device_type)),
        processes=processes,
        gpus=gpus,
        mixed=mixed,
        checkpointing=training.gradient_checkpointing,
        concurrent_sequences=min(in_flight, -(-sequences // gpus)),
        engine_bytes=2 if vllm and rollout.vllm.dtype != "float32" else 4,
        engine_share=rollout.vllm.gpu_memory_share if vllm and mixed else None,
    )
    notes = [] if assumed.prompt_tokens else [f"prompts of up to {prompt:,} tokens (--prompt-tokens)"]
    if not assumed.completion_tokens:
        notes.append(f"completions of {mean:,.0f} tokens on average, half the limit (--completion-tokens)")
    return work, notes


def _from_file(path: Path) -> Architecture:
    try:
        document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PolyEpoError(f"cannot be read: {error}", where=str(path), remedy="give a model's config.json") from error
    return from_config(document, where=str(path))


def _from_hub(source: HubSource) -> Architecture:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415  (no other source needs it)

    try:
        path = hf_hub_download(source.name, "config.json", revision=source.revision)
    except Exception as error:  # transport errors of the hub's HTTP library share no narrower base
        raise PolyEpoError(
            f"cannot read the model's configuration from the hub: {type(error).__name__}",
            where=f"model {source.name} at {source.revision}",
            remedy="check name, revision and network, or give its config.json with --config",
        ) from error
    return _from_file(Path(path))
