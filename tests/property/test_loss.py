"""policy_loss against the plain reference on hypothesis' cases: every mix of ratios, signs, mismatch and lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.training.batch import ScoredBatch
from components.training.loss import LossInputs, LossOutputs, policy_loss, token_weights
from components.training.params import LossAggregation
from tests.unit.training.reference import Settings, step_loss

AGGREGATIONS: tuple[LossAggregation, ...] = ("max_length", "own_length", "token")


@st.composite
def cases(draw: st.DrawFn) -> tuple[ScoredBatch, list[np.ndarray], list[np.ndarray], Settings]:
    """A batch with log-probabilities under the trained policy (news) and the policy before (olds), float32."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=8))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    news, olds, sampled = ([-generator.exponential(size=length) for length in lengths] for _ in range(3))
    advantages = np.round(generator.normal(size=len(lengths)), 1)
    rows = len(lengths)
    batch = ScoredBatch(
        ["p"] * rows,
        [[1]] * rows,
        [[1] * length for length in lengths],
        [values.astype(np.float32) for values in sampled],
        advantages,
        list(range(rows)),
        np.zeros(rows, dtype=bool),
    )
    cap = draw(st.sampled_from([None, 1.0, 2.0]))
    chosen = Settings(draw(st.sampled_from(AGGREGATIONS)), max_length=6, cap=cap)
    return batch, news, olds, chosen


def computed(
    batch: ScoredBatch, rows: list[int], logprobs_V: torch.Tensor, olds: list[np.ndarray], chosen: Settings
) -> LossOutputs:
    part = batch.select(rows)
    lengths_B = torch.tensor([len(ids) for ids in part.completion_ids])
    weights_V = token_weights(
        lengths_B,
        aggregation=chosen.aggregation,  # type: ignore[arg-type]
        max_length=chosen.max_length,
        completions=len(batch),
        tokens=batch.tokens,
    )
    flat = lambda arrays: torch.from_numpy(np.concatenate(arrays)).float()  # noqa: E731
    inputs = LossInputs(
        logprobs_V=logprobs_V,
        old_logprobs_V=flat([olds[row] for row in rows]),
        rollout_logprobs_V=flat(part.rollout_logprobs),
        advantages_V=torch.from_numpy(part.advantages_B).float().repeat_interleave(lengths_B),
        weights_V=weights_V,
        entropy_V=torch.zeros(part.tokens),
    )
    return policy_loss(inputs, clip_ratio_low=chosen.low, clip_ratio_high=chosen.high, importance_cap=chosen.cap)


@given(cases())
@settings(max_examples=150)
def test_value_and_gradient_equal_the_reference(case: tuple) -> None:
    batch, news, olds, chosen = case
    leaves = [torch.from_numpy(values).float().requires_grad_() for values in news]
    expected = step_loss(leaves, [values.tolist() for values in olds], batch, chosen)
    if expected.requires_grad:
        expected.backward()
    gradient = torch.cat([torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves])
    logprobs_V = torch.from_numpy(np.concatenate(news)).float().requires_grad_()
    outputs = computed(batch, list(range(len(batch))), logprobs_V, olds, chosen)
    outputs.loss.backward()
    assert float(outputs.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5, abs=1e-6)
    torch.testing.assert_close(logprobs_V.grad, gradient, rtol=1e-5, atol=1e-6)


@given(cases(), st.data())
@settings(max_examples=50)
def test_any_split_into_micro_batches_adds_up_to_the_same_loss(case: tuple, data: st.DataObject) -> None:
    batch, news, olds, chosen = case
    rows = data.draw(st.permutations(range(len(batch))))
    cut = data.draw(st.integers(0, len(batch)))
    parts = [part for part in (rows[:cut], rows[cut:]) if part]
    flat = lambda chosen_rows: torch.from_numpy(np.concatenate([news[row] for row in chosen_rows])).float()  # noqa: E731
    whole = computed(batch, rows, flat(rows), olds, chosen)
    split = [computed(batch, part, flat(part), olds, chosen) for part in parts]
    total = sum(float(part.loss) for part in split)
    assert total == pytest.approx(float(whole.loss), rel=1e-5, abs=1e-6)
    assert sum(int(part.clipped_tokens) for part in split) == int(whole.clipped_tokens)
    assert sum(int(part.capped_tokens) for part in split) == int(whole.capped_tokens)


@pytest.mark.parametrize(
    ("ratio", "advantage", "clipped"),
    [
        (1.4, 1.0, True),
        (1.4, -1.0, False),
        (0.7, 1.0, False),
        (0.7, -1.0, True),
        (1.27, 1.0, False),
        (0.81, -1.0, False),
    ],
)
def test_clipping_removes_the_gradient_on_one_side_alone(ratio: float, advantage: float, clipped: bool) -> None:
    logprobs_V = torch.tensor([np.log(ratio)], dtype=torch.float32, requires_grad=True)
    zero, one = torch.zeros(1), torch.ones(1)
    outputs = policy_loss(
        LossInputs(logprobs_V, zero, zero, torch.tensor([advantage]), one, zero),
        clip_ratio_low=0.2,
        clip_ratio_high=0.28,
        importance_cap=2.0,
    )
    outputs.loss.backward()
    assert int(outputs.clipped_tokens) == clipped
    assert (float(logprobs_V.grad) == 0.0) == clipped
    bound = {True: 1.28, False: 0.8}[advantage > 0]
    assert float(outputs.loss.detach()) == pytest.approx(-advantage * (bound if clipped else ratio), rel=1e-6)


def test_mismatch_is_measured_and_capped() -> None:
    old_V, rollout_V = torch.tensor([-1.0, -1.0]), torch.tensor([-1.0, -2.0])
    outputs = policy_loss(
        LossInputs(old_V.clone().requires_grad_(), old_V, rollout_V, torch.ones(2), torch.ones(2), torch.zeros(2)),
        clip_ratio_low=0.2,
        clip_ratio_high=0.28,
        importance_cap=2.0,
    )
    # Weights min(e^0, 2) and min(e^1, 2); k3 = e^d - 1 - d.
    assert float(outputs.loss.detach()) == pytest.approx(-3.0)
    assert int(outputs.capped_tokens) == 1
    assert float(outputs.mismatch_kl_sum) == pytest.approx(np.e - 2.0, rel=1e-6)
