"""In-process rollouts with transformers: batched, KV-cached, the prompt computed once per group.

A batch holds whole groups: each prompt runs through the model once, its key-value cache is then repeated for
the N completions of the group. The sampler takes one token per step from the untruncated softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from components.errors import PolyEpoError
from components.manifest import MANIFEST_NAME
from components.policy.completions import left_pad
from components.policy.load import load_model, load_tokenizer, load_weights, prompt_ids
from components.records import ROLLOUT, FinishReason, Problem
from components.rollout.engine import Finished

__all__ = ["TransformersEngine"]


@dataclass(frozen=True)
class _Samples:
    """Tokens (B, T) int64, their log-probabilities (B, T) float32 and the completions' lengths (B,) int64."""

    tokens_BT: Tensor
    logprobs_BT: Tensor
    lengths_B: Tensor
    stopped_B: Tensor


class TransformersEngine:
    """Rollout engine over ``AutoModelForCausalLM``; see RolloutEngine for the contract.

    The same policy, problems, group size, batch size, seed and number of threads give the same rollouts.
    """

    def __init__(self, *, max_new_tokens: int, batch_size: int, device: str | None = None) -> None:
        self._max_new_tokens = max_new_tokens
        self._batch_size = batch_size
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._model: PreTrainedModel | None = None
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._frame: dict[str, bytes] = {}
        self._version = -1

    def load_policy(self, directory: Path, version: int) -> None:
        """Load ``directory``; where it differs from the loaded policy by its weights alone, these are put in place."""
        frame = _frame(directory)
        if self._model is not None and frame == self._frame:
            load_weights(self._model, directory)
        else:
            self._model = load_model(directory, device=self._device).eval()
            self._tokenizer = load_tokenizer(directory)
        self._frame = frame
        self._version = version

    @torch.inference_mode()
    def sample(
        self, problems: Sequence[Problem], *, group_size: int, seed: int, finished: Finished | None = None
    ) -> pa.Table:
        """See RolloutEngine.sample.

        Raises:
            PolyEpoError: no policy was loaded, or a prompt does not leave room for a completion.
        """
        if self._model is None or self._tokenizer is None:
            raise PolyEpoError("no policy loaded", where="rollout engine", remedy="call load_policy first")
        generator = torch.Generator(self._device).manual_seed(seed)
        encoded = [prompt_ids(self._tokenizer, problem.prompt) for problem in problems]
        per_batch = max(self._batch_size // group_size, 1)
        tables = []
        for start in range(0, len(problems), per_batch):
            batch = slice(start, start + per_batch)
            samples = self._sample_batch(self._model, self._tokenizer, encoded[batch], group_size, generator)
            tables.append(self._table(self._tokenizer, problems[batch], encoded[batch], group_size, samples, seed))
            if finished is not None:
                finished(tables[-1])
        return pa.concat_tables(tables).combine_chunks() if tables else ROLLOUT.empty_table()

    def _sample_batch(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        encoded: Sequence[list[int]],
        group_size: int,
        generator: torch.Generator,
    ) -> _Samples:
        prompts_PT, mask_PT = left_pad(encoded, int(tokenizer.pad_token_id), self._device)
        self._check_room(model, prompts_PT.shape[1])
        positions_PT = (mask_PT.cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache(config=model.config)
        output = model(
            input_ids=prompts_PT,
            attention_mask=mask_PT,
            position_ids=positions_PT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache.batch_repeat_interleave(group_size)
        logits_BV = output.logits[:, -1].repeat_interleave(group_size, 0)
        mask_BT = mask_PT.repeat_interleave(group_size, 0)
        position_B = positions_PT[:, -1].repeat_interleave(group_size, 0)
        size = len(logits_BV)
        stop_ids = _stop_ids(model, tokenizer, self._device)
        lengths_B = torch.zeros(size, dtype=torch.int64, device=self._device)
        stopped_B = torch.zeros(size, dtype=torch.bool, device=self._device)
        tokens, logprobs = [], []
        for step in range(self._max_new_tokens):
            logprobs_BV = torch.log_softmax(logits_BV.float(), dim=-1)
            token_B = torch.multinomial(logprobs_BV.exp(), 1, generator=generator)[:, 0]
            tokens.append(token_B)
            logprobs.append(logprobs_BV.gather(1, token_B[:, None])[:, 0])
            lengths_B += ~stopped_B
            stopped_B |= torch.isin(token_B, stop_ids)
            if step + 1 == self._max_new_tokens or bool(stopped_B.all()):
                break
            position_B = position_B + 1
            mask_BT = torch.cat([mask_BT, mask_BT.new_ones(size, 1)], dim=1)
            logits_BV = model(
                input_ids=token_B[:, None],
                attention_mask=mask_BT,
                position_ids=position_B[:, None],
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
        return _Samples(torch.stack(tokens, 1).cpu(), torch.stack(logprobs, 1).cpu(), lengths_B.cpu(), stopped_B.cpu())

    def _check_room(self, model: PreTrainedModel, prompt_length: int) -> None:
        limit = getattr(model.config, "max_position_embeddings", None)
        if limit is not None and prompt_length + self._max_new_tokens > limit:
            raise PolyEpoError(
                f"prompt of {prompt_length} tokens + {self._max_new_tokens} new tokens exceed the model's {limit}",
                where="rollout",
                remedy="lower rollout.max_new_tokens or drop the longest prompts",
            )

    def _table(
        self,
        tokenizer: PreTrainedTokenizerBase,
        problems: Sequence[Problem],
        encoded: Sequence[list[int]],
        group_size: int,
        samples: _Samples,
        seed: int,
    ) -> pa.Table:
        lengths = samples.lengths_B.tolist()
        ids = [row[:length] for row, length in zip(samples.tokens_BT.tolist(), lengths, strict=True)]
        logprobs = [row[:length] for row, length in zip(samples.logprobs_BT.numpy(), lengths, strict=True)]
        texts = tokenizer.batch_decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        rows = len(ids)
        reasons = [FinishReason.STOP if stopped else FinishReason.LENGTH for stopped in samples.stopped_B.tolist()]
        columns = {
            "problem_id": [problem.problem_id for problem in problems for _ in range(group_size)],
            "sample_index": list(range(group_size)) * len(problems),
            "prompt_ids": [prompt for prompt in encoded for _ in range(group_size)],
            "completion_ids": ids,
            "rollout_logprobs": logprobs,
            "completion": texts,
            "finish_reason": [str(reason) for reason in reasons],
            "policy_version": [self._version] * rows,
            "engine": ["transformers"] * rows,
            "seed": [seed] * rows,
        }
        return pa.Table.from_pydict(columns, schema=ROLLOUT)


def _frame(directory: Path) -> dict[str, bytes]:
    """All of a policy but its weights: configuration, tokenizer, chat template. The manifest differs by version."""
    files = [file for file in directory.glob("*") if file.suffix in (".json", ".jinja", ".txt", ".model")]
    return {file.name: file.read_bytes() for file in files if file.name != MANIFEST_NAME}


def _stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, device: torch.device) -> Tensor:
    """Every token that ends a completion: those of the generation config (a chat model may have several)."""
    configured = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = configured if isinstance(configured, list) else [configured]
    known = {token for token in [*ids, tokenizer.eos_token_id] if token is not None}
    return torch.tensor(sorted(known), dtype=torch.int64, device=device)
