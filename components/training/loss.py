"""The policy-gradient loss: PPO-clip surrogate with one advantage per completion.

Poly-EPO (arXiv 2604.17654) replaces the advantage of a standard policy-gradient update by the marginal set
advantage; everything here is the standard update. Token-level arrays are flat: the V completion tokens of all
completions of a micro-batch, one after the other, so no padding enters any sum.

    loss = - sum_v weight_v * importance_v * min(ratio_v A_v, clip(ratio_v, 1 - low, 1 + high) A_v)
           + kl_coefficient * sum_v weight_v * k3_v  -  entropy_coefficient * sum_v weight_v * entropy_v

The last two terms are off in the paper and by default. ``weight_v`` carries the normaliser of the whole optimizer
step, not of the micro-batch: adding up the losses of any split of the step into micro-batches gives the same gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from components.training.params import LossAggregation

__all__ = ["LossInputs", "LossOutputs", "policy_loss", "token_weights"]


@dataclass(frozen=True)
class LossInputs:
    """One micro-batch, flat over its V completion tokens; all (V,) float32.

    Attributes:
        logprobs_V: log-probability of each token under the policy being trained; carries the gradient.
        old_logprobs_V: the same under the policy at the start of the iteration (the trainer's forward pass).
        rollout_logprobs_V: the same as the sampler reported it.
        advantages_V: the advantage of the token's completion.
        weights_V: see token_weights.
        entropy_V: entropy of the trained policy's distribution at each token; carries the gradient.
        reference_logprobs_V: log-probability of each token under the reference policy; None without a KL term.
    """

    logprobs_V: Tensor
    old_logprobs_V: Tensor
    rollout_logprobs_V: Tensor
    advantages_V: Tensor
    weights_V: Tensor
    entropy_V: Tensor
    reference_logprobs_V: Tensor | None = None


@dataclass(frozen=True)
class LossOutputs:
    """The loss (scalar, carries the gradient) and sums over tokens from which a step's metrics are made.

    ``loss_V`` is each token's part of the loss, without gradient.
    """

    loss: Tensor
    loss_V: Tensor
    clipped_tokens: Tensor
    ratio_sum: Tensor
    mismatch_kl_sum: Tensor
    capped_tokens: Tensor
    reference_kl_sum: Tensor
    entropy_sum: Tensor


def token_weights(
    lengths_B: Tensor, *, aggregation: LossAggregation, max_length: int, completions: int, tokens: int
) -> Tensor:
    """Weight of each of the V = sum(lengths) tokens in the loss of one optimizer step, (V,) float32.

    Args:
        lengths_B: completion lengths of this micro-batch in tokens, (B,) int64.
        aggregation: ``max_length``: a completion's token sum over the maximum response length (the paper, Dr. GRPO);
            ``own_length``: over its own length (GRPO); ``token``: every token of the step weighs the same.
        max_length: maximum response length in tokens.
        completions: completions in the whole optimizer step, those without signal included.
        tokens: completion tokens in the whole optimizer step, those without signal included.
    """
    if aggregation == "token":
        per_completion_B = torch.full(lengths_B.shape, 1.0 / tokens)
    elif aggregation == "own_length":
        per_completion_B = 1.0 / (completions * lengths_B.clamp(min=1).float())
    else:
        per_completion_B = torch.full(lengths_B.shape, 1.0 / (completions * max_length))
    return per_completion_B.to(lengths_B.device).repeat_interleave(lengths_B)


def policy_loss(
    inputs: LossInputs,
    *,
    clip_ratio_low: float,
    clip_ratio_high: float,
    importance_cap: float | None,
    kl_coefficient: float = 0.0,
    entropy_coefficient: float = 0.0,
) -> LossOutputs:
    """PPO-clip surrogate with asymmetric clipping and truncated importance weights, KL to a reference, entropy bonus.

    The ratio is taken against the trainer's own old log-probabilities; what the sampler computed differently
    (other kernels, other precision) is corrected by the weight min(exp(old - rollout), importance_cap).
    The mismatch KL is the k3 estimate of KL(sampler || trainer), nats per token; the KL term is that of
    KL(trained policy || reference), exp(d) - 1 - d with d = reference - trained log-probability, with its gradient.
    """
    ratio_V = torch.exp(inputs.logprobs_V - inputs.old_logprobs_V)
    clipped_V = ratio_V.clamp(1.0 - clip_ratio_low, 1.0 + clip_ratio_high)
    surrogate_V = torch.minimum(ratio_V * inputs.advantages_V, clipped_V * inputs.advantages_V)
    log_mismatch_V = inputs.old_logprobs_V - inputs.rollout_logprobs_V
    importance_V = torch.exp(log_mismatch_V)
    capped_V = torch.zeros_like(importance_V, dtype=torch.bool)
    if importance_cap is None:
        applied_V = torch.ones_like(importance_V)
    else:
        capped_V = importance_V > importance_cap
        applied_V = importance_V.clamp(max=importance_cap)
    loss_V = -(inputs.weights_V * applied_V * surrogate_V)
    reference_kl_V = torch.zeros_like(inputs.weights_V)
    if inputs.reference_logprobs_V is not None:
        reference_kl_V = _k3(inputs.reference_logprobs_V - inputs.logprobs_V)
        loss_V = loss_V + kl_coefficient * inputs.weights_V * reference_kl_V
    if entropy_coefficient:
        loss_V = loss_V - entropy_coefficient * inputs.weights_V * inputs.entropy_V
    with torch.no_grad():
        # Clipping is active where it removed the gradient: the clipped branch is the smaller one.
        active_V = clipped_V * inputs.advantages_V < ratio_V * inputs.advantages_V
        sums = {
            "clipped_tokens": active_V.sum(),
            "ratio_sum": ratio_V.sum(),
            "mismatch_kl_sum": _k3(log_mismatch_V).sum(),
            "capped_tokens": capped_V.sum(),
            "reference_kl_sum": reference_kl_V.sum(),
            "entropy_sum": inputs.entropy_V.sum(),
        }
    return LossOutputs(loss=loss_V.sum(), loss_V=loss_V.detach(), **sums)


def _k3(log_ratio_V: Tensor) -> Tensor:
    """exp(d) - 1 - d: never negative, and its mean over samples of p is KL(p || q) for d = log q - log p."""
    return torch.exp(log_ratio_V) - 1.0 - log_ratio_V
