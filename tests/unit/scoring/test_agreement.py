from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.scoring.agreement import adjusted_rand_index, agreement

LABELS = st.integers(2, 12).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 4), min_size=n, max_size=n) for _ in range(2)])
)


@given(LABELS)
def test_the_index_is_that_of_scikit_learn(labels: tuple[list[int], list[int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    assert adjusted_rand_index(*labels) == pytest.approx(metrics.adjusted_rand_score(*labels), abs=1e-12)


def test_known_values() -> None:
    assert adjusted_rand_index([0, 0, 1, 1], [5, 5, 2, 2]) == 1.0
    assert adjusted_rand_index([0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(-0.5)
    assert adjusted_rand_index([0, 0, 0], [0, 1, 2]) == 0.0
    assert adjusted_rand_index([0, 0, 0], [3, 3, 3]) == 1.0


def test_independent_labels_agree_by_chance_alone() -> None:
    rng = np.random.default_rng(0)
    indexes = [adjusted_rand_index(rng.integers(3, size=30), rng.integers(3, size=30)) for _ in range(400)]
    assert abs(np.mean(indexes)) < 0.01


@pytest.mark.parametrize("labels", [([0], [0]), ([0, 1], [0]), ([], [])])
def test_too_few_or_unequal_labels_are_refused(labels: tuple[list[int], list[int]]) -> None:
    with pytest.raises(ValueError, match="at least two"):
        adjusted_rand_index(*labels)


def test_degenerate_completions_are_in_no_pair_and_counted_apart() -> None:
    first = [[0, 0, 1, -1], [0, 1, -1, -1], [0, 0, 0, 0], [-1, -1, 0, 0]]
    second = [[0, 0, 1, 1], [-1, -1, 0, 1], [0, 0, 0, 0], [0, 1, 2, 2]]
    found = agreement(first, second)
    assert found.index_G.tolist() == [1.0, 1.0, 1.0]
    assert found.left_out == 1  # the second group: nothing that both put into a cluster
    assert found.trivial == 2
    assert found.one_sided == 7 / 16
    assert found.distinct == (pytest.approx((2 + 2 + 1 + 1) / 4), pytest.approx((2 + 2 + 1 + 3) / 4))


def test_groups_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="2 completions against one of 1"):
        agreement([[0, 1]], [[0]])
