from __future__ import annotations

import re

import numpy as np
import pytest

from components.errors import PolyEpoError
from components.evaluation import majority, majority_at_k
from components.evaluation.majority import is_exact


def monte_carlo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(majority, "EXACT_WORK", 0)


def test_majority_by_hand() -> None:
    # Two of {a, a, b, b}: aa and bb in 1 of 6 draws each, a tie in 4 of 6.
    votes = majority_at_k([[0, 0, 1, 1]], [[True, True, False, False]], 2, draws=1, seed=0)
    assert votes.accuracy_P[0] == pytest.approx(1 / 6 + 4 / 6 / 2, abs=1e-15)
    assert votes.share_P[0] == pytest.approx(2 / 6 + 4 / 6 / 2, abs=1e-15)


def test_all_samples_vote_when_k_is_their_number() -> None:
    answers = [[3, 3, 3, 7, 7, -1], [2, 2, 9, 9, 4, 4]]
    correct = [[False] * 3 + [True] * 2 + [False], [True, True] + [False] * 4]
    votes = majority_at_k(answers, correct, 6, draws=1, seed=0)
    assert votes.accuracy_P == pytest.approx([0.0, 1 / 3], abs=1e-15)
    assert votes.share_P == pytest.approx([0.5, 2 / 6], abs=1e-15)


def test_equal_answers_judged_differently_count_with_their_share() -> None:
    votes = majority_at_k([[0, 0, 0, 0]], [[True, False, False, False]], 3, draws=1, seed=0)
    assert votes.accuracy_P == pytest.approx([0.25], abs=1e-15)


@pytest.mark.parametrize(("samples", "k"), [(128, 32), (300, 40), (1000, 31)])
def test_the_exact_value_is_what_many_draws_give(samples: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(samples)
    answers = np.floor(rng.pareto(0.8, (3, samples))).clip(0, 40).astype(int) - 1
    correct = answers == 1
    exact = majority_at_k(answers, correct, k, draws=1, seed=0)
    monte_carlo(monkeypatch)
    drawn = majority_at_k(answers, correct, k, draws=20_000, seed=1)
    assert drawn.accuracy_P == pytest.approx(exact.accuracy_P, abs=0.015)
    assert drawn.share_P == pytest.approx(exact.share_P, abs=0.005)


def test_what_is_exact() -> None:
    assert is_exact(128, 64)
    assert not is_exact(128, 128)
    assert not is_exact(1001, 1)


def test_many_problems_give_what_each_gives_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = np.random.default_rng(3).integers(-1, 6, (7, 20))
    correct = answers == 2
    monkeypatch.setattr(majority, "_CHUNK", 3)
    together = majority_at_k(answers, correct, 5, draws=1, seed=0)
    for index in range(7):
        alone = majority_at_k(answers[index : index + 1], correct[index : index + 1], 5, draws=1, seed=0)
        assert together.accuracy_P[index] == pytest.approx(alone.accuracy_P[0], abs=1e-14)
        assert together.share_P[index] == pytest.approx(alone.share_P[0], abs=1e-14)


@pytest.mark.parametrize("samples", [12, 1200])
def test_monte_carlo_is_seeded(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monte_carlo(monkeypatch)
    answers = np.random.default_rng(0).integers(-1, 5, (6, samples))
    correct = answers == 2
    first, again = (majority_at_k(answers, correct, 4, draws=50, seed=3) for _ in range(2))
    assert first.accuracy_P.tolist() == again.accuracy_P.tolist()
    assert first.share_P.tolist() == again.share_P.tolist()
    other = majority_at_k(answers, correct, 4, draws=50, seed=4)
    assert other.accuracy_P.tolist() != first.accuracy_P.tolist()


@pytest.mark.parametrize("exact", [True, False])
def test_a_vote_without_answers_is_lost(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exact:
        monte_carlo(monkeypatch)
    none = majority_at_k([[-1, -1, -1], [-1, -1, 5]], [[False] * 3, [False, False, True]], 2, draws=6000, seed=0)
    assert none.accuracy_P == pytest.approx([0.0, 2 / 3], abs=0.02)
    assert none.share_P == pytest.approx([0.0, 1 / 3], abs=0.02)


def test_majority_of_no_problems_is_empty() -> None:
    votes = majority_at_k(np.zeros((0, 4), dtype=np.int64), np.zeros((0, 4), dtype=bool), 2, draws=5, seed=0)
    assert votes.accuracy_P.shape == votes.share_P.shape == (0,)


def test_majority_refuses_too_many_votes_and_other_shapes() -> None:
    with pytest.raises(PolyEpoError, match="majority@k: k must be between 1 and the 2 samples"):
        majority_at_k([[0, 1]], [[True, False]], 3, draws=5, seed=0)
    with pytest.raises(PolyEpoError, match=re.escape("must both be (problems, samples)")):
        majority_at_k([[0, 1]], [[True]], 1, draws=5, seed=0)
