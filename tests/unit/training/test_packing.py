"""Packed rows against one sequence at a time, on architectures with and without what makes packing hard."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
)

from components.training.attention import Segment, _VariableLength, plan_attention
from components.training.forward import completion_logprobs, set_packed_attention
from components.training.packing import pack, plan_micro_batches
from tests.unit.training.reference import sequence_logprobs

SIZES = {
    "vocab_size": 20,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CPU = torch.device("cpu")


def llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**SIZES))


def mistral() -> PreTrainedModel:
    return MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4))


def gpt2() -> PreTrainedModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=64, n_embd=16, n_layer=2, n_head=2))


def pairs() -> tuple[list[list[int]], list[list[int]]]:
    """Groups of 1, 3 and 4 in mixed order; completions of 1 to 12 tokens."""
    rng = np.random.default_rng(0)
    prompts = [rng.integers(3, 20, length).tolist() for length in (5, 1, 8)]
    order = [0, 2, 1, 2, 1, 2, 1, 2]
    return [prompts[place] for place in order], [
        rng.integers(3, 20, length).tolist() for length in (7, 1, 12, 3, 1, 9, 2, 5)
    ]


@pytest.mark.parametrize("build", [llama, mistral, gpt2])
def test_a_packed_row_gives_every_sequence_its_own_values(build: object) -> None:
    torch.manual_seed(0)
    model = build().eval()  # type: ignore[operator]
    prompts, completions = pairs()
    with torch.no_grad():
        expected = torch.cat([sequence_logprobs(model, *pair) for pair in zip(prompts, completions, strict=True)])
        assert set_packed_attention(model)
        batch = pack(prompts, completions, device=CPU)
        actual = completion_logprobs(model, batch).logprobs_V
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    # Each prompt once, nothing padded, the last token of a completion left out.
    tokens = sum(len(ids) for ids in completions) + 5 + 1 + 8 - len(completions)
    assert batch.ids_1T.shape == batch.positions_1T.shape == (1, tokens)


def test_an_architecture_that_cannot_keep_sequences_apart_is_left_as_it_was() -> None:
    sizes = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = FalconForCausalLM(FalconConfig(**sizes, alibi=True)).eval()
    before = model.config._attn_implementation
    assert not set_packed_attention(model)
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("long", [40, 400])
@pytest.mark.parametrize("window", [None, 3, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_attention_in_buckets_equals_one_mask_over_the_row(seed: int, window: int | None, long: int) -> None:
    rng = np.random.default_rng(seed)
    segments, start = [], 0
    for prompt in rng.integers(1, 9, 4):
        segments.append(Segment(start, int(prompt)))
        prefix, start = start, start + int(prompt)
        for length in rng.integers(0, long, 3):
            segments.append(Segment(start, int(length), prefix, int(prompt)))
            start += int(length)
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(start, heads, 8, generator=generator) for heads in (4, 2, 2))
    actual = plan_attention(segments, device=CPU, half=False, window=window).attend(query, key, value, None)
    seen = torch.zeros(start, start, dtype=torch.bool)
    for segment in segments:
        for place in range(segment.length):
            keys = [*range(segment.prefix_start, segment.prefix_start + segment.prefix_length)]
            keys += range(segment.start, segment.start + place + 1)
            seen[segment.start + place, keys if window is None else keys[-window:]] = True
    expected = torch.nn.functional.scaled_dot_product_attention(
        *(x.transpose(0, 1)[None] for x in (query, key, value)), attn_mask=seen, enable_gqa=True
    )[0].transpose(0, 1)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


def kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
) -> torch.Tensor:
    """torch 2.11's varlen_attn, one sequence at a time: the last query sees the last key."""
    outputs = []
    for (q0, q1), (k0, k1) in zip(pairwise(cu_seq_q.tolist()), pairwise(cu_seq_k.tolist()), strict=True):
        assert q1 - q0 <= max_q
        assert k1 - k0 <= max_k
        own = torch.arange(q1 - q0)[:, None] + (k1 - k0) - (q1 - q0)
        places = torch.arange(k1 - k0)
        seen = places <= own + window_size[1]
        if window_size[0] >= 0:
            seen &= places >= own - window_size[0]
        row = (query[q0:q1], key[k0:k1], value[k0:k1])
        outputs.append(
            torch.nn.functional.scaled_dot_product_attention(
                *(x.float().transpose(0, 1)[None] for x in row), attn_mask=seen, scale=scale, enable_gqa=True
            )[0].transpose(0, 1)
        )
    return torch.cat(outputs)


def later_kernel(*values: Any, enable_gqa: bool = False, **more: Any) -> torch.Tensor:
    """Later releases refuse fewer key-value heads unless they are told."""
    assert enable_gqa == (values[0].shape[1] != values[1].shape[1])
    return kernel(*values, **more)


@pytest.mark.parametrize("release", [kernel, later_kernel])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("heads", [2, 4])
def test_the_kernel_of_a_gpu_is_given_the_same_attention(
    monkeypatch: pytest.MonkeyPatch, release: Any, window: int | None, heads: int
) -> None:
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", release)
    segments = [Segment(0, 5), Segment(5, 7, 0, 5), Segment(12, 0, 0, 5), Segment(12, 3, 0, 5), Segment(15, 4)]
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(19, count, 8, generator=generator) for count in (4, heads, heads)]
    layout = _VariableLength.of(segments, CPU, window)
    expected = plan_attention(segments, device=CPU, half=False, window=window).attend(*inputs, None)
    torch.testing.assert_close(layout.attend(*inputs, None), expected, rtol=1e-5, atol=1e-5)


def test_long_completions_of_a_prompt_need_no_mask() -> None:
    segments = [Segment(0, 50), Segment(50, 300, 0, 50), Segment(350, 290, 0, 50)]
    layout = plan_attention(segments, device=CPU, half=False)
    assert all(bucket.mask is None for bucket in layout.buckets)  # type: ignore[attr-defined]
    short = [Segment(0, 50), Segment(50, 30, 0, 50), Segment(80, 29, 0, 50)]
    layout = plan_attention(short, device=CPU, half=False)
    assert any(bucket.mask is not None for bucket in layout.buckets)  # type: ignore[attr-defined]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("budget", [1, 20, 45, 1000])
def test_micro_batches_hold_every_row_once_within_the_budget(packed: bool, budget: int) -> None:
    prompts, completions = pairs()
    plan = list(plan_micro_batches(prompts, completions, max_tokens=budget, packed=packed))
    assert sorted(row for rows in plan for row in rows) == list(range(len(prompts)))
    assert plan == list(plan_micro_batches(prompts, completions, max_tokens=budget, packed=packed))
    for rows in plan:
        if packed:
            size = sum(len(ids) for ids in {tuple(prompts[row]) for row in rows})
            size += sum(len(completions[row]) for row in rows)
        else:
            size = len(rows) * max(len(prompts[row]) + len(completions[row]) for row in rows)
        assert size <= budget or len(rows) == 1
    assert len(plan) == (1 if budget == 1000 else len(plan))


def test_completions_of_a_prompt_stay_together() -> None:
    prompts, completions = pairs()
    (rows,) = plan_micro_batches(prompts, completions, max_tokens=1000)
    changes = sum(prompts[one] != prompts[two] for one, two in pairwise(rows))
    assert changes == 2
