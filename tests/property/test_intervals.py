"""Laws that every interval keeps, and the entropy behind effective_correct against its exact expectation."""

from __future__ import annotations

from itertools import product
from math import factorial, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluation import bootstrap_interval, effective_correct, hierarchical_bootstrap, paired_bootstrap
from components.evaluation.intervals import Method

METHODS: list[Method] = ["bayesian", "percentile", "bca"]
shares = st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), min_size=1, max_size=25)


@pytest.mark.parametrize("method", METHODS)
@given(values=shares, seed=st.integers(0, 5))
@settings(deadline=None, max_examples=40)
def test_an_interval_of_shares_holds_its_value_and_is_of_shares(values: list[float], seed: int, method: Method) -> None:
    interval = bootstrap_interval(values, draws=200, confidence=0.9, seed=seed, method=method, ends=(0.0, 1.0))
    assert -1e-12 <= interval.low <= interval.value <= interval.high <= 1 + 1e-12
    wider = bootstrap_interval(values, draws=200, confidence=0.99, seed=seed, method=method, ends=(0.0, 1.0))
    assert wider.low <= interval.low + 1e-12
    assert wider.high >= interval.high - 1e-12


@pytest.mark.parametrize("method", METHODS)
@given(values=shares, shift=st.floats(-2, 2), scale=st.floats(0.1, 10))
@settings(deadline=None, max_examples=40)
def test_an_interval_moves_and_stretches_with_its_values(
    values: list[float], shift: float, scale: float, method: Method
) -> None:
    plain = bootstrap_interval(values, draws=200, confidence=0.9, seed=0, method=method)
    moved = bootstrap_interval(shift + scale * np.array(values), draws=200, confidence=0.9, seed=0, method=method)
    assert moved.low == pytest.approx(shift + scale * plain.low, abs=1e-9)
    assert moved.high == pytest.approx(shift + scale * plain.high, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@given(pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=25))
@settings(deadline=None, max_examples=40)
def test_swapping_the_sides_mirrors_the_difference(pairs: list[tuple[int, int]], method: Method) -> None:
    a, b = np.array(pairs, dtype=float).T
    there = paired_bootstrap(a, b, draws=200, confidence=0.9, seed=1, method=method)
    back = paired_bootstrap(b, a, draws=200, confidence=0.9, seed=1, method=method)
    if there.value != 0.0:
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-9)
        assert there.probability == pytest.approx(1 - back.probability)


@given(st.lists(shares.filter(lambda values: len(values) >= 4).map(lambda v: v[:4]), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_an_interval_over_seeds_holds_its_value_and_keeps_to_the_ends(values: list[list[float]]) -> None:
    interval = hierarchical_bootstrap(values, draws=200, confidence=0.9, seed=0, ends=(0.0, 1.0))
    assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(1, 6))
@settings(deadline=None)
def test_the_entropy_estimate_has_the_first_terms_of_the_series_as_expectation(weights: list[int], drawn: int) -> None:
    p = np.array(weights) / sum(weights)
    expected = 0.0
    for counts in product(range(drawn + 1), repeat=len(p)):
        if sum(counts) == drawn:
            chance = factorial(drawn) * prod(q**m / factorial(m) for q, m in zip(p, counts, strict=True))
            expected += chance * float(np.log(effective_correct([counts])[0]))
    series = sum((p * (1 - p) ** v).sum() / v for v in range(1, drawn))
    assert abs(expected - series) <= 1e-12
