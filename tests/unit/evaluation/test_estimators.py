from __future__ import annotations

import re

import numpy as np
import pytest

import components.evaluation
from components.errors import PolyEpoError
from components.evaluation import coverage, distinct_correct, effective_correct, pass_at_k


def test_the_public_names() -> None:
    assert components.evaluation.__all__ == [
        "Difference",
        "Interval",
        "Majority",
        "bootstrap_interval",
        "branching_curve",
        "completion_length",
        "coverage",
        "distinct_correct",
        "effective_correct",
        "hierarchical_bootstrap",
        "majority_at_k",
        "paired_bootstrap",
        "pass_at_k",
        "token_entropy",
    ]


def test_pass_at_k_by_hand() -> None:
    assert pass_at_k(4, [0, 1, 2, 3, 4], 2) == pytest.approx([0, 0.5, 5 / 6, 1, 1])
    assert float(pass_at_k(10, 3, 1)) == pytest.approx(0.3)
    assert pass_at_k([4, 8], [1, 1], 2) == pytest.approx([0.5, 0.25])
    assert pass_at_k(4, np.array([], dtype=np.int64), 2).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4, 2, 5), "k must be between 1 and the 4 samples"),
        (([8, 4], [1, 1], 5), "the 4 samples"),
        ((4, 2, 0), "k must be between 1"),
        ((4, 5, 1), "num_correct must be between 0 and num_samples"),
        ((4, -1, 1), "num_correct must be between"),
        ((4, 1.5, 1), "num_correct must be integers"),
    ],
)
def test_pass_at_k_refuses_what_has_no_estimate(arguments: tuple[object, object, int], message: str) -> None:
    with pytest.raises(PolyEpoError, match=re.escape(message)):
        pass_at_k(*arguments)  # type: ignore[arg-type]


def test_distinct_correct_by_hand() -> None:
    # Clusters of 2 and 1 among 4 samples, 2 drawn: 5/6 + 1/2.
    assert distinct_correct(4, [[2, 1], [], [4]], 2) == pytest.approx([5 / 6 + 1 / 2, 0.0, 1.0])
    assert distinct_correct([4, 2], [[1], [1]], 2) == pytest.approx([0.5, 1.0])
    assert distinct_correct(4, [[], []], 2).tolist() == [0.0, 0.0]
    with pytest.raises(PolyEpoError, match="distinct_correct: k must be between 1 and the 4 samples"):
        distinct_correct(4, [[1]], 5)


def test_coverage_marks_problems_with_a_correct_sample() -> None:
    assert coverage([0, 1, 7]).tolist() == [0.0, 1.0, 1.0]


def test_effective_correct_by_hand() -> None:
    # One cluster is one strategy however often; c = 2 in two clusters: entropy H(1) - H(0) = 1.
    assert effective_correct([[5], [1], [], [0], [1, 1]]) == pytest.approx([1.0, 1.0, 0.0, 0.0, np.e])
    # Shares 2/3 and 1/3 of 3: (2/3)(1.5 - 1) + (1/3)(1.5 - 0).
    assert float(effective_correct([[2, 1]])[0]) == pytest.approx(np.exp(1 / 3 + 1 / 2))
    assert effective_correct([]).shape == (0,)


def test_effective_correct_tells_even_from_lopsided_and_nears_the_truth_with_many_samples() -> None:
    even, lopsided = effective_correct([[25, 25, 25, 25], [97, 1, 1, 1]])
    assert even == pytest.approx(4.0, abs=0.1)
    assert 1.1 < lopsided < 1.4
    rng = np.random.default_rng(0)
    shares = np.array([0.4, 0.3, 0.2, 0.05, 0.05])
    truth = np.exp(-(shares * np.log(shares)).sum())
    drawn = rng.multinomial(60, shares, size=2000)
    plug_in = np.exp([-(row[row > 0] / 60 * np.log(row[row > 0] / 60)).sum() for row in drawn])
    assert abs(effective_correct(drawn).mean() - truth) < 0.03 < truth - plug_in.mean()
