"""One forward pass: log-probabilities and entropy of the completion tokens alone.

The language-model head runs on completion positions only; prompt and padding positions make no logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from components.errors import PolyEpoError
from components.policy.completions import CompletionBatch, hidden_before_completions

__all__ = ["TokenStatistics", "check_plain_head", "completion_logprobs", "without_dropout"]


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


@torch.no_grad()
def check_plain_head(model: PreTrainedModel, *, where: str) -> None:
    """Refuse an architecture that does more than its head to make logits (scaling, soft caps).

    Its log-probabilities here would not be those of the sampler, and the update would be wrong without a sign of it.

    Raises:
        PolyEpoError: the model's logits differ from its head on the last hidden state.
    """
    ids_BT = torch.arange(2, device=model.device)[None]
    hidden_BTD = model.base_model(input_ids=ids_BT, use_cache=False).last_hidden_state
    head_BTK = model.get_output_embeddings()(hidden_BTD)
    logits_BTK = model(input_ids=ids_BT, use_cache=False).logits
    if not torch.allclose(head_BTK, logits_BTK, rtol=1e-3, atol=1e-4):
        raise PolyEpoError(
            f"{type(model).__name__} changes its logits after the head",
            where=where,
            remedy="use a model without logit scaling or soft caps (Llama, Qwen, Mistral, SmolLM, GPT-2 have none)",
        )


def without_dropout(model: PreTrainedModel) -> PreTrainedModel:
    """``model`` with every dropout switched off, so that training mode computes what evaluation mode does."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "attention_dropout", None), float):
            setattr(module, "attention_dropout", 0.0)  # noqa: B010  (torch types it as a tensor)
    return model
