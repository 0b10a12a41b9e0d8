from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import PolyEpoError
from components.evaluation import branching, branching_curve, completion_length, token_entropy


def flat(groups: list[list[list[int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = [(problem, tokens) for problem, group in enumerate(groups) for tokens in group]
    tokens = np.array([token for _, row in rows for token in row], dtype=np.int32)
    return tokens, np.array([len(row) for _, row in rows]), np.array([problem for problem, _ in rows])


def test_branches_by_hand() -> None:
    groups = [
        [[1, 2, 3], [1, 2, 4], [1, 5], [1, 5]],  # one branch, then two, then three; the ended one stays
        [[7], [7, 8], [9], [6, 6, 6]],
    ]
    curve = branching_curve(*flat(groups), [1, 2, 3, 9], draws=4)
    assert curve.tolist() == [[1, 2, 3, 3], [3, 4, 4, 4]]


def test_among_fewer_completions_it_is_the_expectation() -> None:
    # Two of four: the pairs that differ at position 2 are 4 of 6.
    curve = branching_curve(*flat([[[1, 2], [1, 2], [1, 3], [1, 3]]]), [1, 2], draws=2)
    assert curve[0] == pytest.approx([1.0, 1 + 4 / 6])


completions = st.lists(st.lists(st.integers(0, 2), max_size=4), min_size=4, max_size=4)


@given(st.lists(completions, min_size=1, max_size=3), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_branches_equal_the_mean_over_all_draws(groups: list[list[list[int]]], draws: int) -> None:
    positions = [1, 2, 3, 4]
    curve = branching_curve(*flat(groups), positions, draws=draws)
    for group, found in zip(groups, curve, strict=True):
        # An ended completion goes on with marks of its own.
        padded = [(*tokens, *[-1] * 4) for tokens in group]
        for position, value in zip(positions, found, strict=True):
            drawn = [len({row[:position] for row in chosen}) for chosen in combinations(padded, draws)]
            assert abs(value - sum(drawn) / len(drawn)) <= 1e-12


def test_rows_in_any_order_and_chunks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    groups = [[rng.integers(0, 3, rng.integers(1, 7)).tolist() for _ in range(8)] for _ in range(5)]
    whole = branching_curve(*flat(groups), [1, 3, 6], draws=5)
    assert (np.diff(whole, axis=1) >= -1e-12).all()
    monkeypatch.setattr(branching, "_CELLS", 100)
    assert branching_curve(*flat(groups), [1, 3, 6], draws=5) == pytest.approx(whole)
    tokens, lengths, problems = flat(groups)
    rows = np.split(tokens, np.cumsum(lengths)[:-1])
    order = rng.permutation(len(rows))
    mixed = np.concatenate([rows[row] for row in order]), lengths[order], problems[order]
    assert branching_curve(*mixed, [1, 3, 6], draws=5) == pytest.approx(whole)


def test_more_draws_than_completions_are_refused_and_no_problems_give_nothing() -> None:
    with pytest.raises(PolyEpoError, match="k must be between 1 and the 2 samples"):
        branching_curve(*flat([[[1], [2]]]), [1], draws=3)
    none = np.zeros(0, dtype=np.int64)
    assert branching_curve(none, none, none, [1, 2], draws=3).shape == (0, 2)


def test_lengths_and_entropy_are_means_per_problem() -> None:
    lengths, problems = np.array([1, 3, 2, 2]), np.array([0, 1, 0, 1])
    assert completion_length(lengths, problems).tolist() == [1.5, 2.5]
    logprobs = np.array([-1.0, -2.0, -2.0, -2.0, -4.0, -4.0, 0.0, 0.0])
    assert token_entropy(logprobs, lengths, problems) == pytest.approx([9 / 3, 6 / 5])


def test_the_estimate_nears_the_entropy_of_the_distribution() -> None:
    shares = np.array([0.5, 0.25, 0.25])
    drawn = np.random.default_rng(0).choice(3, size=20_000, p=shares)
    estimate = token_entropy(np.log(shares)[drawn], np.array([20_000]), np.array([0]))
    assert float(estimate[0]) == pytest.approx(1.5 * math.log(2), abs=0.01)
