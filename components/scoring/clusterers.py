"""Clusterers: the distinct strategies among the completions of one problem.

A judge that reads the problem and all its completions at once has the same interface: it sees the whole group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from components.errors import PolyEpoError
from components.records import DEGENERATE, Problem

__all__ = ["CLUSTERERS", "Clusterer", "Clusters", "Group", "get_clusterer", "number_by_appearance"]


@dataclass(frozen=True)
class Group:
    """All completions of one problem in a batch, with what the verifier said; equally long sequences."""

    problem: Problem
    completions: Sequence[str]
    parsed_answers: Sequence[str | None]
    strategies: Sequence[str | None]


@dataclass(frozen=True)
class Clusters:
    """One cluster id and readable cluster name per completion; -1 and "" for a degenerate one.

    Ids are 0..k-1 in order of first appearance within the group.
    """

    ids: list[int]
    names: list[str]


class Clusterer(Protocol):
    """Groups the completions of one problem."""

    def cluster(self, group: Group) -> Clusters:
        """The clusters of ``group``, deterministic."""
        ...


class AnswerClusterer:
    """Distinct parsed answers; the paper's clusters of the polynomial domain. No answer: degenerate."""

    def cluster(self, group: Group) -> Clusters:
        """See Clusterer.cluster."""
        return _by_name(group.parsed_answers)


class StrategyClusterer:
    """Distinct strategies as the verifier names them; none named: degenerate."""

    def cluster(self, group: Group) -> Clusters:
        """See Clusterer.cluster."""
        return _by_name(group.strategies)


CLUSTERERS: dict[str, Clusterer] = {"answer": AnswerClusterer(), "strategy": StrategyClusterer()}
"""Clusterers by their name in params ``scoring.clusterer``."""


def get_clusterer(name: str) -> Clusterer:
    """The clusterer called ``name``.

    Raises:
        PolyEpoError: there is none of this name.
    """
    if name not in CLUSTERERS:
        raise PolyEpoError(
            "no clusterer of this name", where="scoring.clusterer", value=name, remedy=f"known: {', '.join(CLUSTERERS)}"
        )
    return CLUSTERERS[name]


def number_by_appearance(names: Sequence[str | None]) -> list[int]:
    """0, 1, ... in order of first appearance; None becomes -1."""
    ids: dict[str, int] = {}
    return [DEGENERATE if name is None else ids.setdefault(name, len(ids)) for name in names]


def _by_name(names: Sequence[str | None]) -> Clusters:
    return Clusters(number_by_appearance(names), [name or "" for name in names])
