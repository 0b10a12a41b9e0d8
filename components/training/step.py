"""The arithmetic of an optimizer step around the model: what goes into the loss, and the sums that come out."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from components.training.batch import ScoredBatch
from components.training.distributed import Ranks
from components.training.forward import TokenStatistics
from components.training.loss import LossInputs, LossOutputs, policy_loss, token_weights
from components.training.params import TrainingParams

__all__ = ["StepSums", "loss_inputs", "loss_of", "rollout_names", "trained_rows"]


@dataclass
class StepSums:
    """Sums over the tokens of one optimizer step or of many, from which the metrics are made."""

    loss: float = 0.0
    tokens: float = 0.0
    clipped: float = 0.0
    capped: float = 0.0
    ratio: float = 0.0
    mismatch_kl: float = 0.0
    reference_kl: float = 0.0
    entropy: float = 0.0
    grad_norm: float = 0.0
    steps: float = 0.0
    skipped: float = 0.0

    def add_micro_batch(self, outputs: LossOutputs) -> None:
        """Add what one micro-batch gave."""
        self.loss += float(outputs.loss.detach())
        self.tokens += len(outputs.loss_V)
        self.clipped += float(outputs.clipped_tokens)
        self.capped += float(outputs.capped_tokens)
        self.ratio += float(outputs.ratio_sum)
        self.mismatch_kl += float(outputs.mismatch_kl_sum)
        self.reference_kl += float(outputs.reference_kl_sum)
        self.entropy += float(outputs.entropy_sum)

    def add(self, step: StepSums) -> None:
        """Add another's sums."""
        for name in (field.name for field in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(step, name))

    def over(self, ranks: Ranks) -> StepSums:
        """The sums of all ranks."""
        return StepSums(*ranks.sum([getattr(self, field.name) for field in fields(self)]))

    @property
    def finite(self) -> bool:
        """Whether the loss is."""
        return math.isfinite(self.loss)

    def means(self, *, minibatches: int, with_reference: bool) -> dict[str, float]:
        """Metrics of an iteration; those per token are over the tokens that were trained on."""
        tokens = max(self.tokens, 1.0)
        metrics = {
            "loss": self.loss / minibatches,
            "clip_fraction": self.clipped / tokens,
            "ratio_mean": self.ratio / tokens if self.tokens else 1.0,
            "mismatch_kl": self.mismatch_kl / tokens,
            "importance_capped": self.capped / tokens,
            "entropy": self.entropy / tokens,
            "grad_norm": self.grad_norm / max(self.steps, 1.0),
            "skipped_steps": self.skipped,
        }
        return metrics | ({"reference_kl": self.reference_kl / tokens} if with_reference else {})


def trained_rows(part: ScoredBatch, params: TrainingParams) -> list[int]:
    """Rows of ``part`` whose completions have a gradient and so run through the model.

    Without KL and entropy term these are the completions with an advantage; masked ones never are among them.
    """
    if params.kl_coefficient or params.entropy_coefficient:
        chosen_B = np.ones(len(part), dtype=bool)
    else:
        chosen_B = np.abs(part.advantages_B) > params.advantage_epsilon
    if params.overlong == "mask":
        chosen_B &= ~part.truncated_B
    return np.flatnonzero(chosen_B).tolist()


def loss_inputs(
    rows: ScoredBatch,
    part: ScoredBatch,
    statistics: TokenStatistics,
    *,
    old_V: Tensor | None,
    reference_V: Tensor | None,
    params: TrainingParams,
    max_length: int,
) -> LossInputs:
    """What the loss of micro-batch ``rows`` needs; ``part``, all completions of the step, sets the normaliser.

    Without ``old_V`` the policy is still the one that old log-probabilities are defined by.
    """
    device = statistics.logprobs_V.device
    lengths_B = torch.tensor([len(ids) for ids in rows.completion_ids], device=device)
    advantages_B = torch.from_numpy(rows.advantages_B).float().to(device)
    return LossInputs(
        logprobs_V=statistics.logprobs_V,
        old_logprobs_V=statistics.logprobs_V.detach() if old_V is None else old_V,
        rollout_logprobs_V=torch.from_numpy(np.concatenate(rows.rollout_logprobs)).to(device),
        advantages_V=advantages_B.repeat_interleave(lengths_B),
        weights_V=token_weights(
            lengths_B,
            aggregation=params.loss_aggregation,
            max_length=max_length,
            completions=len(part),
            tokens=part.tokens,
        ),
        entropy_V=statistics.entropy_V,
        reference_logprobs_V=reference_V,
    )


def loss_of(inputs: LossInputs, params: TrainingParams) -> LossOutputs:
    """The loss with the options of ``params``."""
    return policy_loss(
        inputs,
        clip_ratio_low=params.clip_ratio_low,
        clip_ratio_high=params.clip_ratio_high,
        importance_cap=params.importance_cap,
        kl_coefficient=params.kl_coefficient,
        entropy_coefficient=params.entropy_coefficient,
    )


def rollout_names(rows: ScoredBatch, outputs: LossOutputs | None = None) -> list[str]:
    """Names of the rollouts of ``rows``; with ``outputs`` only of those with a token whose loss is not finite."""
    chosen = list(range(len(rows)))
    if outputs is not None:
        lengths = [len(ids) for ids in rows.completion_ids]
        finite = [bool(torch.isfinite(part_V).all()) for part_V in outputs.loss_V.split(lengths)]
        chosen = [row for row in chosen if not finite[row]]
    return [f"{rows.problem_ids[row]} sample {rows.sample_index[row]}" for row in chosen]
