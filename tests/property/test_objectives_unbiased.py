"""The gradient estimator sum_i grad log pi(y_i) A_i has the gradient of E[f] as its expectation, up to a constant.

A softmax policy over a few outcomes; every group of N completions is enumerated with its probability, so that both
sides are exact and no Monte-Carlo noise hides a small bias.
"""

from itertools import product

import numpy as np
import pytest

from components.objectives import Objective, get_objective
from tests.unit.objectives.reference import polychromic

REWARDS = np.array([1.0, 1.0, 0.0, 0.0])
REAL_REWARDS = np.array([0.9, 0.4, -0.3, 0.1])
CLUSTERS = np.array([0, 1, 1, -1])
POLICY = np.exp([0.3, -0.8, 0.9, 0.0]) / np.exp([0.3, -0.8, 0.9, 0.0]).sum()
SIZE = 5


def tuples(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every outcome tuple, its probability, and each completion's score function grad log pi, (T, length, 4)."""
    outcomes = np.array(list(product(range(len(POLICY)), repeat=length)))
    return outcomes, POLICY[outcomes].prod(axis=1), np.eye(len(POLICY))[outcomes] - POLICY


def exact_gradient(f, n: int, rewards=REWARDS) -> np.ndarray:
    outcomes, chances, score_functions = tuples(n)
    values = np.array([f(rewards[row], CLUSTERS[row]) for row in outcomes])
    return np.einsum("t,t,tim->m", chances, values, score_functions)


def expected_estimate(objective: Objective, rewards=REWARDS) -> np.ndarray:
    outcomes, chances, score_functions = tuples(SIZE)
    advantages = objective.advantages(rewards[outcomes], CLUSTERS[outcomes])
    return np.einsum("t,ti,tim->m", chances, advantages, score_functions)


def mean_reward(rewards, clusters):
    return float(np.mean(rewards))


def best(rewards, clusters):
    return float(np.max(rewards))


def spread(rewards, clusters):
    return float(np.max(rewards) * len(set(clusters.tolist())))


@pytest.mark.parametrize("rewards", [REWARDS, REAL_REWARDS])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("rule", [True, False])
def test_poly_epo(n, rule, rewards):
    estimate = expected_estimate(get_objective("poly_epo", set_size=n, require_two_clusters=rule), rewards)
    exact = exact_gradient(lambda r, c: polychromic(r, c, rule), n, rewards)
    np.testing.assert_allclose(estimate, (SIZE / n - 1) * exact, rtol=0, atol=1e-13)


@pytest.mark.parametrize("n", [2, 3])
def test_poly_epo_with_diversity_over_correct_completions(n):
    estimate = expected_estimate(get_objective("poly_epo", set_size=n, diversity_over="correct"))
    exact = exact_gradient(lambda r, c: polychromic(r, np.where(r > 0.5, c, -1)), n)
    np.testing.assert_allclose(estimate, (SIZE / n - 1) * exact, rtol=0, atol=1e-13)


@pytest.mark.parametrize("rewards", [REWARDS, REAL_REWARDS])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_pass_at_n_and_pkpo(n, rewards):
    exact = exact_gradient(best, n, rewards)
    pass_at_n = expected_estimate(get_objective("pass_at_n", set_size=n), rewards)
    np.testing.assert_allclose(pass_at_n, (SIZE / n - 1) * exact, rtol=0, atol=1e-13)
    for baseline in ("none", "loo", "loo_minus_one"):
        pkpo = expected_estimate(get_objective("pkpo", set_size=n, baseline=baseline), rewards)
        np.testing.assert_allclose(pkpo, exact, rtol=0, atol=1e-13)


def test_grpo_and_rloo():
    exact = exact_gradient(mean_reward, 1, REAL_REWARDS)
    np.testing.assert_allclose(expected_estimate(get_objective("grpo"), REAL_REWARDS), (SIZE - 1) * exact, atol=1e-13)
    np.testing.assert_allclose(expected_estimate(get_objective("rloo"), REAL_REWARDS), SIZE * exact, atol=1e-13)


def test_grpo_div_without_its_bonus_is_grpo_and_with_it_is_reward_shaping():
    exact = (SIZE - 1) * exact_gradient(mean_reward, 1)
    plain = expected_estimate(get_objective("grpo_div", diversity_weight=0.0))
    shaped = expected_estimate(get_objective("grpo_div", diversity_weight=0.5))
    np.testing.assert_allclose(plain, exact, atol=1e-13)
    assert np.abs(shaped - exact).max() > 0.01


def test_maxrl_is_the_gradient_of_the_truncated_log_likelihood():
    success = POLICY[REWARDS == 1].sum()
    weight = sum((1 - success) ** (k - 1) for k in range(1, SIZE))
    exact = SIZE * weight * exact_gradient(mean_reward, 1)
    np.testing.assert_allclose(expected_estimate(get_objective("maxrl")), exact, atol=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_set_function_over_all_sets(n):
    estimate = expected_estimate(get_objective("set_function", function=spread, set_size=n))
    np.testing.assert_allclose(estimate, (SIZE / n - 1) * exact_gradient(spread, n), rtol=0, atol=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_set_function_over_sampled_sets_is_unbiased_for_any_draw(seed):
    # One prompt a call: every group then gets the same sets, and the expectation over groups is exact.
    objective = get_objective("set_function", function=spread, set_size=3, samples=6, seed=seed)
    outcomes, chances, score_functions = tuples(SIZE)
    rows = [objective.advantages(REWARDS[[row]], CLUSTERS[[row]])[0] for row in outcomes]
    estimate = np.einsum("t,ti,tim->m", chances, np.array(rows), score_functions)
    np.testing.assert_allclose(estimate, (SIZE / 3 - 1) * exact_gradient(spread, 3), rtol=0, atol=1e-13)


def test_sampled_sets_give_the_enumerated_scores_on_average():
    rng = np.random.default_rng(0)
    rewards, clusters = rng.random(7), rng.integers(-1, 4, 7)
    exact = get_objective("set_function", function=spread, set_size=3).set_scores([rewards], [clusters])[0]
    draws = 4000
    copies = np.tile(rewards, (draws, 1)), np.tile(clusters, (draws, 1))
    sampled = get_objective("set_function", function=spread, set_size=3, samples=8, seed=3).set_scores(*copies)
    standard_error = sampled.std(axis=0) / np.sqrt(draws)
    assert (np.abs(sampled.mean(axis=0) - exact) < 4.5 * standard_error).all()
    assert (sampled.std(axis=0) > 0).all()
