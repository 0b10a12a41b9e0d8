"""Supervised warm start of a tiny policy on imperfect demonstrations.

The demonstrations are wrong on purpose for a known share of rows, so the policy learns the format and a broad
set of answers but not to be right: pass@1 starts low, pass@k for large k high. That is the state in which
reinforcement learning can either sharpen one answer (GRPO) or keep the breadth (Poly-EPO).
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from components.errors import PolyEpoError
from components.policy.completions import CompletionBatch, completion_batch, hidden_before_completions
from components.policy.load import prompt_ids
from components.policy.params import WarmStart

__all__ = ["encode_demonstrations", "warm_start"]

log = logging.getLogger(__name__)
_REPORTS = 10

Demonstrations = Mapping[tuple[int, ...], Sequence[list[int]]]
"""Token ids of a prompt -> token ids of its completions, each ending with the end-of-sequence token."""


def encode_demonstrations(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]]) -> Demonstrations:
    """Encode (prompt, completion) pairs, grouped by prompt in order of first appearance."""
    prompts = {prompt: tuple(prompt_ids(tokenizer, prompt)) for prompt, _ in pairs}
    completions = tokenizer([completion for _, completion in pairs], add_special_tokens=False)["input_ids"]
    grouped: dict[tuple[int, ...], list[list[int]]] = defaultdict(list)
    for (prompt, _), completion in zip(pairs, completions, strict=True):
        grouped[prompts[prompt]].append([*completion, tokenizer.eos_token_id])
    return grouped


def warm_start(model: PreTrainedModel, data: Demonstrations, params: WarmStart, *, pad_id: int, seed: int) -> float:
    """Train ``model`` in place with AdamW and a cosine schedule; returns the last report's mean loss (nats a token).

    A step takes ``prompts_per_step`` prompts and ``completions_per_prompt`` demonstrations of each. Deterministic on
    CPU for a fixed number of threads.

    Raises:
        PolyEpoError: the loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=params.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    every = max(params.steps // _REPORTS, 1)
    total, mean = 0.0, math.nan
    model.train()
    for step in range(1, params.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = params.learning_rate * _schedule(step, params)
        loss = _loss(model, _draw(data, params, pad_id, generator))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += float(loss.detach())
        if step % every == 0:
            mean, total = total / every, 0.0
            if not math.isfinite(mean):
                raise PolyEpoError(
                    "warm start diverged: the loss is not finite",
                    where=f"step {step}",
                    remedy="lower policy.warm_start.learning_rate",
                )
            log.info("warm start: step %d of %d, loss %.4f nats/token", step, params.steps, mean)
    model.eval()
    return mean


def _draw(data: Demonstrations, params: WarmStart, pad_id: int, generator: torch.Generator) -> CompletionBatch:
    prompts = list(data)
    prompt_rows, completion_rows = [], []
    for choice in torch.randint(len(prompts), (params.prompts_per_step,), generator=generator).tolist():
        completions = data[prompts[choice]]
        for index in torch.randint(len(completions), (params.completions_per_prompt,), generator=generator).tolist():
            prompt_rows.append(list(prompts[choice]))
            completion_rows.append(completions[index])
    return completion_batch(prompt_rows, completion_rows, pad_id=pad_id, device=torch.device("cpu"))


def _loss(model: PreTrainedModel, batch: CompletionBatch) -> Tensor:
    hidden_BCD = hidden_before_completions(model, batch)
    logits_VK = model.get_output_embeddings()(hidden_BCD[batch.completion_mask_BC])
    return torch.nn.functional.cross_entropy(logits_VK, batch.targets_V)


def _schedule(step: int, params: WarmStart) -> float:
    """Share of the learning rate: linear warm-up, then cosine decay to a tenth."""
    if step <= params.warmup_steps:
        return step / params.warmup_steps
    progress = (step - params.warmup_steps) / max(params.steps - params.warmup_steps, 1)
    return 0.1 + 0.45 * (1.0 + math.cos(math.pi * progress))
