"""Closed forms against enumeration and against rational arithmetic."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.objectives import get_objective
from tests.unit.objectives.reference import (
    enumerated_polychromic,
    enumerated_scores,
    exact_polychromic,
    polychromic,
)

GRID = [(size, n) for size in range(2, 13) for n in range(1, size)]
LARGE = [(size, n) for size in (64, 256, 1024) for n in (2, size // 4, size // 2, size - 1)]


@st.composite
def groups(draw, largest=9):
    """(rewards, clusters, n): binary or real rewards, clusters with degenerates, ids far apart now and then."""
    size = draw(st.integers(2, largest))
    real = st.floats(-10, 10, allow_nan=False).map(lambda x: round(x, 6))
    reward = draw(st.sampled_from([st.sampled_from([0.0, 1.0]), real]))
    rewards = draw(st.lists(reward, min_size=size, max_size=size))
    spread = draw(st.sampled_from([1, 1, 7, 10**12]))
    ids = draw(st.lists(st.integers(-1, draw(st.integers(-1, size))), min_size=size, max_size=size))
    return rewards, [c if c < 0 else c * spread for c in ids], draw(st.integers(1, size - 1))


@pytest.mark.parametrize("rule", [True, False])
@pytest.mark.parametrize(("size", "n"), GRID)
def test_poly_epo_equals_enumeration_for_every_small_group_and_set_size(size, n, rule):
    rng = np.random.default_rng((size, n, rule))
    prompts = 40
    binary = rng.integers(0, 2, (prompts // 2, size)).astype(float)
    rewards = np.concatenate([binary, rng.normal(size=(prompts // 2, size))])
    # From "everyone degenerate" over "one cluster" to "each its own".
    highest = rng.integers(-1, size, (prompts, 1))
    clusters = np.floor(rng.random((prompts, size)) * (highest + 2)).astype(int) - 1
    objective = get_objective("poly_epo", set_size=n, require_two_clusters=rule)
    expected = enumerated_polychromic(rewards, clusters, n, rule)
    scores = objective.set_scores(rewards, clusters)
    advantages = objective.advantages(rewards, clusters)
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(advantages, expected - expected.mean(axis=1, keepdims=True), rtol=0, atol=1e-12)
    np.testing.assert_allclose(advantages.sum(axis=1), 0, atol=1e-12)


@settings(max_examples=800, deadline=None, derandomize=True)
@given(group=groups(largest=8), rule=st.booleans(), over=st.sampled_from(["all", "correct"]))
def test_poly_epo_equals_plain_enumeration(group, rule, over):
    rewards, clusters, n = group
    objective = get_objective("poly_epo", set_size=n, require_two_clusters=rule, diversity_over=over)
    counted = clusters if over == "all" else [c if r > 0.5 else -1 for r, c in zip(rewards, clusters, strict=True)]
    expected = enumerated_scores(rewards, counted, n, lambda r, c: polychromic(r, c, rule))
    np.testing.assert_allclose(objective.set_scores([rewards], [clusters])[0], expected, rtol=0, atol=1e-12)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(group=groups())
def test_pass_at_n_equals_enumeration(group):
    rewards, clusters, n = group
    expected = enumerated_scores(rewards, clusters, n, lambda r, _: max(r))
    for name in ("pass_at_n", "pkpo"):
        scores = get_objective(name, set_size=n).set_scores([rewards], [clusters])[0]
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(group=groups(largest=8))
def test_pkpo_weights_equal_their_definitions(group):
    rewards, clusters, n = group
    size = len(rewards)

    def best_of(pool, k):
        return enumerated_scores(pool, pool, k, lambda r, _: max(r)).mean() if k else 0.0

    scores = enumerated_scores(rewards, clusters, n, lambda r, _: max(r))
    others = [rewards[:i] + rewards[i + 1 :] for i in range(size)]
    loo = np.array([best_of(pool, n) for pool in others])
    minus_one = np.array([best_of(pool, n - 1) for pool in others])
    expected = {
        "none": n / size * scores,
        "loo": n / size * scores - n / (size - 1) * loo,
        "loo_minus_one": n / size * (scores - minus_one),
    }
    for baseline, values in expected.items():
        objective = get_objective("pkpo", set_size=n, baseline=baseline)
        np.testing.assert_allclose(objective.advantages([rewards], [clusters])[0], values, rtol=0, atol=1e-11)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(group=groups(largest=8), rule=st.booleans())
def test_set_function_over_all_sets_equals_the_closed_form(group, rule):
    rewards, clusters, n = group
    function = get_objective("set_function", function=lambda r, c: polychromic(r, c, rule), set_size=n)
    closed = get_objective("poly_epo", set_size=n, require_two_clusters=rule)
    expected = closed.advantages([rewards], [clusters])
    np.testing.assert_allclose(function.advantages([rewards], [clusters]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", [True, False])
@pytest.mark.parametrize(("size", "n"), LARGE)
@pytest.mark.parametrize("clusters_at_most", [1, 3, 40])
def test_poly_epo_is_exact_for_large_groups(size, n, rule, clusters_at_most):
    rng = np.random.default_rng((size, n, rule, clusters_at_most))
    rewards = rng.choice([0, 0, 1, 1, 2], size)
    clusters = rng.integers(-1, clusters_at_most, size)
    exact = exact_polychromic(rewards.tolist(), clusters.tolist(), n, rule)
    mean = sum(exact, Fraction(0)) / size
    expected = np.array([float(score - mean) for score in exact])
    advantages = get_objective("poly_epo", set_size=n, require_two_clusters=rule).advantages([rewards], [clusters])[0]
    assert np.isfinite(advantages).all()
    assert np.abs(advantages - expected).max() <= 1e-10
    assert abs(advantages.sum()) <= 1e-12


@pytest.mark.parametrize(("size", "n"), LARGE)
def test_pass_at_n_is_exact_for_large_groups(size, n):
    rewards = np.random.default_rng((size, n)).integers(0, 2, size)
    correct = int(rewards.sum())
    for_wrong = 1 - Fraction(comb(size - 1 - correct, n - 1), comb(size - 1, n - 1))
    mean = (correct + (size - correct) * for_wrong) / size
    expected = np.where(rewards == 1, float(1 - mean), float(for_wrong - mean))
    advantages = get_objective("pass_at_n", set_size=n).advantages([rewards], [np.zeros_like(rewards)])[0]
    assert np.abs(advantages - expected).max() <= 1e-10


def test_the_rational_reference_agrees_with_enumeration():
    rng = np.random.default_rng(5)
    for _ in range(60):
        size = int(rng.integers(2, 8))
        n = int(rng.integers(1, size))
        rewards, clusters = rng.integers(0, 3, size).tolist(), rng.integers(-1, 3, size).tolist()
        for rule in (True, False):
            plain = enumerated_scores(rewards, clusters, n, lambda r, c, rule=rule: polychromic(r, c, rule))
            exact = [float(score) for score in exact_polychromic(rewards, clusters, n, rule)]
            np.testing.assert_allclose(exact, plain, rtol=0, atol=1e-13)
