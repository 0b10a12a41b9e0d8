"""maj@k against the listing of every draw."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluation import majority_at_k


def listed(answers: list[int], correct: list[bool], k: int) -> tuple[Fraction, Fraction]:
    """Accuracy and share: a tie counts with the mean over the tied answers, an answer with the share judged correct."""
    judged = {
        answer: Fraction(sum(c for a, c in zip(answers, correct, strict=True) if a == answer), answers.count(answer))
        for answer in answers
    }
    accuracy, share, draws = Fraction(0), Fraction(0), 0
    for chosen in combinations(range(len(answers)), k):
        votes = [answers[i] for i in chosen if answers[i] >= 0]
        draws += 1
        if votes:
            top = max(map(votes.count, votes))
            tied = {answer for answer in votes if votes.count(answer) == top}
            accuracy += sum((judged[answer] for answer in tied), Fraction(0)) / len(tied)
            share += Fraction(top, k)
    return accuracy / draws, share / draws


@st.composite
def votes(draw: st.DrawFn) -> tuple[list[int], list[bool], int]:
    size = draw(st.integers(1, 9))
    answers = draw(st.lists(st.integers(-1, 4), min_size=size, max_size=size))
    correct = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    return answers, [c and a >= 0 for a, c in zip(answers, correct, strict=True)], draw(st.integers(1, size))


@given(votes())
@settings(deadline=None)
def test_majority_equals_the_mean_over_all_draws(case: tuple[list[int], list[bool], int]) -> None:
    answers, correct, k = case
    accuracy, share = listed(answers, correct, k)
    found = majority_at_k([answers], [correct], k, draws=1, seed=0)
    assert abs(found.accuracy_P[0] - float(accuracy)) <= 1e-12
    assert abs(found.share_P[0] - float(share)) <= 1e-12


@given(st.integers(1, 300), st.integers(1, 8), st.data())
@settings(deadline=None, max_examples=30)
def test_chances_stay_chances_with_many_samples(samples: int, kinds: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, min(samples, 40)))
    answers = np.random.default_rng([samples, kinds, k]).integers(0, kinds, (2, samples))
    every = majority_at_k(answers, np.ones_like(answers, dtype=bool), k, draws=1, seed=0)
    assert np.abs(every.accuracy_P - 1.0).max() <= 1e-12
    assert (every.share_P >= 1 / min(kinds, k) - 1e-12).all()
    parts = [majority_at_k(answers, answers == kind, k, draws=1, seed=0).accuracy_P for kind in range(kinds)]
    assert np.abs(np.sum(parts, axis=0) - 1.0).max() <= 1e-12
