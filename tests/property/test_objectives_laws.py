"""What every objective must obey: zero sums, permutation equivariance, independence of prompts, ragged groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.objectives import Objective, get_objective
from components.objectives.decomposition import decompose

CENTRED: dict[str, dict] = {
    "grpo": {},
    "rloo": {},
    "maxrl": {},
    "grpo_div": {"diversity_weight": 0.3},
    "poly_epo": {"set_size": 3},
    "pass_at_n": {"set_size": 3},
    "set_function": {"set_size": 3, "function": lambda r, c: float(r.max() * len(set(c)))},
}
EVERY = {**CENTRED, "pkpo": {"set_size": 3}}
VARIANTS = [
    *EVERY.items(),
    ("grpo", {"standardize": True}),
    ("poly_epo", {"set_size": 2, "require_two_clusters": False}),
    ("poly_epo", {"set_size": 2, "diversity_over": "correct"}),
    ("pkpo", {"set_size": 2, "baseline": "loo"}),
    ("pkpo", {"set_size": 2, "baseline": "none"}),
]


@st.composite
def batches(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    prompts, size = draw(st.integers(1, 4)), draw(st.integers(4, 8))
    binary = draw(st.booleans())
    rewards = rng.integers(0, 2, (prompts, size)).astype(float) if binary else rng.random((prompts, size))
    return rewards, rng.integers(-1, draw(st.integers(1, 6)), (prompts, size)), rng


@pytest.mark.parametrize("name", CENTRED)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(batch=batches())
def test_advantages_of_a_group_sum_to_zero(name, batch):
    rewards, clusters, _ = batch
    advantages = get_objective(name, **CENTRED[name]).advantages(rewards, clusters)
    assert advantages.shape == rewards.shape
    assert advantages.dtype == np.float64
    np.testing.assert_allclose(advantages.sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize(("name", "params"), VARIANTS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(batch=batches())
def test_permutation_and_renaming_of_clusters(name, params, batch):
    rewards, clusters, rng = batch
    objective: Objective = get_objective(name, **params)
    order = rng.permutation(rewards.shape[1])
    names = np.append(rng.permutation(1000)[:10], -1)  # names[-1] keeps degenerates degenerate
    expected = objective.advantages(rewards, clusters)[:, order]
    if name != "set_function":
        clusters = names[clusters]
    actual = objective.advantages(rewards[:, order], clusters[:, order])
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "params"), VARIANTS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(batch=batches())
def test_ragged_groups_equal_their_prompts_alone(name, params, batch):
    rewards, clusters, rng = batch
    objective: Objective = get_objective(name, **params)
    mask = np.ones(rewards.shape, dtype=bool)
    for row in mask[::2]:
        row[rng.permutation(len(row))[: rng.integers(0, len(row) - 3)]] = False
    padded = np.where(mask, rewards, np.nan)
    advantages = objective.advantages(padded, np.where(mask, clusters, -99), mask)
    scores = objective.set_scores(padded, clusters, mask)
    assert (advantages[~mask] == 0).all()
    assert np.isnan(scores[~mask]).all()
    for row, keep in enumerate(mask):
        alone = rewards[row : row + 1, keep], clusters[row : row + 1, keep]
        np.testing.assert_allclose(advantages[row, keep], objective.advantages(*alone)[0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(scores[row, keep], objective.set_scores(*alone)[0], rtol=0, atol=1e-13)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(batch=batches(), rule=st.booleans(), over=st.sampled_from(["all", "correct"]))
def test_decomposition_sums_to_the_advantage_and_vanishes_without_covariance(batch, rule, over):
    rewards, clusters, _ = batch
    objective = get_objective("poly_epo", set_size=3, require_two_clusters=rule, diversity_over=over)
    terms = decompose(objective, rewards, clusters)
    total = terms.product_PN + terms.covariance_PN
    np.testing.assert_allclose(total, objective.advantages(rewards, clusters), rtol=0, atol=1e-12)
    # Equal rewards cannot vary with diversity.
    constant = decompose(objective, np.full_like(rewards, 0.75), clusters)
    np.testing.assert_allclose(constant.covariance_PN, 0, atol=1e-12)


def test_one_sample_sets_are_grpo():
    rng = np.random.default_rng(1)
    rewards, clusters = rng.random((5, 7)), rng.integers(0, 3, (5, 7))
    grpo = get_objective("grpo").advantages(rewards, clusters)
    one = get_objective("poly_epo", set_size=1, require_two_clusters=False).advantages(rewards, clusters)
    best = get_objective("pass_at_n", set_size=1).advantages(rewards, clusters)
    np.testing.assert_allclose(one, grpo, atol=1e-14)
    np.testing.assert_allclose(best, grpo, atol=1e-14)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(batch=batches(), n=st.integers(1, 2), rule=st.booleans())
def test_the_baseline_is_a_leave_one_out_baseline(batch, n, rule):
    # A_i = (1 - n/N) (E_i - E_-i), with E_-i the mean score of the sets without i.
    rewards, clusters, _ = batch
    size = rewards.shape[1]
    objective = get_objective("poly_epo", set_size=n, require_two_clusters=rule)
    scores, advantages = objective.set_scores(rewards, clusters), objective.advantages(rewards, clusters)
    for i in range(size):
        others = np.delete(np.arange(size), i)
        without = objective.set_scores(rewards[:, others], clusters[:, others]).mean(axis=1)
        np.testing.assert_allclose(advantages[:, i], (1 - n / size) * (scores[:, i] - without), rtol=0, atol=1e-12)
