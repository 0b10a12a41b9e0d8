from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

import components.evaluation
from components.errors import PolyEpoError
from components.evaluation import coverage, distinct_correct, majority_at_k, pass_at_k


def test_the_public_names() -> None:
    assert components.evaluation.__all__ == [
        "Difference",
        "Interval",
        "Majority",
        "bootstrap_interval",
        "coverage",
        "distinct_correct",
        "majority_at_k",
        "paired_bootstrap",
        "pass_at_k",
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


def exact_majority(answers: list[int], correct: list[bool], k: int) -> tuple[float, float]:
    """Accuracy and share by listing every draw; a tie counts with the mean over the tied answers."""
    right = dict(zip(answers, correct, strict=True))
    accuracy, share, total = 0.0, 0.0, 0
    for chosen in combinations(range(len(answers)), k):
        votes = [answers[i] for i in chosen if answers[i] >= 0]
        total += 1
        if votes:
            top = max(votes.count(answer) for answer in votes)
            tied = {answer for answer in votes if votes.count(answer) == top}
            accuracy += sum(right[answer] for answer in tied) / len(tied)
            share += top / k
    return accuracy / total, share / total


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    ("answers", "correct"),
    [
        ([0, 0, 0, 1, 1, 2, 3, -1], [1, 1, 1, 0, 0, 0, 0, 0]),
        ([0, 1, 2, 3, 4, 5, 6, 7], [1, 0, 0, 0, 0, 0, 0, 0]),
        ([0, 0, 1, 1, -1, -1, -1, -1], [0, 0, 1, 1, 0, 0, 0, 0]),
        ([0, 0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_majority_is_near_its_exact_value(answers: list[int], correct: list[int], k: int) -> None:
    flags = [bool(flag) for flag in correct]
    accuracy, share = exact_majority(answers, flags, k)
    votes = majority_at_k([answers], [flags], k, draws=20_000, seed=1)
    assert votes.accuracy_P[0] == pytest.approx(accuracy, abs=0.015)
    assert votes.share_P[0] == pytest.approx(share, abs=0.015)


def test_majority_is_seeded_and_a_lost_vote_is_wrong() -> None:
    answers = np.random.default_rng(0).integers(-1, 5, (6, 12))
    correct = answers == 2
    first, again = (majority_at_k(answers, correct, 4, draws=50, seed=3) for _ in range(2))
    assert first.accuracy_P.tolist() == again.accuracy_P.tolist()
    assert first.share_P.tolist() == again.share_P.tolist()
    other = majority_at_k(answers, correct, 4, draws=50, seed=4)
    assert other.accuracy_P.tolist() != first.accuracy_P.tolist()
    none = majority_at_k([[-1, -1, -1]], [[False] * 3], 2, draws=10, seed=0)
    assert (none.accuracy_P.tolist(), none.share_P.tolist()) == ([0.0], [0.0])


def test_majority_of_no_problems_is_empty() -> None:
    votes = majority_at_k(np.zeros((0, 4), dtype=np.int64), np.zeros((0, 4), dtype=bool), 2, draws=5, seed=0)
    assert votes.accuracy_P.shape == votes.share_P.shape == (0,)


def test_majority_refuses_too_many_votes_and_other_shapes() -> None:
    with pytest.raises(PolyEpoError, match="majority@k: k must be between 1 and the 2 samples"):
        majority_at_k([[0, 1]], [[True, False]], 3, draws=5, seed=0)
    with pytest.raises(PolyEpoError, match=re.escape("must both be (problems, samples)")):
        majority_at_k([[0, 1]], [[True]], 1, draws=5, seed=0)
