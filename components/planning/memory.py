"""Memory of the trainer and of the rollout engine on one GPU, part by part, in bytes.

The activations are counted from the tensors that autograd keeps for the layers of transformers' Llama and Qwen3
under scaled-dot-product attention (tests/unit/planning counts them on real layers). Fragmentation of the allocator
and workspaces of kernels come on top: the report leaves a share for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from components.planning.architecture import Architecture
from components.planning.workload import Workload

__all__ = ["EngineMemory", "TrainerMemory", "engine_memory", "layer_activation_bytes", "trainer_memory"]

_FP32, _BF16 = 4, 2
_LOGIT_COPIES = 3  # logits, their softmax and their gradient


@dataclass(frozen=True)
class TrainerMemory:
    """Bytes on one GPU."""

    master_weights: int
    gradients: int
    moments: int
    working_weights: int
    activations: int
    activations_otherwise: int
    head: int

    @property
    def total(self) -> int:
        """The peak: all parts at once."""
        state = self.master_weights + self.gradients + self.moments + self.working_weights
        return state + self.activations + self.head


@dataclass(frozen=True)
class EngineMemory:
    """Bytes on one GPU, the bytes of cache that one token takes, and the sequences of full length it has room for."""

    weights: int
    cache_per_token: int
    cache: int
    sequences: int

    @property
    def total(self) -> int:
        """Weights and cache."""
        return self.weights + self.cache


def trainer_memory(architecture: Architecture, work: Workload) -> TrainerMemory:
    """What the trainer holds at its peak; weights, gradients and moments are divided among the processes (FSDP2)."""
    share = -(-architecture.parameters // work.processes)
    kept, recomputed = (_activations(architecture, work, checkpointing=on) for on in (False, True))
    return TrainerMemory(
        master_weights=_FP32 * share,
        gradients=_FP32 * share,
        moments=2 * _FP32 * share,
        working_weights=_working_weights(architecture, work),
        activations=recomputed if work.checkpointing else kept,
        activations_otherwise=kept if work.checkpointing else recomputed,
        head=_head(architecture, work),
    )


def engine_memory(architecture: Architecture, work: Workload, *, device_memory: int) -> EngineMemory:
    """What the rollout engine holds: its share of the device, or the cache of all its sequences at full length."""
    weights = architecture.parameters * work.engine_bytes
    per_token = architecture.cache_elements_per_token * work.engine_bytes
    sequence = per_token * (work.prompt_tokens + work.completion_tokens)
    if work.engine_share is None:
        return EngineMemory(weights, per_token, sequence * work.concurrent_sequences, work.concurrent_sequences)
    cache = max(int(work.engine_share * device_memory) - weights, 0)
    return EngineMemory(weights, per_token, cache, min(cache // sequence, work.concurrent_sequences))


def layer_activation_bytes(architecture: Architecture, *, mixed: bool) -> int:
    """Bytes that autograd keeps per token and layer.

    float32: inputs of both norms and their normalised values (4 hidden), inputs of the projections (2 hidden), of the
    output projection and the attention's queries (2 query), keys and values (2 kv), gate, its activation, up and
    their product (4 intermediate), the norms' scales and the attention's log-sums. Under bfloat16 autocast the five
    linear maps that read a norm's output keep a copy each. Qwen3's norms of queries and keys add theirs.
    """
    a = architecture
    scales = _FP32 * (2 + a.heads)
    norms = 2 * (a.query_dim + a.kv_dim), _FP32 * (a.heads + a.kv_heads)
    if mixed:
        kept = 4 * _FP32 * a.hidden + _BF16 * (5 * a.hidden + 2 * a.query_dim + 2 * a.kv_dim + 4 * a.intermediate)
        extra = norms[0] * (_FP32 + _BF16) // 2 + norms[1]
    else:
        kept = _FP32 * (6 * a.hidden + 2 * a.query_dim + 2 * a.kv_dim + 4 * a.intermediate)
        extra = norms[0] * _FP32 + norms[1]
    return kept + scales + (extra if a.query_key_norms else 0)


def _activations(architecture: Architecture, work: Workload, *, checkpointing: bool) -> int:
    layer = layer_activation_bytes(architecture, mixed=work.mixed)
    layers = architecture.layers * _FP32 * architecture.hidden + layer if checkpointing else architecture.layers * layer
    # Token ids, the rotary tables, the last norm's input and its normalised value.
    ends = 8 + 2 * _FP32 * architecture.head_dim + _FP32 * (2 * architecture.hidden + 1)
    return work.micro_batch_tokens * (layers + ends)


def _working_weights(architecture: Architecture, work: Workload) -> int:
    """bfloat16 copies that autocast keeps until the backward pass, or what FSDP2 has gathered at one time."""
    if work.processes == 1:
        return _BF16 * architecture.layers * architecture.layer_matrices if work.mixed else 0
    size = _BF16 if work.mixed else _FP32
    # Two layers (the next is prefetched) and what lies outside of them, with their gradients before these are reduced.
    return 2 * size * (2 * architecture.layer_parameters + architecture.root_parameters)


def _head(architecture: Architecture, work: Workload) -> int:
    """A chunk of logits in its copies, the gradient of the head's weight and, under autocast, its bfloat16 copy."""
    weight = architecture.vocabulary * architecture.hidden
    copy = _BF16 * weight if work.mixed and work.processes == 1 else 0
    return _LOGIT_COPIES * _FP32 * work.head_tokens * architecture.vocabulary + _FP32 * weight + copy
