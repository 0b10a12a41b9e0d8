"""One forward pass: log-probabilities and entropy of the completion tokens alone.

Completions run packed into one row, each prompt once for all its completions, nothing padded. Where an architecture
does not let attention be told where a sequence begins (a check at loading shows it), whole sequences run padded.
The language-model head runs on completion positions only; prompt positions make no logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from components.errors import PolyEpoError
from components.policy.completions import CompletionBatch, hidden_before_completions
from components.training.attention import ATTENTION, Layouts
from components.training.head import token_statistics
from components.training.packing import PackedBatch, pack

__all__ = ["TokenStatistics", "check_plain_head", "completion_logprobs", "set_packed_attention", "without_dropout"]

_RTOL, _ATOL = 1e-3, 1e-4


@dataclass(frozen=True)
class TokenStatistics:
    """Per completion token, flat over the micro-batch's V tokens: log-probability and entropy, nats; (V,) float32."""

    logprobs_V: Tensor
    entropy_V: Tensor


def completion_logprobs(model: PreTrainedModel, batch: PackedBatch | CompletionBatch) -> TokenStatistics:
    """Statistics of every completion token given what precedes it, at temperature 1; both carry the gradient.

    A PackedBatch needs a model for which set_packed_attention said yes.
    """
    if isinstance(batch, PackedBatch):
        hidden_VD = _packed_hidden(model, batch)[batch.source_V]
    else:
        hidden_VD = hidden_before_completions(model, batch, share_prompts=False)[batch.completion_mask_BC]
    head = model.get_output_embeddings()
    return TokenStatistics(*token_statistics(hidden_VD, head.weight, getattr(head, "bias", None), batch.targets_V))


@torch.no_grad()
def set_packed_attention(model: PreTrainedModel) -> bool:
    """Let ``model`` run packed rows; False, and the model as it was, where its values would not be the same."""
    if getattr(model.config, "attention_chunk_size", None):
        # Chunked attention is a matter of its mask alone, which packed rows do not have.
        return False
    before = model.config._attn_implementation
    device = next(model.parameters()).device
    sequences = [[0, 1, 1, 0, 1], [0, 1, 0], [0, 1, 1, 1]]
    expected = [
        model.base_model(input_ids=torch.tensor([ids], device=device), use_cache=False).last_hidden_state[0, 1:-1]
        for ids in sequences
    ]
    batch = pack([ids[:2] for ids in sequences], [ids[2:] for ids in sequences], device=device)
    model.set_attn_implementation(ATTENTION)
    try:
        actual_VD = _packed_hidden(model, batch)[batch.source_V]
        same = torch.allclose(actual_VD, torch.cat(expected), rtol=_RTOL, atol=_ATOL)
    except TypeError:
        # A layer that does not know the argument cannot keep sequences apart.
        same = False
    if not same:
        model.set_attn_implementation(before)
    return same


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
    if not torch.allclose(head_BTK, logits_BTK, rtol=_RTOL, atol=_ATOL):
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


def _packed_hidden(model: PreTrainedModel, batch: PackedBatch) -> Tensor:
    hidden_1TD: Tensor = model.base_model(
        input_ids=batch.ids_1T,
        position_ids=batch.positions_1T,
        use_cache=False,
        layouts=Layouts(batch.segments, batch.ids_1T.device),
    ).last_hidden_state
    return hidden_1TD[0]
