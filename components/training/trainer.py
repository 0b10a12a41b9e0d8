"""The trainer: one policy update per iteration, from scored rollouts to new weights and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from components.errors import PolyEpoError
from components.policy.completions import CompletionBatch, completion_batch
from components.policy.load import load_model, load_tokenizer, save_policy
from components.training.batch import ScoredBatch
from components.training.distributed import SINGLE, Forward, Ranks, as_tensor, divided, gathered, release
from components.training.forward import TokenStatistics, check_plain_head, completion_logprobs, without_dropout
from components.training.loss import LossInputs, policy_loss, token_weights
from components.training.params import TrainingParams
from components.training.state import load_optimizer, save_optimizer

__all__ = ["Trainer"]


@dataclass
class _Sums:
    """Sums over the tokens of an iteration from which the metrics are made."""

    loss: float = 0.0
    tokens: int = 0
    clipped: int = 0
    capped: int = 0
    ratio: float = 0.0
    mismatch_kl: float = 0.0
    entropy: float = 0.0
    grad_norms: list[float] = field(default_factory=list)

    def over(self, ranks: Ranks) -> _Sums:
        """The sums of all ranks; gradient norms are the same on each."""
        own = [self.loss, self.tokens, self.clipped, self.capped, self.ratio, self.mismatch_kl, self.entropy]
        loss, tokens, clipped, capped, ratio, mismatch_kl, entropy = ranks.sum(own)
        return _Sums(loss, int(tokens), int(clipped), int(capped), ratio, mismatch_kl, entropy, self.grad_norms)


class Trainer:
    """AdamW on the PPO-clip surrogate; stays warm between iterations.

    Weights are float32 masters; with ``dtype: bfloat16`` the forward pass runs under autocast on a GPU.
    Deterministic on CPU for a fixed number of threads. As one of several ``ranks`` it holds a part of the weights and
    computes a part of the micro-batches; every rank must make the same calls.
    """

    def __init__(
        self, params: TrainingParams, *, max_new_tokens: int, device: str | None = None, ranks: Ranks = SINGLE
    ) -> None:
        self._params = params
        self._max_length = max_new_tokens
        self._ranks = ranks
        self._device = ranks.device or torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.steps = 0

    def load(self, policy: Path, state: Path | None) -> None:
        """Load the weights of ``policy`` and, if given, the optimizer's ``state`` that belongs to them.

        Raises:
            PolyEpoError: no model is there, its logits are not its head's, or the state belongs to another model.
        """
        params = self._params
        # Weights that are to be divided go to the device part by part.
        self._model = load_model(policy, device=None if self._ranks.size > 1 else self._device).eval()
        check_plain_head(self._model, where=str(policy))
        if params.gradient_checkpointing:
            # Checkpointing works in training mode alone; dropout would make the log-probabilities differ from
            # the sampler's.
            without_dropout(self._model).train()
            self._model.gradient_checkpointing_enable({"use_reentrant": False})
        self._forward = divided(
            Forward(self._model, _statistics_of), self._ranks, mixed=self._params.dtype == "bfloat16"
        )
        self._tokenizer = load_tokenizer(policy)
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(),
            lr=params.learning_rate,
            betas=params.betas,
            weight_decay=params.weight_decay,
            fused=True,
        )
        self.steps = 0 if state is None else load_optimizer(self._optimizer, self._model, state, self._ranks)

    def save_policy(self, directory: Path) -> None:
        """Write the weights and the tokenizer into an existing directory."""
        weights = gathered(self._model, self._ranks)
        if self._ranks.is_first:
            save_policy(self._model, self._tokenizer, directory, weights=weights)

    def save_state(self, directory: Path) -> None:
        """Write the optimizer's state into an existing directory."""
        save_optimizer(self._optimizer, self._model, self.steps, directory, self._ranks)

    def update(self, batch: ScoredBatch, *, minibatches: int) -> dict[str, float]:
        """One optimizer step per minibatch of whole prompts; returns the metrics of the iteration.

        Metrics: loss (mean of the steps), clip_fraction, ratio_mean, mismatch_kl (nats/token), importance_capped
        (share of tokens), entropy (nats/token), grad_norm (before clipping, mean of the steps), learning_rate
        (of the last step), trained_share (completions with signal), completion_tokens. Those per token are over the
        tokens of the completions with signal.

        Raises:
            PolyEpoError: loss or gradient is not finite; the model's weights are then to be thrown away.
        """
        parts = list(batch.minibatches(minibatches))
        trained = [part.select(self._rows_with_signal(part)) for part in parts]
        # The first step sees the very weights that old log-probabilities are defined by: it needs no pass for them.
        old = [None, *(self._old_logprobs(part) for part in trained[1:])]
        sums = _Sums()
        for part, kept, old_logprobs in zip(parts, trained, old, strict=True):
            self._step(part, kept, old_logprobs, sums)
        sums = sums.over(self._ranks)
        tokens = max(sums.tokens, 1)
        return {
            "loss": sums.loss / minibatches,
            "clip_fraction": sums.clipped / tokens,
            "ratio_mean": sums.ratio / tokens if sums.tokens else 1.0,
            "mismatch_kl": sums.mismatch_kl / tokens,
            "importance_capped": sums.capped / tokens,
            "entropy": sums.entropy / tokens,
            "grad_norm": float(np.mean(sums.grad_norms)) if sums.grad_norms else 0.0,
            "learning_rate": float(self._optimizer.param_groups[0]["lr"]),
            "trained_share": sum(map(len, trained)) / len(batch),
            "completion_tokens": float(batch.tokens),
        }

    def _rows_with_signal(self, part: ScoredBatch) -> list[int]:
        return np.flatnonzero(np.abs(part.advantages_B) > self._params.advantage_epsilon).tolist()

    def _learning_rate(self) -> float:
        warmup = self._params.warmup_steps
        share = min((self.steps + 1) / warmup, 1.0) if warmup else 1.0
        return self._params.learning_rate * share

    def _micro_batches(self, batch: ScoredBatch) -> Iterator[tuple[ScoredBatch, CompletionBatch]]:
        """Whole prompts side by side, prompts of similar length together, so that little is padding."""
        order = sorted(range(len(batch)), key=lambda row: len(batch.prompt_ids[row]))
        for start in range(0, len(order), self._params.micro_batch_size):
            rows = batch.select(order[start : start + self._params.micro_batch_size])
            pad_id = int(self._tokenizer.pad_token_id)
            yield rows, completion_batch(rows.prompt_ids, rows.completion_ids, pad_id=pad_id, device=self._device)

    def _statistics(self, batch: CompletionBatch) -> TokenStatistics:
        # Activation checkpointing recomputes layers and cannot keep the prompts' cache.
        share = not self._params.gradient_checkpointing
        with self._autocast():
            return TokenStatistics(*self._forward(batch, share_prompts=share))

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self._params.dtype == "bfloat16":
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    @torch.no_grad()
    def _old_logprobs(self, batch: ScoredBatch) -> list[Tensor]:
        own = self._ranks.own(list(self._micro_batches(batch)))
        old = [self._statistics(padded).logprobs_V for (_, padded), _ in own]
        release(self._forward)
        return old

    def _step(self, part: ScoredBatch, kept: ScoredBatch, old: list[Tensor] | None, sums: _Sums) -> None:
        """One optimizer step over ``kept``; ``part`` (with the completions without signal) sets the normaliser."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self._optimizer.zero_grad(set_to_none=True)
        for index, ((rows, padded), counts) in enumerate(self._ranks.own(list(self._micro_batches(kept)))):
            statistics = self._statistics(padded)
            inputs = self._loss_inputs(rows, part, statistics.logprobs_V, None if old is None else old[index])
            outputs = policy_loss(
                inputs,
                clip_ratio_low=self._params.clip_ratio_low,
                clip_ratio_high=self._params.clip_ratio_high,
                importance_cap=self._params.importance_cap,
            )
            if not torch.isfinite(outputs.loss):
                raise self._not_finite("loss", rows)
            if not counts:
                (0.0 * outputs.loss).backward()
                continue
            outputs.loss.backward()
            sums.loss += float(outputs.loss.detach())
            sums.tokens += rows.tokens
            sums.clipped += int(outputs.clipped_tokens)
            sums.capped += int(outputs.capped_tokens)
            sums.ratio += float(outputs.ratio_sum)
            sums.mismatch_kl += float(outputs.mismatch_kl_sum)
            sums.entropy += float(statistics.entropy_V.sum())
        if len(kept):
            norm = as_tensor(torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._params.max_grad_norm))
            if not torch.isfinite(norm):
                raise self._not_finite("gradient", kept)
            sums.grad_norms.append(float(norm))
            self._optimizer.step()
            self.steps += 1

    def _loss_inputs(
        self, rows: ScoredBatch, part: ScoredBatch, logprobs_V: Tensor, old_V: Tensor | None
    ) -> LossInputs:
        lengths_B = torch.tensor([len(ids) for ids in rows.completion_ids], device=self._device)
        advantages_B = torch.from_numpy(rows.advantages_B).float().to(self._device)
        return LossInputs(
            logprobs_V=logprobs_V,
            old_logprobs_V=logprobs_V.detach() if old_V is None else old_V,
            rollout_logprobs_V=torch.from_numpy(np.concatenate(rows.rollout_logprobs)).to(self._device),
            advantages_V=advantages_B.repeat_interleave(lengths_B),
            weights_V=token_weights(
                lengths_B,
                aggregation=self._params.loss_aggregation,
                max_length=self._max_length,
                completions=len(part),
                tokens=part.tokens,
            ),
        )

    def _not_finite(self, what: str, rows: ScoredBatch) -> PolyEpoError:
        problems = sorted(set(rows.problem_ids))
        return PolyEpoError(
            f"the {what} is not finite",
            where=f"optimizer step {self.steps + 1}, problems {', '.join(problems[:3])}...",
            remedy="lower training.learning_rate; nothing of this update was kept",
        )


def _statistics_of(model: PreTrainedModel, batch: CompletionBatch, *, share_prompts: bool) -> tuple[Tensor, Tensor]:
    statistics = completion_logprobs(model, batch, share_prompts=share_prompts)
    return statistics.logprobs_V, statistics.entropy_V
