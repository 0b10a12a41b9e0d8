"""One forward pass: log-probabilities and entropy of the completion tokens alone.

The language-model head runs on completion positions only; prompt and padding positions make no logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from components.policy.completions import CompletionBatch, hidden_before_completions

__all__ = ["TokenStatistics", "completion_logprobs"]


@dataclass(frozen=True)
class TokenStatistics:
    """Per completion token, flat over the micro-batch's V tokens: log-probability (with gradient) and entropy, nats."""

    logprobs_V: Tensor
    entropy_V: Tensor


def completion_logprobs(model: PreTrainedModel, batch: CompletionBatch, *, share_prompts: bool) -> TokenStatistics:
    """Log-probability of every completion token given what precedes it, at temperature 1."""
    hidden_BCD = hidden_before_completions(model, batch, share_prompts=share_prompts)
    logits_VK = model.get_output_embeddings()(hidden_BCD[batch.completion_mask_BC]).float()
    log_softmax_VK = torch.log_softmax(logits_VK, dim=-1)
    logprobs_V = log_softmax_VK.gather(1, batch.targets_V[:, None])[:, 0]
    with torch.no_grad():
        entropy_V = -(log_softmax_VK.exp() * log_softmax_VK).sum(dim=-1)
    return TokenStatistics(logprobs_V, entropy_V)
