from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from components.scoring.clusterers import get_clusterer
from components.scoring.clusters import Clusters, Group
from components.scoring.params import ScoringParams
from tests.unit.evaluation.reference import polynomial_problems

GROUP = Group(
    problem=polynomial_problems(1)[0],
    completions=["a", "b", "c", "d", "e"],
    parsed_answers=["4", None, "5", "4", "5"],
    strategies=["split", "double", None, "double", "split"],
)


def clusters(name: Any) -> list[Clusters]:
    clustering = get_clusterer(ScoringParams(clusterer=name)).cluster([GROUP, GROUP])
    assert clustering.counts == {}
    return clustering.clusters


def test_answer_clusters_are_the_distinct_parsed_answers() -> None:
    assert clusters("answer") == [Clusters([0, -1, 1, 0, 1], ["4", "", "5", "4", "5"])] * 2


def test_strategy_clusters_are_the_distinct_strategies() -> None:
    assert clusters("strategy") == [Clusters([0, 1, -1, 1, 0], ["split", "double", "", "double", "split"])] * 2


def test_an_unknown_clusterer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValidationError, match="'answer', 'strategy', 'judge' or 'embedding'"):
        ScoringParams.model_validate({"clusterer": "kmeans"})
