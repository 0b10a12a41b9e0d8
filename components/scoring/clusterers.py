"""The clusterers by name: distinct answers, the verifier's strategies, an LM judge, sentence embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from components.scoring.clusters import Clusterer, Clustering, Clusters, Group, number_by_appearance
from components.scoring.params import ScoringParams

__all__ = ["AnswerClusterer", "StrategyClusterer", "get_clusterer"]


class AnswerClusterer:
    """Distinct parsed answers; the paper's clusters of the polynomial domain. No answer: degenerate."""

    def cluster(self, groups: Sequence[Group]) -> Clustering:
        """See Clusterer.cluster."""
        return Clustering([_by_name(group.parsed_answers) for group in groups])

    def close(self) -> None:
        """Nothing is held."""


class StrategyClusterer:
    """Distinct strategies as the verifier names them; none named: degenerate."""

    def cluster(self, groups: Sequence[Group]) -> Clustering:
        """See Clusterer.cluster."""
        return Clustering([_by_name(group.strategies) for group in groups])

    def close(self) -> None:
        """Nothing is held."""


def get_clusterer(params: ScoringParams) -> Clusterer:
    """The clusterer that section ``scoring`` names; to be closed.

    Raises:
        PolyEpoError: what it needs is not installed.
    """
    match params.clusterer:
        case "answer":
            return AnswerClusterer()
        case "strategy":
            return StrategyClusterer()
        case "judge":
            from components.scoring.judge.clusterer import JudgeClusterer  # noqa: PLC0415 - an HTTP client only where it is asked

            return JudgeClusterer(params.judge)
        case "embedding":
            from components.scoring.embedding import EmbeddingClusterer  # noqa: PLC0415 - a model and SciPy, likewise

            return EmbeddingClusterer(params.embedding)


def _by_name(names: Sequence[str | None]) -> Clusters:
    return Clusters(number_by_appearance(names), [name or "" for name in names])
