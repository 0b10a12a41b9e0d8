"""Log-probability and entropy of tokens from hidden states, without ever holding all their logits.

The logits of V tokens over a vocabulary of K are the largest tensor of an update by far (V x K, several times over in
forward and backward). Here they exist for a chunk of tokens at a time; the backward pass makes each chunk's logits
anew from the hidden states, which costs one more product with the head and saves the rest of the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from components.training.chunks import chunk_tokens

__all__ = ["token_statistics"]


def token_statistics(
    hidden_VD: Tensor, weight_KD: Tensor, bias_K: Tensor | None, targets_V: Tensor, *, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and entropy of its distribution, at temperature 1; both (V,) float32, nats.

    Differentiable in the hidden states, the weight and the bias. Products run in the autocast precision where autocast
    is on, else in that of the weight; everything after them in float32.

    Args:
        hidden_VD: (V, D) hidden states that predict the targets.
        weight_KD, bias_K: the head.
        targets_V: (V,) int64 token ids.
        chunk: tokens whose logits are held at a time; None: see chunk_tokens.
    """
    device = hidden_VD.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight_KD.dtype
    size = chunk or chunk_tokens(len(weight_KD), device)
    logprobs_V, entropy_V = _ChunkedHead.apply(hidden_VD, weight_KD, bias_K, targets_V, size, dtype)
    return logprobs_V, entropy_V


class _ChunkedHead(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_VD: Tensor,
        weight_KD: Tensor,
        bias_K: Tensor | None,
        targets_V: Tensor,
        size: int,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        normaliser_V, logprobs_V, entropy_V = (
            torch.empty(len(hidden_VD), dtype=torch.float32, device=hidden_VD.device) for _ in range(3)
        )
        with torch.autocast(hidden_VD.device.type, enabled=False):
            head_KD = weight_KD.to(dtype)
            for rows in _chunks(len(hidden_VD), size):
                logits_CK = _logits(hidden_VD[rows], head_KD, bias_K)
                normaliser_V[rows], logprobs_V[rows], entropy_V[rows] = _statistics(logits_CK, targets_V[rows])
        ctx.save_for_backward(hidden_VD, weight_KD, bias_K, targets_V, normaliser_V, entropy_V)
        ctx.size, ctx.dtype = size, dtype
        # Without this an unused entropy would come back as a tensor of zeros, and its gradient be computed.
        ctx.set_materialize_grads(False)
        return logprobs_V, entropy_V

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        logprobs_gradient_V, entropy_gradient_V = gradients
        hidden_VD, weight_KD, bias_K, targets_V, normaliser_V, entropy_V = ctx.saved_tensors
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        head_KD = weight_KD.to(ctx.dtype)
        hidden_gradient_VD = torch.empty_like(hidden_VD) if needs_hidden else None
        weight_gradient_KD = torch.zeros_like(weight_KD, dtype=torch.float32) if needs_weight else None
        bias_gradient_K = torch.zeros_like(bias_K, dtype=torch.float32) if needs_bias else None
        for rows in _chunks(len(hidden_VD), ctx.size):
            logprobs_CK = _logits(hidden_VD[rows], head_KD, bias_K).sub_(normaliser_V[rows, None])
            gradient_CK = _logits_gradient(
                logprobs_CK,
                targets_V[rows],
                entropy_V[rows],
                None if logprobs_gradient_V is None else logprobs_gradient_V[rows],
                None if entropy_gradient_V is None else entropy_gradient_V[rows],
            )
            narrow_CK = gradient_CK.to(ctx.dtype)
            if hidden_gradient_VD is not None:
                hidden_gradient_VD[rows] = (narrow_CK @ head_KD).to(hidden_VD.dtype)
            if weight_gradient_KD is not None:
                _add_product(weight_gradient_KD, narrow_CK.T, hidden_VD[rows].to(ctx.dtype))
            if bias_gradient_K is not None:
                bias_gradient_K += gradient_CK.sum(dim=0)
        return (
            hidden_gradient_VD,
            None if weight_gradient_KD is None else weight_gradient_KD.to(weight_KD.dtype),
            None if bias_gradient_K is None else bias_gradient_K.to(bias_K.dtype),
            None,
            None,
            None,
        )


def _chunks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _logits(hidden_CD: Tensor, head_KD: Tensor, bias_K: Tensor | None) -> Tensor:
    logits_CK = (hidden_CD.to(head_KD.dtype) @ head_KD.T).float()
    return logits_CK if bias_K is None else logits_CK.add_(bias_K)


def _statistics(logits_CK: Tensor, targets_C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log of the normaliser, log-probability of the target and entropy; overwrites the logits."""
    most_C1 = logits_CK.amax(dim=-1, keepdim=True)
    logits_CK.sub_(most_C1)
    target_C = logits_CK.gather(1, targets_C[:, None])[:, 0]
    weights_CK = logits_CK.exp()
    total_C = weights_CK.sum(dim=-1)
    log_total_C = total_C.log()
    # -sum p log p with p = w / total and log p = logit - log total.
    entropy_C = log_total_C - weights_CK.mul_(logits_CK).sum(dim=-1) / total_C
    return log_total_C + most_C1[:, 0], target_C - log_total_C, entropy_C


def _logits_gradient(
    logprobs_CK: Tensor,
    targets_C: Tensor,
    entropy_C: Tensor,
    logprobs_gradient_C: Tensor | None,
    entropy_gradient_C: Tensor | None,
) -> Tensor:
    """Gradient by the logits; overwrites the log-probabilities.

    d logprob_t / d logit_k = [k = t] - p_k;  d entropy / d logit_k = -p_k (log p_k + entropy).
    """
    if logprobs_gradient_C is None:
        logprobs_gradient_C = torch.zeros_like(entropy_C)
    if entropy_gradient_C is None:
        gradient_CK = logprobs_CK.exp_().mul_(-logprobs_gradient_C[:, None])
    else:
        probabilities_CK = logprobs_CK.exp()
        surprise_CK = logprobs_CK.add_(entropy_C[:, None]).mul_(-entropy_gradient_C[:, None])
        gradient_CK = probabilities_CK.mul_(surprise_CK.sub_(logprobs_gradient_C[:, None]))
    return gradient_CK.scatter_add_(1, targets_C[:, None], logprobs_gradient_C[:, None])


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """``total += left @ right``, in float32 whatever the product's precision."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
