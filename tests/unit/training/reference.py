"""The policy-gradient loss once more, as plainly as it can be written: one completion, one token at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from components.training.batch import ScoredBatch


@dataclass(frozen=True)
class Settings:
    aggregation: str = "max_length"
    max_length: int = 12
    low: float = 0.2
    high: float = 0.28
    cap: float | None = 2.0


def sequence_logprobs(model: PreTrainedModel, prompt: list[int], completion: list[int]) -> torch.Tensor:
    """Log-probability of each completion token: one unpadded sequence, no cache."""
    logits = model(input_ids=torch.tensor([prompt + completion]), use_cache=False).logits[0]
    return torch.stack(
        [torch.log_softmax(logits[len(prompt) + place - 1], dim=-1)[token] for place, token in enumerate(completion)]
    )


def token_loss(new: torch.Tensor, old: float, sampled: float, advantage: float, settings: Settings) -> torch.Tensor:
    """Minus the clipped surrogate of one token, times its truncated importance weight."""
    ratio = torch.exp(new - old)
    value = float(ratio.detach())
    if advantage >= 0:
        surrogate = advantage * (ratio if value <= 1 + settings.high else torch.tensor(1 + settings.high))
    else:
        surrogate = advantage * (ratio if value >= 1 - settings.low else torch.tensor(1 - settings.low))
    importance = 1.0 if settings.cap is None else min(math.exp(old - sampled), settings.cap)
    return -importance * surrogate


def step_loss(
    news: list[torch.Tensor], olds: list[list[float]], batch: ScoredBatch, settings: Settings
) -> torch.Tensor:
    """The loss of one optimizer step over all completions of ``batch``, those without signal among them."""
    lengths = [len(ids) for ids in batch.completion_ids]
    total = torch.zeros(())
    for row, new in enumerate(news):
        divisor = {
            "max_length": settings.max_length * len(lengths),
            "own_length": lengths[row] * len(lengths),
            "token": sum(lengths),
        }[settings.aggregation]
        for place in range(lengths[row]):
            sampled = float(batch.rollout_logprobs[row][place])
            total = (
                total
                + token_loss(new[place], olds[row][place], sampled, float(batch.advantages_B[row]), settings) / divisor
            )
    return total


def reference_gradients(
    model: PreTrainedModel, old_model: PreTrainedModel, batch: ScoredBatch, settings: Settings
) -> tuple[dict[str, torch.Tensor], float]:
    """Gradient by parameter name, and the loss, of one optimizer step of ``model`` on ``batch``."""
    pairs = list(zip(batch.prompt_ids, batch.completion_ids, strict=True))
    with torch.no_grad():
        olds = [sequence_logprobs(old_model, *pair).tolist() for pair in pairs]
    model.zero_grad(set_to_none=True)
    loss = step_loss([sequence_logprobs(model, *pair) for pair in pairs], olds, batch, settings)
    loss.backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return gradients, float(loss.detach())


def relative_distance(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
    """Norm of the difference over the norm, all parameters together."""
    assert one.keys() == two.keys()
    difference = math.sqrt(sum(float((one[name] - two[name]).double().square().sum()) for name in one))
    return difference / math.sqrt(sum(float(two[name].double().square().sum()) for name in two))


def random_batch(model: PreTrainedModel, *, prompts: int, group_size: int, max_length: int, seed: int) -> ScoredBatch:
    """Prompts and completions of mixed lengths; sampler log-probabilities a little off; some advantages zero."""
    generator = np.random.default_rng(seed)
    tokens = lambda length: generator.integers(3, model.config.vocab_size, length).tolist()  # noqa: E731
    rows: list[tuple[str, list[int], list[int], float]] = []
    for problem in range(prompts):
        prompt = tokens(generator.integers(1, 9))
        advantages = generator.normal(size=group_size)
        advantages[generator.random(group_size) < 0.25] = 0.0
        for advantage in advantages:
            rows.append((f"p{problem}", prompt, tokens(generator.integers(1, max_length + 1)), float(advantage)))
    with torch.no_grad():
        exact = [sequence_logprobs(model, prompt, completion).numpy() for _, prompt, completion, _ in rows]
    return ScoredBatch(
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [(values + generator.normal(scale=0.5, size=len(values))).astype(np.float32) for values in exact],
        np.array([row[3] for row in rows]),
        [place % group_size for place in range(len(rows))],
        np.array([len(row[2]) == max_length for row in rows]),
    )
