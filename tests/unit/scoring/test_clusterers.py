from __future__ import annotations

import pytest

from components.errors import PolyEpoError
from components.scoring.clusterers import Clusters, Group, get_clusterer
from tests.unit.evaluation.reference import polynomial_problems

GROUP = Group(
    problem=polynomial_problems(1)[0],
    completions=["a", "b", "c", "d", "e"],
    parsed_answers=["4", None, "5", "4", "5"],
    strategies=["split", "double", None, "double", "split"],
)


def test_answer_clusters_are_the_distinct_parsed_answers() -> None:
    assert get_clusterer("answer").cluster(GROUP) == Clusters([0, -1, 1, 0, 1], ["4", "", "5", "4", "5"])


def test_strategy_clusters_are_the_distinct_strategies() -> None:
    expected = Clusters([0, 1, -1, 1, 0], ["split", "double", "", "double", "split"])
    assert get_clusterer("strategy").cluster(GROUP) == expected


def test_an_unknown_clusterer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PolyEpoError, match="known: answer, strategy"):
        get_clusterer("embedding")
