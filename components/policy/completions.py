"""Hidden states that predict completion tokens, with each prompt computed once for all its completions.

Reinforcement learning samples N completions per prompt. Running every prompt + completion as a sequence of its
own repeats the prompt N times; here the prompt's key-value cache is shared instead (gradients flow through it),
which saves (N - 1)/N of the prompt tokens in forward and backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

__all__ = ["CompletionBatch", "completion_batch", "hidden_before_completions", "left_pad"]


@dataclass(frozen=True)
class CompletionBatch:
    """B completions of P prompts, padded: prompts on the left, completions on the right.

    Attributes:
        prompts_PT, prompt_mask_PT: (P, T) int64.
        prompt_of_B: (B,) int64, the row of each completion's prompt.
        completions_BC: (B, C) int64.
        completion_mask_BC: (B, C) bool, true on completion tokens.
    """

    prompts_PT: Tensor
    prompt_mask_PT: Tensor
    prompt_of_B: Tensor
    completions_BC: Tensor
    completion_mask_BC: Tensor

    @property
    def targets_V(self) -> Tensor:
        """The V completion tokens, one completion after the other, (V,) int64."""
        return self.completions_BC[self.completion_mask_BC]


def completion_batch(
    prompt_ids: Sequence[list[int]], completion_ids: Sequence[list[int]], *, pad_id: int, device: torch.device
) -> CompletionBatch:
    """Pad B (prompt, completion) pairs of token ids; equal prompts become one row."""
    rows = {prompt: row for row, prompt in enumerate(dict.fromkeys(map(tuple, prompt_ids)))}
    prompts_PT, prompt_mask_PT = left_pad([list(prompt) for prompt in rows], pad_id, device)
    width = max(len(ids) for ids in completion_ids)
    completions = np.full((len(completion_ids), width), pad_id, dtype=np.int64)
    lengths = np.array([len(ids) for ids in completion_ids])
    mask = np.arange(width)[None, :] < lengths[:, None]
    completions[mask] = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in completion_ids])
    return CompletionBatch(
        prompts_PT,
        prompt_mask_PT,
        torch.tensor([rows[tuple(prompt)] for prompt in prompt_ids], device=device),
        torch.from_numpy(completions).to(device),
        torch.from_numpy(mask).to(device),
    )


def left_pad(rows: Sequence[list[int]], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both (P, T) int64, every row ending in the last column."""
    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), pad_id, dtype=torch.int64)
    mask = torch.zeros((len(rows), length), dtype=torch.int64)
    for index, row in enumerate(rows):
        ids[index, length - len(row) :] = torch.tensor(row)
        mask[index, length - len(row) :] = 1
    return ids.to(device), mask.to(device)


def hidden_before_completions(model: PreTrainedModel, batch: CompletionBatch, *, share_prompts: bool = True) -> Tensor:
    """The last hidden state at the position before each completion token, (B, C, D).

    ``share_prompts=False`` runs whole sequences instead: the same values, for architectures without such a cache and
    under activation checkpointing, which cannot keep one.
    """
    return _shared(model, batch) if share_prompts else _whole_sequences(model, batch)


def _shared(model: PreTrainedModel, batch: CompletionBatch) -> Tensor:
    positions_PT = (batch.prompt_mask_PT.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    prompt_PTD = model.base_model(
        input_ids=batch.prompts_PT,
        attention_mask=batch.prompt_mask_PT,
        position_ids=positions_PT,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    first_B1D = prompt_PTD[batch.prompt_of_B, -1:]
    inputs_BC = batch.completions_BC[:, :-1]
    if inputs_BC.shape[1] == 0:
        return first_B1D
    cache.batch_select_indices(batch.prompt_of_B)
    mask_BT = torch.cat([batch.prompt_mask_PT[batch.prompt_of_B], torch.ones_like(inputs_BC)], dim=1)
    steps_C = torch.arange(1, inputs_BC.shape[1] + 1, device=inputs_BC.device)
    rest_BCD = model.base_model(
        input_ids=inputs_BC,
        attention_mask=mask_BT,
        position_ids=positions_PT[batch.prompt_of_B, -1:] + steps_C,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return torch.cat([first_B1D, rest_BCD], dim=1)


def _whole_sequences(model: PreTrainedModel, batch: CompletionBatch) -> Tensor:
    width = batch.completions_BC.shape[1]
    ids_BT = torch.cat([batch.prompts_PT[batch.prompt_of_B], batch.completions_BC], dim=1)
    mask_BT = torch.cat([batch.prompt_mask_PT[batch.prompt_of_B], batch.completion_mask_BC.long()], dim=1)
    hidden_BTD: Tensor = model.base_model(
        input_ids=ids_BT,
        attention_mask=mask_BT,
        position_ids=(mask_BT.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
    ).last_hidden_state
    return hidden_BTD[:, -width - 1 : -1]
