"""The trainer: one policy update per iteration, from scored rollouts to new weights and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor
from transformers import PreTrainedModel

from components.policy.completions import CompletionBatch, completion_batch
from components.policy.load import load_model, load_tokenizer, save_policy
from components.training.batch import ScoredBatch, check_tokens
from components.training.distributed import SINGLE, Forward, Ranks, as_tensor, divided, gathered, release
from components.training.forward import (
    TokenStatistics,
    check_plain_head,
    completion_logprobs,
    set_packed_attention,
    without_dropout,
)
from components.training.memory import explaining_out_of_memory
from components.training.packing import PackedBatch, pack, plan_micro_batches
from components.training.params import TrainingParams
from components.training.skipping import SkippedSteps
from components.training.state import Progress, load_optimizer, save_optimizer
from components.training.step import StepSums, loss_inputs, loss_of, rollout_names, trained_rows

__all__ = ["Trainer"]

_MicroBatch: TypeAlias = tuple[ScoredBatch, PackedBatch | CompletionBatch]


class Trainer:
    """AdamW on the PPO-clip surrogate; stays warm between iterations.

    Weights are float32 masters; with ``dtype: bfloat16`` the forward pass runs under autocast on a GPU.
    Deterministic on CPU for a fixed number of threads. As one of several ``ranks`` it holds a part of the weights and
    computes a part of the micro-batches; every rank must make the same calls.

    Attributes:
        steps: optimizer steps taken since version 0.
    """

    def __init__(
        self, params: TrainingParams, *, max_new_tokens: int, device: str | None = None, ranks: Ranks = SINGLE
    ) -> None:
        self._params = params
        self._max_length = max_new_tokens
        self._ranks = ranks
        self._device = ranks.device or torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.steps = 0

    def load(self, policy: Path, state: Path | None, *, base: Path | None = None) -> None:
        """Load the weights of ``policy`` and, if given, the optimizer's ``state`` that belongs to them.

        Args:
            policy: directory of the version to go on from.
            state: what save_state wrote beside it; None: ``policy`` is version 0.
            base: directory of version 0, which LoRA trains on and the KL term refers to; None: ``policy`` itself.

        Raises:
            PolyEpoError: no model is there, its logits are not its head's, the state belongs to another model, or there
                is not enough memory.
        """
        params = self._params
        with explaining_out_of_memory(params):
            self._model = self._opened(policy if params.lora is None else base or policy)
            self._packed = set_packed_attention(self._model)
            if params.lora is not None:
                # peft is needed for this alone.
                from components.training.lora import add_adapter  # noqa: PLC0415

                add_adapter(self._model, params.lora)
            if params.gradient_checkpointing:
                _checkpoint_activations(self._model)
            if params.compile:
                self._model.base_model.compile(dynamic=True)
            self._forward = self._divided(self._model)
            self._reference = None
            if params.kl_coefficient and params.lora is None:
                self._reference = self._divided(self._frozen(base or policy))
            self._tokenizer = load_tokenizer(policy)
            self._load_state(state)

    def save_policy(self, directory: Path) -> None:
        """Write the weights and the tokenizer into an existing directory.

        Adapters are merged into the weights, and stand by themselves in ``adapter`` (peft's format).
        """
        weights = gathered(self._model, self._ranks)
        if self._params.lora is not None and self._ranks.is_first:
            from components.training.lora import export_adapter, merged_weights  # noqa: PLC0415

            whole = self._model.state_dict() if weights is None else weights
            export_adapter(whole, self._params.lora, directory / "adapter")
            weights = merged_weights(self._model, whole)
        if self._ranks.is_first:
            save_policy(self._model, self._tokenizer, directory, weights=weights)

    def save_state(self, directory: Path) -> None:
        """Write the optimizer's state, and adapters as they are, into an existing directory."""
        progress = Progress(self.steps, self._skipped.in_row)
        save_optimizer(self._optimizer, self._model, progress, directory, self._ranks)
        if self._params.lora is not None:
            from components.training.lora import save_adapter  # noqa: PLC0415

            save_adapter(self._model, directory, self._ranks)

    def update(self, batch: ScoredBatch, *, minibatches: int) -> dict[str, float]:
        """One optimizer step per minibatch of whole prompts; returns the metrics of the iteration.

        Metrics: loss (mean of the steps), clip_fraction, ratio_mean, mismatch_kl (nats/token), importance_capped
        (share of tokens), entropy (nats/token), grad_norm (before clipping, mean of the steps), learning_rate (of the
        last step taken), trained_share (completions with signal), completion_tokens, skipped_steps (loss or gradient
        not finite), with a KL term reference_kl (nats/token). Those per token are over the tokens trained on.

        Raises:
            PolyEpoError: a token is none of the model's, too many steps in a row are not finite, or there is not enough
                memory; the model's weights are then to be thrown away.
        """
        check_tokens(batch, vocabulary=int(self._model.config.vocab_size))
        parts = list(batch.minibatches(minibatches))
        trained = [part.select(trained_rows(part, self._params)) for part in parts]
        sums = StepSums()
        with explaining_out_of_memory(self._params):
            # The first step sees the very weights that old log-probabilities are defined by: it needs no pass for them.
            old = [None, *(self._logprobs(self._forward, part) for part in trained[1:])]
            for part, kept, old_logprobs in zip(parts, trained, old, strict=True):
                if len(kept):
                    sums.add(self._step(part, kept, old_logprobs))
        return sums.means(minibatches=minibatches, with_reference=self._params.kl_coefficient > 0) | {
            # Not what the optimizer last used: one that was just loaded has used nothing yet.
            "learning_rate": self._learning_rate(max(self.steps, 1)),
            "trained_share": sum(map(len, trained)) / len(batch),
            "completion_tokens": float(batch.tokens),
        }

    def _opened(self, policy: Path) -> PreTrainedModel:
        # Weights that are to be divided go to the device part by part.
        model = load_model(policy, device=None if self._ranks.size > 1 else self._device).eval()
        check_plain_head(model, where=str(policy))
        return model

    def _frozen(self, policy: Path) -> PreTrainedModel:
        model = self._opened(policy).requires_grad_(False)
        set_packed_attention(model)
        return model

    def _divided(self, model: PreTrainedModel) -> Forward:
        return divided(Forward(model, _statistics_of), self._ranks, mixed=self._params.dtype == "bfloat16")

    def _load_state(self, state: Path | None) -> None:
        params = self._params
        self._optimizer = torch.optim.AdamW(
            [parameter for parameter in self._model.parameters() if parameter.requires_grad],
            lr=params.learning_rate,
            betas=params.betas,
            weight_decay=params.weight_decay,
            fused=True,
        )
        progress = Progress()
        if state is not None:
            progress = load_optimizer(self._optimizer, self._model, state, self._ranks)
            if params.lora is not None:
                from components.training.lora import load_adapter  # noqa: PLC0415

                load_adapter(self._model, state, self._ranks)
        self.steps = progress.steps
        self._skipped = SkippedSteps(params.max_skipped_steps, progress.skipped_in_row)

    def _learning_rate(self, step: int) -> float:
        """Of the optimizer step number ``step``, from 1."""
        warmup = self._params.warmup_steps
        share = min(step / warmup, 1.0) if warmup else 1.0
        return self._params.learning_rate * share

    def _micro_batches(self, batch: ScoredBatch) -> Iterator[tuple[_MicroBatch, bool]]:
        """The micro-batches that this rank computes, and whether they count; the same ones whenever asked."""
        budget = self._params.micro_batch_tokens
        plan = plan_micro_batches(batch.prompt_ids, batch.completion_ids, max_tokens=budget, packed=self._packed)
        for chosen, counts in self._ranks.own(list(plan)):
            rows = batch.select(chosen)
            yield (rows, self._inputs(rows)), counts

    def _inputs(self, rows: ScoredBatch) -> PackedBatch | CompletionBatch:
        if self._packed:
            return pack(rows.prompt_ids, rows.completion_ids, device=self._device)
        pad_id = int(self._tokenizer.pad_token_id)
        return completion_batch(rows.prompt_ids, rows.completion_ids, pad_id=pad_id, device=self._device)

    def _statistics(self, forward: Forward, inputs: PackedBatch | CompletionBatch) -> TokenStatistics:
        autocast: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if self._params.dtype == "bfloat16":
            autocast = torch.autocast(self._device.type, dtype=torch.bfloat16)
        with autocast:
            return TokenStatistics(*forward(inputs))

    @torch.no_grad()
    def _logprobs(self, forward: Forward, batch: ScoredBatch) -> list[Tensor]:
        found = [self._statistics(forward, inputs).logprobs_V for (_, inputs), _ in self._micro_batches(batch)]
        release(forward)
        return found

    def _reference_logprobs(self, batch: ScoredBatch) -> list[Tensor] | None:
        if not self._params.kl_coefficient:
            return None
        if self._reference is not None:
            return self._logprobs(self._reference, batch)
        from components.training.lora import without_adapter  # noqa: PLC0415

        with without_adapter(self._model):
            return self._logprobs(self._forward, batch)

    def _step(self, part: ScoredBatch, kept: ScoredBatch, old: list[Tensor] | None) -> StepSums:
        """One optimizer step over ``kept``; ``part`` (with the completions without signal) sets the normaliser."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(self.steps + 1)
        self._optimizer.zero_grad(set_to_none=True)
        sums, spoilt = StepSums(), list[str]()
        reference = self._reference_logprobs(kept)
        for index, ((rows, inputs), counts) in enumerate(self._micro_batches(kept)):
            outputs = loss_of(
                loss_inputs(
                    rows,
                    part,
                    self._statistics(self._forward, inputs),
                    old_V=None if old is None else old[index],
                    reference_V=None if reference is None else reference[index],
                    params=self._params,
                    max_length=self._max_length,
                ),
                self._params,
            )
            # Every rank goes backward equally often; a micro-batch that does not count adds nothing.
            (outputs.loss if counts else 0.0 * outputs.loss).backward()
            if counts:
                sums.add_micro_batch(outputs)
                if not torch.isfinite(outputs.loss_V).all():
                    spoilt.extend(rollout_names(rows, outputs))
        return self._take(sums.over(self._ranks), spoilt or rollout_names(kept))

    def _take(self, sums: StepSums, rollouts: list[str]) -> StepSums:
        """Change the weights along the gradient, unless it or the loss is not finite; returns what then counts."""
        norm = as_tensor(torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._params.max_grad_norm))
        if not (sums.finite and torch.isfinite(norm)):
            self._skipped.skip("gradient" if sums.finite else "loss", step=self.steps + 1, rollouts=rollouts)
            return StepSums(skipped=1.0)
        self._optimizer.step()
        self._skipped.taken()
        self.steps += 1
        sums.grad_norm, sums.steps = float(norm), 1.0
        return sums


def _checkpoint_activations(model: PreTrainedModel) -> None:
    # Checkpointing works in training mode alone; dropout would make the log-probabilities differ from the sampler's.
    without_dropout(model).train()
    # Older transformers know it by its former name alone.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def _statistics_of(model: PreTrainedModel, inputs: PackedBatch | CompletionBatch) -> tuple[Tensor, Tensor]:
    statistics = completion_logprobs(model, inputs)
    return statistics.logprobs_V, statistics.entropy_V
