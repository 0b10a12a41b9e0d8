"""What one iteration computes: how many sequences of which length, in how many steps, on how many devices."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Workload"]


@dataclass(frozen=True)
class Workload:
    """One iteration (rollout -> score -> update).

    Attributes:
        prompts: prompts per iteration.
        group_size: N, completions per prompt.
        minibatches: optimizer steps per iteration.
        prompt_tokens: longest prompt.
        completion_tokens: longest completion.
        mean_completion_tokens: mean length of a completion, an assumption.
        micro_batch_tokens: tokens of one forward pass of the trainer.
        head_tokens: completion positions whose logits exist at the same time.
        processes: trainer processes, one GPU each.
        gpus: GPUs that sample.
        mixed: bfloat16 forward pass with float32 master weights; else float32.
        checkpointing: activations are recomputed in the backward pass.
        concurrent_sequences: sequences that one sampling GPU is given at once.
        engine_bytes: bytes of an element of the rollout engine's weights and cache.
        engine_share: share of the GPU's memory that the engine takes for itself (vLLM); None: what it needs.
    """

    prompts: int
    group_size: int
    minibatches: int
    prompt_tokens: int
    completion_tokens: int
    mean_completion_tokens: float
    micro_batch_tokens: int
    head_tokens: int
    processes: int
    gpus: int
    mixed: bool
    checkpointing: bool
    concurrent_sequences: int
    engine_bytes: int
    engine_share: float | None = None

    @property
    def completions(self) -> int:
        """Completions of one iteration."""
        return self.prompts * self.group_size

    @property
    def completion_tokens_total(self) -> float:
        """Completion tokens of one iteration at the assumed mean length."""
        return self.completions * self.mean_completion_tokens

    @property
    def trained_tokens(self) -> float:
        """Tokens of one iteration that run through the trainer; a prompt runs once per micro-batch of its group."""
        passes = min(
            math.ceil(self.group_size * self.mean_completion_tokens / self.micro_batch_tokens), self.group_size
        )
        return self.prompts * self.prompt_tokens * passes + self.completion_tokens_total

    @property
    def old_share(self) -> float:
        """Share of the tokens that need a forward pass for their old log-probabilities: all but the first step's."""
        return 1.0 - 1.0 / self.minibatches
