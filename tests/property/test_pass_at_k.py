"""pass@k and rarefaction against exact rational arithmetic, and against enumeration."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import PolyEpoError
from components.evaluation import distinct_correct, pass_at_k


def exact(samples: int, correct: int, k: int) -> Fraction:
    return 1 - Fraction(comb(samples - correct, k), comb(samples, k))


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, int]:
    samples = draw(st.integers(1, 600))
    return samples, draw(st.integers(0, samples)), draw(st.integers(1, samples))


@given(cases())
def test_pass_at_k_equals_exact_rational_arithmetic(case: tuple[int, int, int]) -> None:
    assert abs(float(pass_at_k(*case)) - float(exact(*case))) <= 1e-12


@pytest.mark.parametrize(("samples", "k"), [(4096, 1), (4096, 2048), (4096, 4095), (10_000, 5000), (10**6, 1000)])
def test_pass_at_k_keeps_its_digits_on_large_numbers_of_samples(samples: int, k: int) -> None:
    for correct in (0, 1, 2, samples // 3, samples - k, samples - k + 1, samples):
        assert abs(float(pass_at_k(samples, correct, k)) - float(exact(samples, correct, k))) <= 1e-12


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.integers(1, 40))
def test_an_array_gives_what_its_elements_give(correct: list[int], k: int) -> None:
    together = pass_at_k(40, np.array(correct), k)
    assert together.tolist() == [float(pass_at_k(40, c, k)) for c in correct]


@given(cases())
def test_pass_at_k_rises_with_k_and_with_correct(case: tuple[int, int, int]) -> None:
    samples, correct, k = case
    value = pass_at_k(samples, correct, k)
    assert 0.0 <= value <= 1.0
    assert k == samples or pass_at_k(samples, correct, k + 1) >= value - 1e-12
    assert correct == samples or pass_at_k(samples, correct + 1, k) >= value - 1e-12


@given(st.integers(1, 50), st.integers(1, 50))
def test_more_draws_than_samples_are_refused(samples: int, excess: int) -> None:
    with pytest.raises(PolyEpoError, match="k must be between 1 and"):
        pass_at_k(samples, 0, samples + excess)


@given(st.lists(st.integers(1, 3), max_size=3), st.integers(0, 3), st.data())
def test_rarefaction_equals_the_mean_over_all_draws(clusters: list[int], wrong: int, data: st.DataObject) -> None:
    labels = [index for index, size in enumerate(clusters) for _ in range(size)] + [-1] * wrong
    if not labels:
        labels = [-1]
    draws = data.draw(st.integers(1, len(labels)))
    counts = [len(set(chosen) - {-1}) for chosen in combinations(labels, draws)]
    expected = sum(counts) / len(counts)
    assert distinct_correct(len(labels), [clusters], draws)[0] == pytest.approx(expected, abs=1e-12)
